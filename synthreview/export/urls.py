"""Addresses of this stage."""

from django.urls import path

from synthreview.export import views
from synthreview.export.downloads import KINDS

EXPORT = "d/<slug:slug>/exports/<int:number>/"

urlpatterns = [
    path("d/<slug:slug>/exports/", views.exports, name="exports"),
    path("d/<slug:slug>/exports/sign", views.sign_export, name="export-sign"),
    path("d/<slug:slug>/exports/webhooks", views.webhooks, name="export-webhooks"),
    path(
        "d/<slug:slug>/exports/webhooks/<int:pk>/remove",
        views.webhook_remove,
        name="export-webhook-remove",
    ),
    path(EXPORT, views.export, name="export"),
    path(f"{EXPORT}retry", views.retry_export, name="export-retry"),
    path(f"{EXPORT}compare", views.compare_exports, name="export-compare"),
    path(f"{EXPORT}packages", views.new_package, name="package-new"),
    path(f"{EXPORT}packages/<int:pk>/retry", views.retry_package, name="package-retry"),
    path(f"{EXPORT}packages/<int:pk>/deliver", views.deliver_package, name="package-deliver"),
    *(
        path(
            f"{EXPORT}packages/<int:pk>/{kind}",
            views.package_file,
            {"kind": kind},
            name=f"package-{kind}",
        )
        for kind in KINDS
    ),
]
