"""A name for each request: in every line that it logs, and in its answer."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from synthreview.lib.logs import doing

HEADER = "X-Request-ID"
NAME = re.compile(r"[A-Za-z0-9_-]{8,64}")
logger = logging.getLogger("synthreview.requests")


class RequestNames:
    """Middleware: takes the name that a proxy gave, else makes one, and logs the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(HEADER, "")
        name = given if NAME.fullmatch(given) else uuid.uuid4().hex
        began = time.perf_counter()
        with doing(request=name):
            response = self.get_response(request)
            fields = {
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "ms": round((time.perf_counter() - began) * 1000, 1),
            }
            logger.info("%s %s", request.method, request.path, extra={"fields": fields})
        response[HEADER] = name
        return response
