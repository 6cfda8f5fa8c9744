"""The API, fuzzed from its own OpenAPI document: whatever comes, no answer is a fault of ours.

Each case is sent as an admin whose dataset has a little of everything, by token, and undone. The
short form is part of the suite; `make fuzz` asks for more of each operation.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from synthreview.accounts.models import Scope
from synthreview.accounts.services import make_token
from synthreview.api import api
from tests.factories import make_image, make_prompt, make_review, make_score
from tests.people import make_people

if TYPE_CHECKING:
    from collections.abc import Iterator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # not ours
    import schemathesis

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "5"))
SCHEMA = schemathesis.openapi.from_dict(api.get_openapi_schema())
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]
TEXT = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Hypothesis says how slow strange schemas are
        yield


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_whatever_the_document_allows_no_answer_is_a_fault(operation: Any) -> None:
    people = make_people()
    prompt = make_prompt(people.label_class)
    image = make_image(prompt=prompt)
    make_score(image)
    make_review(image)
    _, token = make_token(user=people.users["admin"], title="fuzz", scopes=Scope.values, days=1)
    known = {"slug": "traffic", "pk": prompt.pk, "number": 1, "other": 2}
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {token}"})

    @seed(8)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        # Most cases get through the door, so that what is behind it is fuzzed.
        case.path_parameters = {
            name: known.get(name, value) for name, value in (case.path_parameters or {}).items()
        }
        sent = case.as_transport_kwargs(base_url="http://testserver")
        with transaction.atomic():
            response = send(client, sent)
            body = b"".join(response) if response.streaming else response.content
            transaction.set_rollback(True)
        assert response.status_code < 500, (sent, body[:500])
        assert b"Traceback" not in body

    ask()


def send(client: Client, sent: dict[str, Any]) -> Any:
    """Send a case of schemathesis by Django's test client."""
    import requests

    prepared = requests.Request(
        sent["method"],
        sent["url"],
        params=sent.get("params"),
        json=sent.get("json"),
        data=sent.get("data"),
        files=sent.get("files"),
    ).prepare()
    body = prepared.body or b""
    return client.generic(
        prepared.method,
        prepared.path_url,
        body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"),
        content_type=prepared.headers.get("Content-Type", "application/json"),
    )
