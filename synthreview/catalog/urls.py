"""Addresses of this stage."""

from django.urls import path

from synthreview.catalog import invitation_views, reference_views, views

urlpatterns = [
    path("datasets/new", views.new_dataset, name="dataset-new"),
    path("d/<slug:slug>/settings/", views.dataset_settings, name="dataset-settings"),
    path("d/<slug:slug>/settings/classes/", views.classes, name="classes"),
    path("d/<slug:slug>/settings/classes/new", views.new_class, name="class-new"),
    path("d/<slug:slug>/settings/classes/<int:pk>/", views.edit_class, name="class-edit"),
    path("d/<slug:slug>/settings/classes/<int:pk>/delete", views.delete_class, name="class-delete"),
    path("d/<slug:slug>/settings/axes/", views.axes, name="axes"),
    path("d/<slug:slug>/settings/axes/<int:pk>/delete", views.delete_axis, name="axis-delete"),
    path("d/<slug:slug>/references/", reference_views.references, name="references"),
    path(
        "d/<slug:slug>/references/remove",
        reference_views.remove_references,
        name="references-remove",
    ),
    path(
        "references/<int:pk>/<slug:name>.jpg", reference_views.rendition, name="reference-rendition"
    ),
    path("d/<slug:slug>/settings/members/", views.members, name="members"),
    path("d/<slug:slug>/settings/invitations/", invitation_views.invitations, name="invitations"),
    path(
        "d/<slug:slug>/settings/invitations/<int:pk>/withdraw",
        invitation_views.withdraw_invitation,
        name="invitation-withdraw",
    ),
    path("invitation/accept", invitation_views.accept_invitation, name="invitation-accept"),
    path("invitation/<slug:token>/", invitation_views.invitation, name="invitation"),
    path("d/<slug:slug>/settings/members/<int:pk>/", views.change_member, name="member-change"),
    path(
        "d/<slug:slug>/settings/members/<int:pk>/remove", views.remove_member, name="member-remove"
    ),
]
