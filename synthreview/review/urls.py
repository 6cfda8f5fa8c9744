"""Addresses of this stage."""

from django.urls import path

from synthreview.review import certificate_views, views

urlpatterns = [
    path("d/<slug:slug>/review/", views.review, name="review"),
    path("d/<slug:slug>/review/decide", views.decide, name="review-decide"),
    path("d/<slug:slug>/review/undo", views.undo, name="review-undo"),
    path("d/<slug:slug>/review/heartbeat", views.heartbeat, name="review-heartbeat"),
    path("d/<slug:slug>/review/leave", views.leave, name="review-leave"),
    path("d/<slug:slug>/certificate/", certificate_views.certificate, name="certificate"),
    path("d/<slug:slug>/certificate/start", certificate_views.start, name="certificate-start"),
    path("d/<slug:slug>/certificate/end", certificate_views.end, name="certificate-end"),
]
