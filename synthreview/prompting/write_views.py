"""Pages of the prompt studio: the form that writes prompts, its live preview, past writings."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.lib.outcomes import ServiceError
from synthreview.prompting import gate, services
from synthreview.prompting.drafting import plan
from synthreview.prompting.forms import SET, WriteForm
from synthreview.prompting.models import PromptState, Writing, WritingCall
from synthreview.prompting.ordering import WritingPlan, order_writing, plan_writing
from synthreview.prompting.planning import Plan, Shelf
from synthreview.prompting.techniques import INSTRUCTED, TECHNIQUES, WRITTEN
from synthreview.spending.services import budget_of

PREVIEWED = 20
WRITINGS = 30


@require_http_methods(["GET", "POST"])
def write(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the studio; write prompts and store them, as drafts or approved straight away."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    posted = request.method == "POST"
    form = WriteForm(request.POST, dataset=dataset) if posted else _first_form(request, dataset)
    if form.is_bound and form.is_valid():
        state = PromptState.APPROVED if request.POST.get("do") == "approve" else PromptState.DRAFT
        try:
            if form.is_for_worker:
                return redirect(_order(form, state, request))
            written = _write(form, state, request)
        except (ServiceError, ValueError) as error:  # an adversarial wish without a label, say
            form.add_error(None, str(error))
        else:
            _say_written(request, written)
            response = redirect("prompts", dataset.slug)
            if len(written) == 1:
                response["Location"] += f"?writing={written[0].writing.pk}"
            return response
    context |= {
        "form": form,
        "text_techniques": [TECHNIQUES[key] for key in WRITTEN],
        "image_techniques": [TECHNIQUES[key] for key in INSTRUCTED],
        "set": SET,
        "text_threshold": gate.TEXT_THRESHOLD,
    }
    status = 422 if form.errors else 200
    return render(request, "prompting/studio.html", context, status=status)


def _first_form(request: HttpRequest, dataset: Dataset) -> WriteForm:
    """Return the form before anything is sent; the address may fill in fields of it."""
    form = WriteForm(dataset=dataset)
    for name, field in form.fields.items():
        if name in request.GET:
            many = request.GET.getlist(name)
            is_list = hasattr(field.widget, "allow_multiple_selected")
            is_list = is_list and field.widget.allow_multiple_selected
            form.initial[name] = many if is_list else many[0]
    return form


def _write(form: WriteForm, state: PromptState, request: HttpRequest) -> list[services.Written]:
    user = signed_in(request)
    if form.is_set:
        return list(services.write_set(form.wish, state=state, created_by=user).values())
    alias = form.cleaned_data["author"]
    return [
        services.write_prompts(
            form.wish, author_alias=alias, brief=form.brief, state=state, created_by=user
        )
    ]


def _order(form: WriteForm, state: PromptState, request: HttpRequest) -> Writing:
    return order_writing(
        form.wish,
        author_alias=form.cleaned_data["author"],
        brief=form.brief,
        state=state,
        created_by=signed_in(request),
    )


def _say_written(request: HttpRequest, written: list[services.Written]) -> None:
    number = sum(len(one.prompts) for one in written)
    asked = sum(one.asked for one in written)
    if not number:
        messages.warning(
            request,
            "No new caption: every combination is written already. Add values to the axes, "
            "or change the template.",
        )
    elif number < asked:
        messages.warning(
            request,
            f"{number} of {asked} prompts are written: no other combination is left. "
            "More values on the axes give more.",
        )
    else:
        messages.success(request, f"{number} prompt{'s are' if number > 1 else ' is'} written.")


@require_GET
def preview(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the first captions that the form would write; nothing is stored."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    form = WriteForm(request.GET, dataset=dataset)
    plans: list[tuple[str, Plan]] = []
    order: WritingPlan | None = None
    if form.is_valid():
        try:
            if form.is_for_worker:
                alias = form.cleaned_data["author"]
                order = plan_writing(form.wish, author_alias=alias, brief=form.brief)
            else:
                plans = _plans(form)
        except ValueError as error:
            form.add_error(None, str(error))
    context |= {"form": form, "plans": plans, "plan": plans[-1][1] if plans else None}
    if order is not None:
        context |= {"order": order, "budget": budget_of(dataset)}
    return page_or_part(request, "prompting/preview.html", "prompting/_preview.html", context)


def _plans(form: WriteForm) -> list[tuple[str, Plan]]:
    """Return the plan of each technique that the form asks for, by its title."""
    shelf = Shelf(form.dataset)
    wishes = services.share_out(form.wish, shelf=shelf) if form.is_set else [form.wish]
    samples = -(-PREVIEWED // len(wishes))
    brief = None if form.is_set else form.brief
    return [
        (
            TECHNIQUES[one.technique].title,
            plan(one, samples=min(samples, one.count), brief=brief, shelf=shelf),
        )
        for one in wishes
        if one.count
    ]


@require_GET
def writings(request: HttpRequest, slug: str) -> HttpResponse:
    """List what was written when, by whom, and how much of it was not kept."""
    dataset, context = open_dataset(request, slug)
    flagged = Count("prompts", filter=~Q(prompts__flags=[]))
    rows = Writing.objects.filter(dataset=dataset).annotate(flagged_count=flagged)
    is_open = Exists(WritingCall.objects.open().filter(writing=OuterRef("pk")))
    rows = rows.annotate(is_open=is_open)
    rows = rows.select_related("created_by").defer("dropped").order_by("-pk")
    context["page"] = Paginator(rows, WRITINGS).get_page(request.GET.get("page"))
    return render(request, "prompting/writings.html", context)
