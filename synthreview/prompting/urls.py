"""Addresses of this stage."""

from django.urls import path

from synthreview.prompting import file_views, views

urlpatterns = [
    path("d/<slug:slug>/prompts/", views.prompts, name="prompts"),
    path("d/<slug:slug>/prompts/write", views.write, name="prompts-write"),
    path("d/<slug:slug>/prompts/preview", views.preview, name="prompts-preview"),
    path("d/<slug:slug>/prompts/state", views.change_state, name="prompts-state"),
    path("d/<slug:slug>/prompts/import/", file_views.import_file, name="prompts-import"),
    path(
        "d/<slug:slug>/prompts/import/<slug:token>/",
        file_views.check_import,
        name="prompts-import-check",
    ),
    path(
        "d/<slug:slug>/prompts/import/<slug:token>/drop",
        file_views.drop_import,
        name="prompts-import-drop",
    ),
    path("d/<slug:slug>/prompts/export/", file_views.export, name="prompts-export"),
    path("d/<slug:slug>/prompts/export/file", file_views.export_file, name="prompts-export-file"),
    path("prompts/<int:pk>/", views.row, name="prompt"),
    path("prompts/<int:pk>/edit", views.edit, name="prompt-edit"),
]
