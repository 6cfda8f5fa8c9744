"""The barest view that does the work: one update, one indexed claim, one page.

It has the product's middleware, sessions, signing in and CSRF, and its own table with the index
that fits; nothing is looked up, checked or shown beyond that.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST

TABLE = """
    CREATE TABLE bare_task (
        id bigint PRIMARY KEY, priority double precision NOT NULL, state varchar(10) NOT NULL,
        reviewer_id bigint, lease_token varchar(36) UNIQUE, verdict varchar(10)
    )
"""
INDEX = "CREATE INDEX bare_waiting ON bare_task (priority, id) WHERE state = 'waiting'"
DECIDE = """
    UPDATE bare_task SET state = 'decided', verdict = %s, lease_token = NULL
    WHERE lease_token = %s AND reviewer_id = %s AND state = 'leased'
"""
CLAIM = """
    UPDATE bare_task SET state = 'leased', reviewer_id = %s, lease_token = %s
    WHERE id = (
        SELECT id FROM bare_task WHERE state = 'waiting' ORDER BY priority, id LIMIT 1 {lock}
    )
    RETURNING id
"""
PAGE = """<section data-token="{{ token }}"><img src="/images/{{ task }}/view" alt="">
<form method="post" action="/bare/decide">{% csrf_token %}
<input type="hidden" name="token" value="{{ token }}">
<button name="verdict" value="approve">Approve</button>
<button name="verdict" value="reject">Reject</button></form></section>"""
_page: list[Template] = []


@csrf_protect
@require_POST
def decide(request: HttpRequest) -> HttpResponse:
    """Decide the task that carries the token, claim the next one and show it."""
    token = str(uuid.uuid4())
    reviewer = request.user.pk
    lock = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(DECIDE, [request.POST["verdict"], request.POST["token"], reviewer])
        cursor.execute(CLAIM.format(lock=lock), [reviewer, token])
        (task,) = cursor.fetchone()
    if not _page:
        _page.append(Template(PAGE))
    context = Context({"token": token, "task": task, "csrf_token": _csrf(request)})
    return HttpResponse(_page[0].render(context))


def _csrf(request: HttpRequest) -> str:
    from django.middleware.csrf import get_token

    return get_token(request)


class CountQueries:
    """Say in a header how many queries a request took, where it asks for that."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "X-Count-Queries" not in request.headers:
            return self.get_response(request)
        count = 0

        def counted(execute: Any, sql: str, *rest: Any) -> Any:
            nonlocal count
            count += not sql.startswith(("BEGIN", "SAVEPOINT", "RELEASE"))
            return execute(sql, *rest)

        with contextlib.ExitStack() as stack:
            stack.enter_context(connection.execute_wrapper(counted))
            response = self.get_response(request)
        response["X-Queries"] = str(count)
        return response
