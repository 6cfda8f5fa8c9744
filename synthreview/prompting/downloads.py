"""A file of prompts as the answer to a request, for the page and for the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import StreamingHttpResponse

from synthreview.catalog.models import Dataset
from synthreview.prompting.importing import export_prompts

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "jsonl": "application/jsonl; charset=utf-8",
}


def download(dataset: Dataset, kind: str, filters: Mapping[str, Any]) -> StreamingHttpResponse:
    """Return the prompts as a file that is sent while it is read."""
    return StreamingHttpResponse(
        export_prompts(dataset=dataset, kind=kind, filters=filters),
        content_type=CONTENT_TYPES[kind],
        headers={
            "Content-Disposition": f'attachment; filename="{dataset.slug}-prompts.{kind}"',
            "Cache-Control": "private, no-store",
        },
    )
