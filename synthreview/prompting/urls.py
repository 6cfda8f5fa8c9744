"""Addresses of this stage."""

from django.urls import path

from synthreview.prompting import (
    coverage_views,
    file_views,
    ranking_views,
    tuning_views,
    views,
    word_views,
    write_views,
    writing_views,
)

urlpatterns = [
    path("d/<slug:slug>/prompts/", views.prompts, name="prompts"),
    path("d/<slug:slug>/prompts/write", write_views.write, name="prompts-write"),
    path("d/<slug:slug>/prompts/preview", write_views.preview, name="prompts-preview"),
    path("d/<slug:slug>/prompts/writings/", write_views.writings, name="writings"),
    path("d/<slug:slug>/prompts/writings/<int:pk>/", writing_views.writing, name="writing"),
    path("d/<slug:slug>/prompts/writings/<int:pk>/stop", writing_views.stop, name="writing-stop"),
    path(
        "d/<slug:slug>/prompts/writings/<int:pk>/retry", writing_views.retry, name="writing-retry"
    ),
    path(
        "d/<slug:slug>/prompts/writings/<int:pk>/resume",
        writing_views.resume,
        name="writing-resume",
    ),
    path(
        "d/<slug:slug>/prompts/writings/<int:pk>/settle",
        writing_views.settle,
        name="writing-settle",
    ),
    path("d/<slug:slug>/prompts/tuning/", tuning_views.tunings, name="tunings"),
    path("d/<slug:slug>/prompts/tuning/preview", tuning_views.preview, name="tuning-preview"),
    path("d/<slug:slug>/prompts/tuning/file", tuning_views.training_file, name="tuning-file"),
    path("d/<slug:slug>/prompts/tuning/<int:pk>/", tuning_views.tuning, name="tuning"),
    path("d/<slug:slug>/prompts/tuning/<int:pk>/stop", tuning_views.stop, name="tuning-stop"),
    path("d/<slug:slug>/prompts/tuning/<int:pk>/settle", tuning_views.settle, name="tuning-settle"),
    path("d/<slug:slug>/prompts/tuning/<int:pk>/retry", tuning_views.retry, name="tuning-retry"),
    path(
        "d/<slug:slug>/prompts/tuning/<int:pk>/compare",
        tuning_views.compare,
        name="tuning-compare",
    ),
    path(
        "d/<slug:slug>/prompts/comparisons/<int:pk>/stop",
        tuning_views.stop_comparison,
        name="comparison-stop",
    ),
    path("d/<slug:slug>/prompts/coverage/", coverage_views.coverage, name="prompts-coverage"),
    path("d/<slug:slug>/prompts/ranking/", ranking_views.ranking, name="prompts-ranking"),
    path("d/<slug:slug>/prompts/ranking/pick", ranking_views.pick, name="prompts-pick"),
    path("d/<slug:slug>/prompts/words/", word_views.word_lists, name="word-lists"),
    path(
        "d/<slug:slug>/prompts/words/file.<slug:kind>",
        word_views.export_word_lists,
        name="word-lists-file",
    ),
    path("d/<slug:slug>/prompts/forbidden/", word_views.forbidden_pairs, name="forbidden-pairs"),
    path(
        "d/<slug:slug>/prompts/forbidden/<int:pk>/allow", word_views.allow_pair, name="pair-allow"
    ),
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
