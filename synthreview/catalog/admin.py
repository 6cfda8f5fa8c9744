"""Datasets, classes, axes and members in Django's admin."""

from typing import Any

from django.contrib import admin

from synthreview.catalog.models import (
    Axis,
    AxisValue,
    Dataset,
    ForbiddenPair,
    LabelClass,
    Membership,
    QualityPolicy,
)


class MembershipInline(admin.TabularInline[Any, Any]):
    model = Membership
    extra = 0


class LabelClassInline(admin.TabularInline[Any, Any]):
    model = LabelClass
    extra = 0
    fields = ["name", "slug", "definition", "target_count", "is_none_of_these", "position"]
    prepopulated_fields = {"slug": ["name"]}


class QualityPolicyInline(admin.StackedInline[Any, Any]):
    model = QualityPolicy
    min_num = 1  # a dataset without its policy cannot be reviewed
    can_delete = False


class AxisValueInline(admin.TabularInline[Any, Any]):
    model = AxisValue
    extra = 0


@admin.register(Dataset)
class DatasetAdmin(admin.ModelAdmin[Any]):
    list_display = ["name", "slug", "created_at", "created_by"]
    search_fields = ["name"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [QualityPolicyInline, LabelClassInline, MembershipInline]


@admin.register(Axis)
class AxisAdmin(admin.ModelAdmin[Any]):
    list_display = ["name", "dataset", "position"]
    list_filter = ["dataset"]
    inlines = [AxisValueInline]


@admin.register(ForbiddenPair)
class ForbiddenPairAdmin(admin.ModelAdmin[Any]):
    list_display = ["first", "second", "label_class", "dataset"]
    list_filter = ["dataset"]
    list_select_related = ["first", "second", "label_class", "dataset"]
