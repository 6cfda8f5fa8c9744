"""Addresses of this stage."""

from django.urls import path

from synthreview.export import views

urlpatterns = [
    path("d/<slug:slug>/exports/", views.exports, name="exports"),
    path("d/<slug:slug>/exports/<int:number>/", views.export, name="export"),
    path("d/<slug:slug>/exports/<int:number>/retry", views.retry_export, name="export-retry"),
    path("d/<slug:slug>/exports/<int:number>/zip", views.export_zip, name="export-zip"),
]
