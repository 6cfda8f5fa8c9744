"""Addresses of this stage."""

from django.urls import path

from synthreview.evaluation import views

urlpatterns = [
    path("d/<slug:slug>/evaluation/", views.evaluations, name="evaluations"),
    path("d/<slug:slug>/evaluation/<int:number>/", views.evaluation, name="evaluation"),
    path("d/<slug:slug>/evaluation/<int:number>/stop", views.stop, name="evaluation-stop"),
    path("d/<slug:slug>/evaluation/<int:number>/retry", views.retry, name="evaluation-retry"),
    path(
        "d/<slug:slug>/evaluation/<int:number>/report.json",
        views.report_json,
        name="evaluation-json",
    ),
]
