"""Pages of prompt files: an upload, what its columns mean and which lines are bad, a download."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action
from synthreview.prompting.downloads import download
from synthreview.prompting.file_forms import MappingForm, PromptExportForm, UploadForm
from synthreview.prompting.importing import (
    RefusedImportError,
    Report,
    check_file,
    import_prompts,
)
from synthreview.prompting.models import Prompt
from synthreview.prompting.prompt_files import PromptFileError, look
from synthreview.prompting.uploads import MAX_BYTES, drop_upload, find_upload, keep_upload

BAD_SHOWN = 50
MAX_LINES = 100_000  # what a page waits for; the command takes more
FORM_BYTES = 100_000  # what a form needs beside its file


# --- Import ---------------------------------------------------------------------


@csrf_exempt  # its own check reads the whole body, so it comes after the limit
def import_file(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a file; what is too large is refused before it is read."""
    try:
        size = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        size = 0
    if size > MAX_BYTES + FORM_BYTES:
        response = HttpResponse(
            f"The file is larger than {MAX_BYTES // 1_000_000} MB: divide it.",
            status=413,
            content_type="text/plain; charset=utf-8",
        )
        response["Connection"] = "close"
        return response
    return _upload(request, slug)


@csrf_protect
@require_http_methods(["GET", "POST"])
def _upload(request: HttpRequest, slug: str) -> HttpResponse:
    dataset, context = open_dataset(request, slug, Action.CURATE)
    posted = request.method == "POST"
    form = UploadForm(request.POST, request.FILES) if posted else UploadForm()
    if form.is_valid():
        file = form.cleaned_data["file"]
        try:
            look(file.file)
        except PromptFileError as error:
            form.add_error("file", str(error))
        else:
            file.seek(0)
            token = keep_upload(file, dataset=dataset, user=signed_in(request))
            return redirect("prompts-import-check", dataset.slug, token)
    status = 422 if form.errors else 200
    return render(request, "prompting/import.html", context | {"form": form}, status=status)


@require_http_methods(["GET", "POST"])
def check_import(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    """Show what the columns mean and which lines are bad; import when it is confirmed."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    path = find_upload(token, dataset=dataset, user=signed_in(request))
    if path is None:
        raise Http404("This upload is gone. Upload the file again.")
    with path.open("rb") as file:
        shape = look(file)
    posted = request.POST if request.method == "POST" else None
    form = MappingForm(posted, dataset=dataset, shape=shape)
    report: Report | None = None
    if not form.is_bound or form.is_valid():
        wish: dict[str, Any] = form.wish | {
            "dataset": dataset,
            "path": path,
            "max_lines": MAX_LINES,
        }
        try:
            if posted and posted.get("do") == "import":
                report = import_prompts(**wish, created_by=signed_in(request))
                return _imported(request, dataset, token, report)
            report = check_file(**wish)
        except RefusedImportError as error:
            report = error.report
        except PromptFileError as error:
            context["problem"] = str(error)
    bad = report.bad[:BAD_SHOWN] if report else []
    context |= {"form": form, "report": report, "shape": shape, "token": token, "bad": bad}
    context["classes"] = report.by_class.most_common(20) if report else []
    context["more_bad"] = report.bad_count - len(bad) if report else 0
    is_refused = bool(posted) and posted is not None and posted.get("do") == "import"
    return render(
        request, "prompting/import_check.html", context, status=422 if is_refused else 200
    )


def _imported(request: HttpRequest, dataset: Dataset, token: str, report: Report) -> HttpResponse:
    drop_upload(token, dataset=dataset, user=signed_in(request))
    number = "1 prompt is" if report.stored == 1 else f"{report.stored:,} prompts are"
    there = f" {report.already_there:,} were there already." if report.already_there else ""
    made = f" New classes: {', '.join(report.new_classes[:10])}." if report.new_classes else ""
    messages.success(request, f"{number} imported.{there}{made}")
    return redirect("prompts", dataset.slug)


@require_POST
def drop_import(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    """Forget an upload."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    drop_upload(token, dataset=dataset, user=signed_in(request))
    messages.success(request, "The file is forgotten. Nothing was imported.")
    return redirect("prompts", dataset.slug)


# --- Export ---------------------------------------------------------------------


@require_GET
def export(request: HttpRequest, slug: str) -> HttpResponse:
    """Choose which prompts to download, and as what."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    counts = Prompt.objects.filter(dataset=dataset).counts()
    context |= {"form": PromptExportForm(dataset=dataset), "counts": counts}
    return render(request, "prompting/export.html", context)


@require_GET
def export_file(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """Send the prompts as a file, while they are read."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    form = PromptExportForm(request.GET, dataset=dataset)
    return download(dataset, form.kind, form.chosen)
