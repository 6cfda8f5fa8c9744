"""Prompts in Django's admin."""

from typing import Any

from django.contrib import admin

from synthreview.prompting.models import Prompt


@admin.register(Prompt)
class PromptAdmin(admin.ModelAdmin[Any]):
    list_display = ["text", "dataset", "label_class", "technique", "state", "author"]
    list_filter = ["dataset", "technique", "state", "author"]
    search_fields = ["text"]
    list_select_related = ["dataset", "label_class"]
