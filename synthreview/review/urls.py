"""Addresses of this stage."""

from django.urls import path

from synthreview.review import views

urlpatterns = [
    path("d/<slug:slug>/review/", views.review, name="review"),
    path("d/<slug:slug>/review/decide", views.decide, name="review-decide"),
    path("d/<slug:slug>/review/undo", views.undo, name="review-undo"),
    path("d/<slug:slug>/review/heartbeat", views.heartbeat, name="review-heartbeat"),
    path("d/<slug:slug>/review/leave", views.leave, name="review-leave"),
]
