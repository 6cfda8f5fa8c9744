from django.urls import path

from synthreview.scoring import views

urlpatterns = [
    path("d/<slug:slug>/questions/unknown", views.unknown_questions, name="questions-unknown"),
]
