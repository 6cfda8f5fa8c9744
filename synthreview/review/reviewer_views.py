"""Pages about those who review: the adjudicator's, the curator's, and each person's own."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, Membership
from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action, Role
from synthreview.generation.models import GeneratedImage
from synthreview.review import adjudication, certifying, gold, queue, services
from synthreview.review.agreement import Share
from synthreview.review.card import question_context, ticks_of
from synthreview.review.examples import examples_for
from synthreview.review.forms import DecisionForm
from synthreview.review.key_views import keys_context
from synthreview.review.keys import Mode
from synthreview.review.models import Decision, GoldImage, ImageReview, Purpose
from synthreview.review.reasons import reasons_for
from synthreview.review.reviewers import review_stats
from synthreview.review.sources import sources_of
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record

GOLD_SHOWN = 24


class AssignmentForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a curator asks of one member as a reviewer."""

    class Meta:
        model = Membership
        fields = ("may_adjudicate", "daily_limit", "classes")
        labels = {"may_adjudicate": "May adjudicate", "daily_limit": "Images a day at most"}
        widgets = {"classes": forms.CheckboxSelectMultiple}

    def __init__(self, *args: object, dataset: Dataset, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["classes"].queryset = dataset.classes.all()  # type: ignore[attr-defined]
        self.fields["daily_limit"].min_value = 1  # type: ignore[attr-defined]
        self.before = self._asked(Membership.objects.get(pk=self.instance.pk))

    def save(self, commit: bool = True) -> Membership:
        with transaction.atomic():
            saved: Membership = super().save(commit)
            after = self._asked(saved)
            record(Act.MEMBER_ASSIGNED, saved, before=self.before, after=after)
        return saved

    @staticmethod
    def _asked(member: Membership) -> dict[str, object]:
        classes = list(member.classes.values_list("name", flat=True))
        return facts(member, "may_adjudicate", "daily_limit") | {"classes": classes}


# --- The adjudicator's ------------------------------------------------------------------


@never_cache
@require_http_methods(["GET", "POST"])
def adjudicate(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the next image that reviewers differ about, with what each said; record the word."""
    dataset, context = open_dataset(request, slug, Action.ADJUDICATE)
    person = signed_in(request)
    if request.method == "POST":
        _record(request, dataset, person)
        return redirect("adjudicate", dataset.slug)
    card = queue.next_card(dataset=dataset, reviewer=person, adjudicates=True)
    context |= keys_context(person, Mode.ADJUDICATE)
    context |= {
        "card": card,
        "backlog": adjudication.backlog(dataset, adjudicators_of(dataset)),
        "can_undo": Decision.objects.filter(
            dataset=dataset, reviewer=person, purpose=Purpose.ADJUDICATION
        ).exists(),
    }
    if card:
        image = card.slot.image
        context |= question_context(image) | {
            "image": image,
            "looks": adjudication.looks_of(image),
            "ticks": ticks_of(image),
            "reasons": reasons_for(image.technique),
            "sources": sources_of(image),
            "examples": examples_for(image.label_class_id, beside=image.pk),
        }
    return render(request, "review/adjudicate.html", context)


def _record(request: HttpRequest, dataset: Dataset, person: User) -> None:
    form = DecisionForm(request.POST)
    if not form.is_valid():
        messages.error(request, "The answer was not taken: choose one of the buttons.")
        return
    try:
        services.record_decision(dataset=dataset, reviewer=person, **form.cleaned_data)
    except services.ReviewError as error:
        messages.warning(request, str(error))


@require_POST
def undo(request: HttpRequest, slug: str) -> HttpResponse:
    """Take the last adjudication back and show its image again."""
    dataset, _ = open_dataset(request, slug, Action.ADJUDICATE)
    if services.undo(dataset=dataset, reviewer=signed_in(request), adjudicates=True) is None:
        messages.warning(request, "There is nothing left to undo.")
    return redirect("adjudicate", dataset.slug)


def adjudicators_of(dataset: Dataset) -> list[User]:
    """Return who may adjudicate here by role or mark; superusers apart."""
    may = Q(role__in=[Role.CURATOR, Role.ADMIN]) | Q(role=Role.REVIEWER, may_adjudicate=True)
    return [row.user for row in dataset.memberships.filter(may).select_related("user")]


# --- The curator's ----------------------------------------------------------------------


@require_GET
def reviewers(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how reviewers do, what is asked of them, and the known answers."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    members = dataset.memberships.exclude(role=Role.VIEWER).select_related("user")
    older = ImageReview.objects.filter(dataset=dataset).judged_by_older_guideline()
    stats = review_stats(dataset)
    context |= {
        "stats": stats,
        "figures": [
            (one, _rate(one.agreement), _rate(one.missed), _rate(one.alarmed))
            for one in stats.reviewers
        ],
        "gold_share": certifying.percent(dataset.policy.gold_share),
        "members": [
            (member, AssignmentForm(instance=member, dataset=dataset, prefix=f"m{member.pk}"))
            for member in members.prefetch_related("classes")
        ],
        "backlog": adjudication.backlog(dataset, adjudicators_of(dataset)),
        "older": older.count(),
        "gold": GoldImage.objects.filter(dataset=dataset, is_retired=False).select_related(
            "image__label_class"
        ),
        "candidates": gold.candidates(dataset).select_related("image__label_class")[:GOLD_SHOWN],
    }
    return render(request, "review/reviewers.html", context)


def _rate(found: Share) -> dict[str, str] | None:
    """Return a share as the page shows it, None where nothing was counted."""
    if not found.of:
        return None
    low, high = (
        certifying.percent(end, up=up) for end, up in ((found.low, False), (found.high, True))
    )
    return {
        "share": f"{found.count:,} of {found.of:,}",
        "interval": f"{low} to {high}",
    }


@require_POST
def assign(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Set a member's classes, daily limit and right to adjudicate."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    member = get_object_or_404(dataset.memberships.select_related("user"), pk=pk)
    form = AssignmentForm(request.POST, instance=member, dataset=dataset, prefix=f"m{pk}")
    if form.is_valid() and form.cleaned_data["daily_limit"] != 0:
        form.save()
        messages.success(request, f"What is asked of {member.user.username} is saved.")
    else:
        messages.error(request, "Not saved: a daily limit is a number from 1, or empty for none.")
    return redirect("reviewers", dataset.slug)


@require_POST
def choose_gold(request: HttpRequest, slug: str) -> HttpResponse:
    """Make decided images known answers, or retire some."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    given = set(request.POST.getlist("image"))
    images = {int(pk) for pk in given if pk.isdecimal() and len(pk) < 19}
    ours = GeneratedImage.objects.filter(dataset=dataset, pk__in=images)
    if not len(given) == len(images) == ours.count():
        raise Http404("Not all of these images are here.")
    if "retire" in request.POST:
        count = gold.retire(dataset=dataset, images=images)
        messages.success(request, f"{count} are retired; what was said of them stays.")
        return redirect("reviewers", dataset.slug)
    try:
        count = gold.choose(dataset=dataset, images=images, user=signed_in(request))
    except gold.GoldError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{count} known answers are added.")
    return redirect("reviewers", dataset.slug)


@require_POST
def begin_round(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask again for what was judged by an older guideline."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    asked = certifying.begin_round(dataset=dataset, user=signed_in(request))
    messages.success(request, f"{asked:,} images are asked again.")
    return redirect("reviewers", dataset.slug)


# --- One's own --------------------------------------------------------------------------


@require_GET
def mine(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a person their own count, pace and agreement; nobody else's."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    person = signed_in(request)
    own = [one for one in review_stats(dataset).reviewers if one.user == person]
    context |= {
        "own": own[0] if own else None,
        "progress": services.progress(dataset=dataset, reviewer=person),
    }
    return render(request, "review/mine.html", context)
