"""Pages of the captions: the list with its filters and keys, one caption, many at once."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import dataset_context, open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.prompting import gate, services
from synthreview.prompting.forms import CaptionForm, PromptListForm
from synthreview.prompting.keys import KEYS
from synthreview.prompting.models import MeaningCheck, Prompt, PromptQuerySet, PromptState, Writing

PAGE = 50


@require_GET
def prompts(request: HttpRequest, slug: str) -> HttpResponse:
    """List the prompts; for htmx the list alone."""
    dataset, context = open_dataset(request, slug)
    filters = PromptListForm(request.GET, dataset=dataset)
    context |= _list_context(dataset, filters, request.GET.get("page"))
    context |= {"keys": KEYS, "writing": _writing(dataset, filters)}
    context["text_threshold"] = gate.TEXT_THRESHOLD
    context["meaning"] = MeaningCheck.objects.filter(dataset=dataset).first()
    return page_or_part(request, "prompting/prompts.html", "prompting/_list.html", context)


def _list_context(
    dataset: Dataset, filters: PromptListForm, page: str | None = None
) -> dict[str, Any]:
    found = _found(dataset, filters)
    return {
        "filters": filters,
        "page": Paginator(found.select_related("label_class"), PAGE).get_page(page),
        "query": urlencode(filters.query),
        "counts": Prompt.objects.filter(dataset=dataset).counts(),
    }


def _found(dataset: Dataset, filters: PromptListForm) -> PromptQuerySet:
    rows = Prompt.objects.filter(dataset=dataset, **filters.chosen)
    return rows.exclude(flags=[]) if filters.is_flagged else rows


def _writing(dataset: Dataset, filters: PromptListForm) -> Writing | None:
    pk = filters.chosen.get("writing")
    return Writing.objects.filter(dataset=dataset, pk=pk).first() if pk else None


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
            return _row_or_list(request, prompt, context)
    context |= {"prompt": prompt, "form": form}
    return page_or_part(request, "prompting/edit.html", "prompting/_edit.html", context)


@require_GET
def row(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one row again, unchanged: what Cancel asks for."""
    visible = Prompt.objects.visible_to(signed_in(request))
    prompt = get_object_or_404(visible.select_related("label_class", "dataset__policy"), pk=pk)
    return _row_or_list(request, prompt, dataset_context(request, prompt.dataset))


def _row_or_list(request: HttpRequest, prompt: Prompt, context: dict[str, Any]) -> HttpResponse:
    if getattr(request, "htmx", None):
        return render(request, "prompting/_row.html", context | {"prompt": prompt})
    return redirect("prompts", prompt.dataset.slug)


# --- Many -----------------------------------------------------------------------

STATE_OF = {"approve": PromptState.APPROVED, "retire": PromptState.RETIRED}


@require_POST
def change_state(request: HttpRequest, slug: str) -> HttpResponse:
    """Approve or retire one caption, what is ticked, or every draft shown; all of it or nothing."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    query = _own_query(request.POST.get("query", ""))
    filters = PromptListForm(QueryDict(query), dataset=dataset)
    for name, state in STATE_OF.items():  # a row's own button names its caption
        if one := request.POST.get(name):
            (pk,) = _known([one], dataset)
            services.set_prompt_state([pk], dataset=dataset, state=state)
            prompt = Prompt.objects.select_related("label_class", "dataset").get(pk=pk)
            if getattr(request, "htmx", None):
                return render(request, "prompting/_row.html", context | {"prompt": prompt})
            messages.success(request, f"“{prompt.text[:80]}” is {state.label}.")
            return _back(dataset, query)
    do = request.POST.get("do", "")
    if do == "approve_drafts":
        # Those that somebody must look at are looked at.
        drafts = _found(dataset, filters).filter(state=PromptState.DRAFT, flags=[])
        chosen = set(drafts.values_list("pk", flat=True))
    else:
        chosen = _known(request.POST.getlist("prompt"), dataset)
    if not chosen:
        messages.warning(request, "Tick the prompts first.")
    elif do.removesuffix("_drafts") in STATE_OF:
        _set_state(request, dataset, chosen, STATE_OF[do.removesuffix("_drafts")])
    if getattr(request, "htmx", None):
        context |= _list_context(dataset, filters, request.POST.get("page"))
        return render(request, "prompting/_list_after.html", context)
    return _back(dataset, query)


def _known(values: list[str], dataset: Dataset) -> set[int]:
    """Return prompts of this dataset; one that is not of it spoils the whole request."""
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


def _own_query(query: str) -> str:
    """Return the query of our own page; anything else is none."""
    return query if query.isascii() and query.isprintable() and len(query) < 2_000 else ""


def _back(dataset: Dataset, query: str) -> HttpResponse:
    """Go back to the list as it was filtered; `query` can only name our own page."""
    response = redirect("prompts", dataset.slug)
    if query:
        response["Location"] += f"?{query}"
    return response
