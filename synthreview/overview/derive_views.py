"""Pages that derive images from images: over a whole dataset, or one picture repainted by hand."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from synthreview.catalog.models import Dataset, ReferenceImage, ReferenceUse
from synthreview.catalog.pages import dataset_context, open_dataset, signed_in
from synthreview.catalog.permissions import Action
from synthreview.generation import services
from synthreview.generation.models import GeneratedImage
from synthreview.generation.options import initial_of
from synthreview.generation.views import ESTIMATE, estimated_anew
from synthreview.overview.derive_forms import DeriveForm
from synthreview.overview.deriving import derivations
from synthreview.overview.repaint_forms import RepaintForm
from synthreview.prompting.techniques import INSTRUCTED, TECHNIQUES
from synthreview.review.models import ImageReview, ImageState
from synthreview.spending.services import budget_of

MULTIPLE = frozenset({"classes"})


@require_http_methods(["GET", "POST"])
def derive(request: HttpRequest, slug: str) -> HttpResponse:
    """Start a run that makes images from images; before that show how many, and the cost."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    form = DeriveForm(
        request.POST or None, dataset=dataset, initial=initial_of(request.GET, multiple=MULTIPLE)
    )
    if request.POST.get("ask") == ESTIMATE:
        context |= _estimated(dataset, form)
    elif form.is_valid():
        try:
            todo = derivations(dataset, form.wish, created_by=signed_in(request))
            run = services.start_run(
                dataset=dataset,
                orders=todo,
                count=len(todo),
                created_by=signed_in(request),
                **form.draw_order,
            )
        except services.RunError as error:
            form.add_error(None, str(error))
        else:
            return redirect("run", dataset.slug, run.number)
    context |= {
        "form": form,
        "technique": TECHNIQUES[form.technique_chosen],
        "techniques": [TECHNIQUES[key] for key in INSTRUCTED],
        "stock": _stock(dataset),
    }
    return estimated_anew(render(request, "overview/derive.html", context))


@require_GET
def derive_estimate(request: HttpRequest, slug: str) -> HttpResponse:
    """Say what the form as it stands would make and cost; nothing is stored."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    form = DeriveForm(request.GET, dataset=dataset)
    context |= _estimated(dataset, form)
    return render(request, "overview/_derive_estimate.html", context | {"form": form})


def _estimated(dataset: Dataset, form: DeriveForm) -> dict[str, Any]:
    """Return what the form would make and cost; what is wrong stands in the form then."""
    if not form.is_valid():
        return {}
    found: dict[str, Any] = {"budget": budget_of(dataset)}
    try:
        todo = derivations(dataset, form.wish, write=False)
        found["plan"] = services.plan_run(orders=todo, count=len(todo), **form.draw_order)
        found["source_count"] = len({image for order in todo for image in order.inputs})
    except services.RunError as error:
        form.add_error(None, str(error))
    return found


def _stock(dataset: Dataset) -> dict[str, int]:
    return {
        "approved": ImageReview.objects.filter(
            image__dataset=dataset, state=ImageState.APPROVED
        ).count(),
        "references": ReferenceImage.objects.filter(
            dataset=dataset, use=ReferenceUse.SOURCE
        ).count(),
    }


# --- One picture, repainted by hand ------------------------------------------------------


@require_http_methods(["GET", "POST"])
def repaint(request: HttpRequest, pk: int) -> HttpResponse:
    """Paint a mask on one image, say what shall be there, and start a run of it."""
    source, context = _source(request, pk)
    form = RepaintForm(
        request.POST or None,
        request.FILES or None,
        source=source,
        initial=initial_of(request.GET, multiple=()),
    )
    if request.POST.get("ask") == ESTIMATE:
        context |= _repaint_estimated(form)
    elif form.is_valid():
        try:
            run = services.start_run(
                dataset=source.dataset,
                orders=[form.to_order(created_by=signed_in(request))],
                count=form.cleaned_data["count"],
                created_by=signed_in(request),
                **form.draw_order,
            )
        except services.RunError as error:
            form.add_error(None, str(error))
        else:
            return redirect("run", source.dataset.slug, run.number)
    return render(request, "overview/repaint.html", context | {"form": form, "image": source})


@require_GET
def repaint_estimate(request: HttpRequest, pk: int) -> HttpResponse:
    """Say what the form as it stands would make and cost; nothing is stored."""
    source, context = _source(request, pk)
    form = RepaintForm(request.GET, source=source)
    context |= _repaint_estimated(form)
    return render(request, "overview/_derive_estimate.html", context | {"form": form})


def _source(request: HttpRequest, pk: int) -> tuple[GeneratedImage, dict[str, Any]]:
    visible = GeneratedImage.objects.visible_to(signed_in(request))
    source = get_object_or_404(visible.select_related("dataset__policy", "label_class"), pk=pk)
    return source, dataset_context(request, source.dataset, Action.CURATE)


def _repaint_estimated(form: RepaintForm) -> dict[str, Any]:
    """Return what the form would cost; what it would say and mask makes no difference to that."""
    if not form.is_valid() and set(form.errors) - {"instruction", "mask"}:
        return {}
    for name in ("instruction", "mask"):
        form.errors.pop(name, None)
    found: dict[str, Any] = {"budget": budget_of(form.source.dataset), "source_count": 1}
    try:
        orders, count = [form.stand_in()], form.cleaned_data["count"]
        found["plan"] = services.plan_run(orders=orders, count=count, **form.draw_order)
    except services.RunError as error:
        form.add_error(None, str(error))
    return found
