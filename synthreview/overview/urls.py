"""Addresses of this stage."""

from django.urls import path

from synthreview.overview import (
    cost_views,
    coverage_views,
    derive_views,
    diversity_views,
    health,
    operations_views,
    probe_views,
    trail_views,
    views,
)

urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("operations/", operations_views.operations, name="operations"),
    path("operations/retry", operations_views.operations_retry, name="operations-retry"),
    path("d/<slug:slug>/", views.dataset, name="dataset"),
    path("d/<slug:slug>/images/", views.images, name="images"),
    path("d/<slug:slug>/coverage/", coverage_views.coverage, name="coverage"),
    path("d/<slug:slug>/coverage/plan", coverage_views.plan_gaps, name="coverage-plan"),
    path("d/<slug:slug>/coverage/probes/", probe_views.probes, name="probes"),
    path("d/<slug:slug>/coverage/probes/new", probe_views.probe_new, name="probe-new"),
    path("d/<slug:slug>/coverage/probes/<int:pk>/", probe_views.probe, name="probe"),
    path("d/<slug:slug>/coverage/probes/<int:pk>/edit", probe_views.probe_edit, name="probe-edit"),
    path(
        "d/<slug:slug>/coverage/probes/<int:pk>/delete",
        probe_views.probe_delete,
        name="probe-delete",
    ),
    path(
        "d/<slug:slug>/coverage/probes/<int:pk>/label",
        probe_views.probe_label,
        name="probe-label",
    ),
    path("d/<slug:slug>/coverage/diversity/", diversity_views.diversity, name="diversity"),
    path(
        "d/<slug:slug>/coverage/diversity/guard",
        diversity_views.guard,
        name="diversity-guard",
    ),
    path("d/<slug:slug>/costs/", cost_views.costs, name="costs"),
    path("d/<slug:slug>/derive/", derive_views.derive, name="derive"),
    path("d/<slug:slug>/derive/estimate", derive_views.derive_estimate, name="derive-estimate"),
    path("trail/", trail_views.everything, name="trail-all"),
    path("trail/file.<slug:kind>", trail_views.everything_file, name="trail-all-file"),
    path("d/<slug:slug>/settings/trail/", trail_views.trail, name="trail"),
    path(
        "d/<slug:slug>/settings/trail/file.<slug:kind>", trail_views.trail_file, name="trail-file"
    ),
    path("images/<int:pk>/", views.image, name="image"),
    path("images/<int:pk>/repaint", derive_views.repaint, name="repaint"),
    path(
        "images/<int:pk>/repaint/estimate", derive_views.repaint_estimate, name="repaint-estimate"
    ),
]
