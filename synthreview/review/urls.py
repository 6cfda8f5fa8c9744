"""Addresses of this stage."""

from django.urls import path

from synthreview.review import (
    certificate_views,
    key_views,
    ranking_views,
    reviewer_views,
    sheet_views,
    views,
)

urlpatterns = [
    path("d/<slug:slug>/review/", views.review, name="review"),
    path("d/<slug:slug>/review/decide", views.decide, name="review-decide"),
    path("d/<slug:slug>/review/more", views.more, name="review-more"),
    path("d/<slug:slug>/review/undo", views.undo, name="review-undo"),
    path("d/<slug:slug>/review/change", views.change, name="review-change"),
    path("d/<slug:slug>/review/heartbeat", views.heartbeat, name="review-heartbeat"),
    path("d/<slug:slug>/review/leave", views.leave, name="review-leave"),
    path("d/<slug:slug>/review/beside/<int:pk>", views.beside, name="review-beside"),
    path("d/<slug:slug>/review/grid/", sheet_views.grid, name="review-grid"),
    path("d/<slug:slug>/review/grid/more", sheet_views.more_grid, name="review-grid-more"),
    path("d/<slug:slug>/review/grid/decide", sheet_views.decide_grid, name="review-grid-decide"),
    path("d/<slug:slug>/review/compare/", sheet_views.compare, name="review-compare"),
    path("d/<slug:slug>/review/compare/more", sheet_views.more_compare, name="review-compare-more"),
    path(
        "d/<slug:slug>/review/compare/decide",
        sheet_views.decide_compare,
        name="review-compare-decide",
    ),
    path("account/review-keys/", key_views.keys, name="review-keys"),
    path("d/<slug:slug>/certificate/", certificate_views.certificate, name="certificate"),
    path("d/<slug:slug>/adjudicate/", reviewer_views.adjudicate, name="adjudicate"),
    path("d/<slug:slug>/adjudicate/undo", reviewer_views.undo, name="adjudicate-undo"),
    path("d/<slug:slug>/reviewers/", reviewer_views.reviewers, name="reviewers"),
    path("d/<slug:slug>/reviewers/me", reviewer_views.mine, name="reviewers-me"),
    path("d/<slug:slug>/reviewers/assign/<int:pk>", reviewer_views.assign, name="reviewer-assign"),
    path("d/<slug:slug>/reviewers/gold", reviewer_views.choose_gold, name="gold-choose"),
    path("d/<slug:slug>/reviewers/round", reviewer_views.begin_round, name="reviewers-round"),
    path("d/<slug:slug>/certificate/extend", certificate_views.extend, name="certificate-extend"),
    path("d/<slug:slug>/certificate/start", certificate_views.start, name="certificate-start"),
    path("d/<slug:slug>/certificate/end", certificate_views.end, name="certificate-end"),
    path("d/<slug:slug>/ranking/", ranking_views.ranking, name="ranking"),
    path("d/<slug:slug>/ranking/now", ranking_views.rank_now, name="rank-now"),
    path("d/<slug:slug>/ranking/replay", ranking_views.replay, name="replay"),
    path("d/<slug:slug>/ranking/replay/now", ranking_views.replay_now, name="replay-now"),
    path("d/<slug:slug>/ranking/judges", ranking_views.judges, name="judges"),
]
