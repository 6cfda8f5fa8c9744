"""Pages of prompting: the list of prompts, the form that writes them, one caption."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import IntegrityError, transaction
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import dataset_context, open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.prompting import services
from synthreview.prompting.authors.base import AuthorError
from synthreview.prompting.forms import CaptionForm, PromptFilterForm, WriteForm
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN

PAGE = 50
PREVIEWED = 20


@require_GET
def prompts(request: HttpRequest, slug: str) -> HttpResponse:
    """List the prompts beside the form that writes more; for htmx the list alone."""
    dataset, context = open_dataset(request, slug)
    context |= _list_context(request, dataset) | {"form": WriteForm(dataset=dataset)}
    return page_or_part(request, "prompting/prompts.html", "prompting/_list.html", context)


def _list_context(request: HttpRequest, dataset: Dataset) -> dict[str, Any]:
    filters = PromptFilterForm(request.GET, dataset=dataset)
    rows = Prompt.objects.filter(dataset=dataset)
    found = rows.filter(**filters.chosen).select_related("label_class")
    query = {name: request.GET[name] for name in filters.chosen}
    return {
        "filters": filters,
        "page": Paginator(found, PAGE).get_page(request.GET.get("page")),
        "query": urlencode(query),
        "counts": rows.aggregate(
            all=Count("pk"),
            drafts=Count("pk", filter=Q(state=PromptState.DRAFT)),
            approved=Count("pk", filter=Q(state=PromptState.APPROVED)),
        ),
        "axis_names": [axis.name for axis in dataset.axes.all()],
        "techniques": [TECHNIQUES[key] for key in WRITTEN],
    }


# --- Writing --------------------------------------------------------------------


@require_POST
def write(request: HttpRequest, slug: str) -> HttpResponse:
    """Write prompts and store them, as drafts or approved straight away."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    form = WriteForm(request.POST, dataset=dataset)
    state = PromptState.APPROVED if request.POST.get("do") == "approve" else PromptState.DRAFT
    if form.is_valid():
        try:
            written = services.write_prompts(
                **form.wish, state=state, created_by=signed_in(request)
            )
        except (AuthorError, ValueError) as error:  # an adversarial wish without a label, say
            form.add_error(None, str(error))
        else:
            _say_written(request, written)
            return redirect("prompts", dataset.slug)
    context |= _list_context(request, dataset) | {"form": form}
    return render(request, "prompting/prompts.html", context)


def _say_written(request: HttpRequest, written: services.Written) -> None:
    number = len(written.prompts)
    if not number:
        messages.warning(
            request,
            "No new caption: every combination is written already. Add values to the axes, "
            "or change the template.",
        )
    elif number < written.asked:
        messages.warning(
            request,
            f"{number} of {written.asked} prompts are written: no other combination is left. "
            "More values on the axes give more.",
        )
    else:
        messages.success(request, f"{number} prompt{'s are' if number > 1 else ' is'} written.")


@require_GET
def preview(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the first captions that the form would write; nothing is stored."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    form = WriteForm(request.GET, dataset=dataset)
    plan = None
    template = ""
    if form.is_valid():
        wish = {name: value for name, value in form.wish.items() if name != "author_alias"}
        template = services.template_for(wish["technique"], wish["template"], set(form.axes))
        try:
            plan = services.plan(**wish, samples=PREVIEWED)
        except ValueError as error:
            form.add_error(None, str(error))
    context |= {"form": form, "plan": plan, "template": template}
    return page_or_part(request, "prompting/preview.html", "prompting/_preview.html", context)


# --- One caption ----------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change one caption in its row; without htmx on a page of its own."""
    visible = Prompt.objects.visible_to(signed_in(request))
    prompt = get_object_or_404(visible.select_related("label_class", "dataset__policy"), pk=pk)
    context = dataset_context(request, prompt.dataset, Action.CURATE)
    form = CaptionForm(request.POST or None, prompt=prompt)
    if form.is_valid():
        try:
            with transaction.atomic():
                services.edit_prompt(prompt, form.cleaned_data["text"])
        except IntegrityError:  # somebody wrote the same caption a moment ago
            form.add_error("text", "The class has this caption already.")
        else:
            return _after_edit(request, prompt, context)
    context |= {"prompt": prompt, "form": form}
    return page_or_part(request, "prompting/edit.html", "prompting/_edit.html", context)


@require_GET
def row(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one row again, unchanged: what Cancel asks for."""
    visible = Prompt.objects.visible_to(signed_in(request))
    prompt = get_object_or_404(visible.select_related("label_class", "dataset__policy"), pk=pk)
    return _after_edit(request, prompt, dataset_context(request, prompt.dataset))


def _after_edit(request: HttpRequest, prompt: Prompt, context: dict[str, Any]) -> HttpResponse:
    if getattr(request, "htmx", None):
        return render(request, "prompting/_row.html", context | {"prompt": prompt})
    return redirect("prompts", prompt.dataset.slug)


# --- Many -----------------------------------------------------------------------


@require_POST
def change_state(request: HttpRequest, slug: str) -> HttpResponse:
    """Approve or retire what is ticked, or approve every draft; all of it or nothing."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    do = request.POST.get("do")
    if do == "approve_drafts":
        drafts = Prompt.objects.filter(dataset=dataset, state=PromptState.DRAFT)
        chosen = set(drafts.values_list("pk", flat=True))
    else:
        chosen = _ticked(request, dataset)
    if not chosen:
        messages.warning(request, "Tick the prompts first.")
    elif do in {"approve", "approve_drafts"}:
        _set_state(request, dataset, chosen, PromptState.APPROVED)
    elif do == "retire":
        _set_state(request, dataset, chosen, PromptState.RETIRED)
    return _back(dataset, request.POST.get("query", ""))


def _ticked(request: HttpRequest, dataset: Dataset) -> set[int]:
    """Return the ticked prompts; one that is not of this dataset spoils the whole request."""
    values = request.POST.getlist("prompt")
    if not all(value.isdecimal() and len(value) < 19 for value in values):
        raise Http404
    chosen = {int(value) for value in values}
    if Prompt.objects.filter(dataset=dataset, pk__in=chosen).count() != len(chosen):
        raise Http404
    return chosen


def _set_state(
    request: HttpRequest, dataset: Dataset, chosen: set[int], state: PromptState
) -> None:
    changed = services.set_prompt_state(chosen, dataset=dataset, state=state)
    number = "1 prompt is" if changed == 1 else f"{changed} prompts are"
    messages.success(request, f"{number} {state.label}.")


def _back(dataset: Dataset, query: str) -> HttpResponse:
    """Go back to the list as it was filtered; `query` can only name our own page."""
    response = redirect("prompts", dataset.slug)
    if query and query.isascii() and query.isprintable():
        response["Location"] += f"?{query}"
    return response
