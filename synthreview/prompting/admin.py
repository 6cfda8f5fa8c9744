"""Prompts in Django's admin."""

from typing import Any

from django.contrib import admin

from synthreview.prompting.models import Prompt, Writing


@admin.register(Prompt)
class PromptAdmin(admin.ModelAdmin[Any]):
    list_display = ["text", "dataset", "label_class", "technique", "state", "author"]
    list_filter = ["dataset", "technique", "state", "author"]
    search_fields = ["text"]
    list_select_related = ["dataset", "label_class"]


@admin.register(Writing)
class WritingAdmin(admin.ModelAdmin[Any]):
    list_display = ["created_at", "dataset", "technique", "author", "asked", "written"]
    list_filter = ["dataset", "technique", "author"]
    list_select_related = ["dataset"]
