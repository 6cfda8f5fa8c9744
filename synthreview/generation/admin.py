"""Runs and calls in Django's admin; images are evidence and read only there."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from synthreview.generation.models import Call, CallBatch, GeneratedImage, Run


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["dataset", "number", "generator", "image_count", "created_at", "created_by"]
    list_select_related = ["dataset", "created_by"]


@admin.register(Call)
class CallAdmin(ReadOnlyAdmin):
    list_display = ["pk", "run", "state", "attempts", "billed_micro_usd", "error"]
    list_filter = ["state"]
    list_select_related = ["run__dataset"]


@admin.register(CallBatch)
class CallBatchAdmin(ReadOnlyAdmin):
    list_display = ["pk", "run", "state", "remote_name", "remote_state", "looked_at", "error"]
    list_filter = ["state"]
    list_select_related = ["run__dataset"]


@admin.register(GeneratedImage)
class GeneratedImageAdmin(ReadOnlyAdmin):
    list_display = ["pk", "dataset", "label_class", "technique", "generator", "created_at"]
    list_filter = ["dataset", "technique", "generator"]
    list_select_related = ["dataset", "label_class"]
