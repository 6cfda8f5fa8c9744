"""The map of addresses: each stage brings its own."""

from django.contrib import admin
from django.urls import include, path

from synthreview.api import urls as api_urls

urlpatterns = [
    path("", include("synthreview.overview.urls")),
    path("account/", include("synthreview.accounts.urls")),
    path("", include("synthreview.catalog.urls")),
    path("", include("synthreview.prompting.urls")),
    path("", include("synthreview.generation.urls")),
    path("", include("synthreview.scoring.urls")),
    path("", include("synthreview.review.urls")),
    path("", include("synthreview.export.urls")),
    path("", include("synthreview.evaluation.urls")),
    path("api/", api_urls()),
    path("admin/", admin.site.urls),
]
