"""How often one person may do what costs others something: decide, export, spend.

Which route counts as what stands in the settings, in one table. Counted in Redis, over all hosts,
in windows of fixed length; while Redis is away nobody is held up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from redis.exceptions import RedisError

from synthreview.accounts.models import User
from synthreview.work.services import redis

SAFE = ("GET", "HEAD", "OPTIONS")


class TooManyError(Exception):
    """The person has done this too often; `retry_after_s` says when they may again."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"That was a lot at once. Try again in {retry_after_s} seconds.")
        self.retry_after_s = retry_after_s


def count(request: HttpRequest, user: User) -> None:
    """Count this request of `user`, where its route is limited. Raises TooManyError."""
    match = request.resolver_match
    what = settings.LIMITED_ROUTES.get(match.view_name) if match else None
    if request.method in SAFE or what not in settings.RATE_LIMITS:
        return
    most, period_s = settings.RATE_LIMITS[what]
    window, into_s = divmod(time.time(), period_s)
    key = f"synthreview:limit:{what}:{user.pk}:{window:.0f}"
    used = 0
    with suppress(RedisError), redis().pipeline() as pipeline:
        pipeline.incr(key)
        pipeline.expire(key, int(period_s) + 1)
        used = pipeline.execute()[0]
    if used > most:
        raise TooManyError(int(period_s - into_s) + 1)


class LimitsMiddleware:
    """Counts what people do on pages; tokens are counted where they are read."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        if isinstance(request.user, User):
            try:
                count(request, request.user)
            except TooManyError as error:
                return too_many(request, error)
        return None


def too_many(request: HttpRequest, error: TooManyError | None = None) -> HttpResponse:
    """Answer 429 and when to come back, as a page or as the API does.

    django-allauth, which knows no number, has it from urls.py.
    """
    error = error or TooManyError(60)
    response: HttpResponse
    if request.path.startswith("/api/"):
        response = JsonResponse({"detail": str(error)}, status=429)
    else:
        response = render(request, "429.html", {"error": error}, status=429)
    response["Retry-After"] = str(error.retry_after_s)
    return response
