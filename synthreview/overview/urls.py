"""Addresses of this stage."""

from django.urls import path

from synthreview.overview import views

urlpatterns = [
    path("", views.home, name="home"),
    path("d/<slug:slug>/", views.dataset, name="dataset"),
    path("d/<slug:slug>/images/", views.images, name="images"),
    path("images/<int:pk>/", views.image, name="image"),
]
