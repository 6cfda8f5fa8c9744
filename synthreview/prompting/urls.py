"""Addresses of this stage."""

from django.urls import path

from synthreview.prompting import views

urlpatterns = [
    path("d/<slug:slug>/prompts/", views.prompts, name="prompts"),
    path("d/<slug:slug>/prompts/write", views.write, name="prompts-write"),
    path("d/<slug:slug>/prompts/preview", views.preview, name="prompts-preview"),
    path("d/<slug:slug>/prompts/state", views.change_state, name="prompts-state"),
    path("prompts/<int:pk>/", views.row, name="prompt"),
    path("prompts/<int:pk>/edit", views.edit, name="prompt-edit"),
]
