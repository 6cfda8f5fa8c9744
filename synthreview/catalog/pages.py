"""What every page of a dataset has in common: its door, its tabs and what one may do there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, Membership, own_classes_as_json
from synthreview.catalog.permissions import Action, require
from synthreview.catalog.prepared import Prepared

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@dataclass(frozen=True, slots=True)
class Tab:
    """One entry of the dataset's navigation; `pages` are the URL names that belong to it."""

    title: str
    page: str
    action: Action
    pages: tuple[str, ...] = ()


TABS = (
    Tab("Overview", "dataset", Action.VIEW),
    Tab(
        "Prompts",
        "prompts",
        Action.VIEW,
        (
            "prompts-write",
            "prompts-preview",
            "prompt-edit",
            "prompts-import",
            "prompts-import-check",
            "prompts-export",
            "writings",
            "writing",
            "prompts-coverage",
            "tunings",
            "tuning-preview",
            "tuning",
            "prompts-ranking",
            "prompts-pick",
            "word-lists",
            "forbidden-pairs",
        ),
    ),
    Tab(
        "Runs",
        "runs",
        Action.VIEW,
        ("run", "run-new", "run-unknown", "costs", "derive", "references"),
    ),
    Tab("Images", "images", Action.VIEW, ("image", "repaint", "image-like")),
    Tab(
        "Coverage",
        "coverage",
        Action.VIEW,
        ("probes", "probe", "probe-new", "probe-edit", "probe-label", "diversity"),
    ),
    Tab("Review", "review", Action.REVIEW, ("reviewers-me",)),
    Tab("Adjudicate", "adjudicate", Action.ADJUDICATE),
    Tab("Reviewers", "reviewers", Action.CURATE),
    Tab("Ranking", "ranking", Action.CURATE, ("judges", "replay", "thresholds", "set-aside")),
    Tab("Certificate", "certificate", Action.VIEW),
    Tab("Exports", "exports", Action.VIEW, ("export", "export-compare", "package-new")),
    Tab("Evaluation", "evaluations", Action.VIEW, ("evaluation",)),
    Tab(
        "Settings",
        "dataset-settings",
        Action.CURATE,
        ("classes", "class-new", "class-edit", "axes", "members", "invitations", "trail"),
    ),
)


def signed_in(request: HttpRequest) -> User:
    """Return who asks; LoginRequiredMiddleware lets nobody else in."""
    assert not isinstance(request.user, AnonymousUser)
    return request.user


def open_dataset(
    request: HttpRequest, slug: str, action: Action = Action.VIEW
) -> tuple[Dataset, dict[str, Any]]:
    """Return the dataset, with its policy, and the context of its pages.

    The context holds `dataset`, `can` ({"curate": True, …}) and `tabs`. Raises Http404 where
    the person may not know of it, PermissionDenied where `action` is not theirs.
    """
    dataset = find_dataset(signed_in(request), slug)
    return dataset, dataset_context(request, dataset, action)


def find_dataset(user: User, slug: str) -> Dataset:
    """Return the dataset with its policy and, kept for `actions_of`, the person's membership.

    One query. Raises Http404 where the person may not know of it.
    """
    if user.is_superuser:
        everything = Dataset.objects.visible_to(user).select_related("policy")
        is_member = Exists(Membership.objects.filter(dataset=OuterRef("pk"), user=user))
        dataset = get_object_or_404(everything.annotate(is_member=is_member), slug=slug)
        if not getattr(dataset, "is_member", True):
            dataset.keep_membership(user, None)
        return dataset
    membership = _membership.first(user=user.pk, slug=slug)
    if membership is None:
        raise Http404
    membership.keep_classes(getattr(membership, "kept_classes", None))
    membership.dataset.keep_membership(user, membership)
    return membership.dataset


def _membership_in_visible(user: int, slug: int) -> QuerySet[Membership]:
    visible = Dataset.objects.visible_to(User(pk=user)).filter(slug=slug)
    found = Membership.objects.filter(dataset__in=visible, user=user)
    return found.select_related("dataset__policy").annotate(kept_classes=own_classes_as_json())


_membership = Prepared(_membership_in_visible, "user", "slug")


def dataset_context(
    request: HttpRequest, dataset: Dataset, action: Action = Action.VIEW
) -> dict[str, Any]:
    """Return the context of a page of `dataset`, for pages whose address is not its own."""
    allowed = require(signed_in(request), dataset, action)
    here = request.resolver_match.url_name if request.resolver_match else ""
    return {
        "dataset": dataset,
        "can": {known.value: known in allowed for known in Action},
        # Made where a page shows them: a part has none.
        "tabs": SimpleLazyObject(partial(_tabs, dataset.slug, here, allowed)),
    }


def _tabs(slug: str, here: str | None, allowed: frozenset[Action]) -> list[dict[str, Any]]:
    return [
        {
            "title": tab.title,
            "url": reverse(tab.page, args=[slug]),
            "is_current": here == tab.page or here in tab.pages,
        }
        for tab in TABS
        if tab.action in allowed
    ]


def page_or_part(
    request: HttpRequest, page: str, part: str, context: dict[str, Any]
) -> HttpResponse:
    """Render the whole page, or for htmx only the part of it that changes, from one context."""
    htmx = getattr(request, "htmx", None)
    wants_part = htmx is not None and bool(htmx) and not htmx.history_restore_request
    response = render(request, part if wants_part else page, context)
    patch_vary_headers(response, ["HX-Request"])
    return response
