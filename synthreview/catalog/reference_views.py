"""Pages of the user's own real images: brought in, looked at, taken out."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.catalog import references as services
from synthreview.catalog.downloads import send_rendition
from synthreview.catalog.image_folders import RefusedFileError
from synthreview.catalog.models import Dataset, ReferenceImage, ReferenceUse
from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action
from synthreview.catalog.reference_forms import ReferenceForm
from synthreview.lib.images import MAX_BYTES, BadImageError

PAGE = 60
SHOWN = 5


@require_http_methods(["GET", "POST"])
def references(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the real images; take in more."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    form = ReferenceForm(request.POST or None, request.FILES or None, dataset=dataset)
    if form.is_valid():
        _take_in(request, dataset, form.cleaned_data)
        return redirect("references", dataset.slug)
    rows = ReferenceImage.objects.filter(dataset=dataset).select_related("label_class")
    chosen = request.GET.get("use", "")
    shown = rows.filter(use=chosen) if chosen in ReferenceUse.values else rows
    counts = dict(rows.order_by().values_list("use").annotate(number=Count("pk")))
    context |= {
        "form": form,
        "page": Paginator(shown.order_by("-pk"), PAGE).get_page(request.GET.get("page")),
        "chosen": chosen,
        "uses": [(use.value, use.label, counts.get(use.value, 0)) for use in ReferenceUse],
    }
    return render(request, "catalog/references.html", context)


def _take_in(request: HttpRequest, dataset: Dataset, cleaned: dict[str, Any]) -> None:
    """Store the files, and say what became of them."""
    added = there = 0
    refused = []
    for file in cleaned["pictures"]:
        try:
            if (file.size or 0) > MAX_BYTES:
                raise RefusedFileError(f"the file is larger than {MAX_BYTES // 1_000_000} MB")
            made = services.add_reference(
                dataset=dataset,
                label_class=cleaned["label_class"],
                use=cleaned["use"],
                data=file.read(),
                name=file.name or "",
            )
        except (BadImageError, RefusedFileError) as error:
            refused.append(f"{file.name}: {error}")
        else:
            added += made is not None
            there += made is None
    if added:
        messages.success(request, f"{added} pictures are in.")
    if there:
        messages.warning(request, f"{there} pictures were there already.")
    for words in refused[:SHOWN]:
        messages.error(request, words)
    if len(refused) > SHOWN:
        messages.error(request, f"… and {len(refused) - SHOWN} more were refused.")


@require_POST
def remove_references(request: HttpRequest, slug: str) -> HttpResponse:
    """Take chosen real images out."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    given = {pk for pk in request.POST.getlist("images") if pk.isdecimal() and len(pk) < 19}
    rows = list(ReferenceImage.objects.filter(dataset=dataset, pk__in=given))
    if len(rows) < len(given):  # one that is not there spoils the whole request
        raise Http404
    gone = services.remove_references(rows)
    if gone:
        messages.success(request, f"{gone} pictures are out.")
    if gone < len(rows):
        messages.warning(
            request, f"{len(rows) - gone} stay: images were made of them, and they are evidence."
        )
    return redirect("references", dataset.slug)


@require_GET
def rendition(request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
    """Send the re-encoded picture that pages show."""
    visible = ReferenceImage.objects.visible_to(signed_in(request))
    return send_rendition(visible.filter(pk=pk).values_list("sha256", flat=True).first(), name)
