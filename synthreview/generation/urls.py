"""Addresses of this stage."""

from django.urls import path

from synthreview.generation import views

urlpatterns = [
    path("d/<slug:slug>/runs/", views.runs, name="runs"),
    path("d/<slug:slug>/runs/new", views.new_run, name="run-new"),
    path("d/<slug:slug>/runs/estimate", views.estimate, name="run-estimate"),
    path("d/<slug:slug>/runs/<int:number>/", views.run, name="run"),
    path("d/<slug:slug>/runs/<int:number>/stop", views.stop, name="run-stop"),
    path("d/<slug:slug>/runs/<int:number>/retry", views.retry, name="run-retry"),
    path("d/<slug:slug>/runs/<int:number>/resume", views.resume, name="run-resume"),
    path("d/<slug:slug>/runs/<int:number>/unknown", views.unknown, name="run-unknown"),
    path("images/<int:pk>/<slug:name>.jpg", views.rendition, name="rendition"),
    path("images/<int:pk>/original", views.original, name="original"),
]
