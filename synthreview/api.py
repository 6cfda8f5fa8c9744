"""The API at /api/: each stage brings its routes. docs/api.md tells how to use it.

It does what the pages do, through the same services and the same doors: what somebody may not
see is a 404, what their role does not allow a 403, wrong input a 422 with a sentence.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern
from ninja import NinjaAPI
from ninja.errors import ValidationError
from ninja.security import SessionAuth

from synthreview import __version__
from synthreview.accounts.api import TokenAuth
from synthreview.accounts.limits import TooManyError, too_many
from synthreview.catalog.api import router as catalog
from synthreview.evaluation.api import router as evaluation
from synthreview.export.api import router as export
from synthreview.overview.api import router as overview
from synthreview.prompting.api import router as prompting
from synthreview.review.api import router as review

# Whoever asks is `request.user`. Tokens go before the session, whose CSRF check ends the search.
AUTH = [TokenAuth(), SessionAuth()]

api = NinjaAPI(
    title="SynthReview",
    version=__version__,
    description="Human-in-the-loop review of generated image classification data.",
    docs_url=None,  # its page loads scripts from elsewhere, which our policy forbids
    urls_namespace="api",
    auth=AUTH,
)
api.add_router("", catalog, tags=["catalog"])
api.add_router("", prompting, tags=["prompts"])
api.add_router("", review, tags=["review"])
api.add_router("", export, tags=["exports"])
api.add_router("", overview, tags=["coverage"])
api.add_router("", evaluation, tags=["evaluations"])


@api.exception_handler(PermissionDenied)
def refuse(request: HttpRequest, error: Any) -> HttpResponse:
    """Say which role is missing."""
    return api.create_response(request, {"detail": str(error)}, status=403)


@api.exception_handler(TooManyError)
def slow_down(request: HttpRequest, error: Any) -> HttpResponse:
    """Say when to come back."""
    return too_many(request, error)


@api.exception_handler(Http404)
def not_found(request: HttpRequest, error: Any) -> HttpResponse:
    """Say nothing about what is behind the door."""
    return api.create_response(request, {"detail": "Not found."}, status=404)


@api.exception_handler(ValidationError)
def explain(request: HttpRequest, error: Any) -> HttpResponse:
    """Name each wrong field, and what is allowed."""
    errors = [
        {
            "field": ".".join(map(str, one["loc"][1:])) or str(one["loc"][0]),
            "message": one["msg"].removeprefix("Value error, "),
        }
        for one in error.errors
    ]
    detail = "; ".join(f"{one['field'].split('.', 1)[-1]}: {one['message']}" for one in errors[:5])
    return api.create_response(request, {"detail": detail, "errors": errors}, status=422)


def urls() -> tuple[list[Any], str, str]:
    """Return the addresses for urls.py. The API answers strangers itself, with 401, not a form."""
    patterns, app_name, namespace = api.urls
    for pattern in patterns:
        if isinstance(pattern, URLPattern) and pattern.name not in ("openapi-json", "api-root"):
            pattern.callback = login_not_required(pattern.callback)
    return patterns, app_name, namespace
