"""What a person sees when something breaks: 503 where a server is away, else 500."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from redis.exceptions import RedisError

from synthreview.lib.s3 import StorageError

AWAY = (OperationalError, InterfaceError, RedisError, StorageError)
RETRY_S = 10


def fault(request: HttpRequest) -> HttpResponse:
    """Answer a request that raised (Django's handler500, called while the error is handled)."""
    is_away = isinstance(sys.exc_info()[1], AWAY)
    status = 503 if is_away else 500
    response: HttpResponse
    if request.path.startswith("/api/"):
        detail = "A server that we need is away; try again." if is_away else "It is our fault."
        response = JsonResponse({"detail": detail}, status=status)
    else:
        response = render(None, f"{status}.html", status=status)
    if is_away:
        response["Retry-After"] = str(RETRY_S)
    return response
