"""The map of addresses: each stage brings its own."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from synthreview.accounts.limits import too_many
from synthreview.api import urls as api_urls

handler429 = too_many
handler500 = "synthreview.overview.outages.fault"
# The administration's own form knows neither second factors nor limits.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

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
