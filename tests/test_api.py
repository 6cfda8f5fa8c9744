"""The API: every route for every kind of person, what it does, and what it says of bad input."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.services import set_axis_values
from synthreview.prompting.models import Prompt, Writing
from synthreview.scoring.models import Probe
from tests.factories import make_dataset, make_prompt
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
D = "/api/datasets/traffic"
EVERYBODY = ("anonymous", "stranger", "viewer", "reviewer", "curator", "admin")
LOOK = dict(zip(EVERYBODY, (401, 404, 200, 200, 200, 200), strict=True))
CURATE = dict(zip(EVERYBODY, (401, 404, 403, 403, 200, 200), strict=True))
REVIEW = dict(zip(EVERYBODY, (401, 404, 403, 200, 200, 200), strict=True))
OPEN = dict(zip(EVERYBODY, (401, 200, 200, 200, 200, 200), strict=True))

NOTHING_YET = {**CURATE, "curator": 422, "admin": 422}
NONE_YET = dict(zip(EVERYBODY, (401, 404, 404, 404, 404, 404), strict=True))
NONE_YET_TO_WRITE = {**CURATE, "curator": 404, "admin": 404}

PROBE = {"name": "light", "groups": [{"name": "day"}, {"name": "night"}]}

ANSWER = {"token": "6f1c2a52-0f6e-4f0e-9d0e-0c1f6f3a7b11", "verdict": "approve"}

# method, path of the OpenAPI document, body, who gets what
ROUTES: list[tuple[str, str, Any, dict[str, int]]] = [
    ("get", "/api/datasets", None, OPEN),
    ("get", "/api/datasets/{slug}", None, LOOK),
    ("get", "/api/datasets/{slug}/classes", None, LOOK),
    ("get", "/api/datasets/{slug}/prompts", None, LOOK),
    ("post", "/api/datasets/{slug}/prompts", {"text": "New", "class": "car"}, CURATE),
    ("post", "/api/datasets/{slug}/prompts/state", {"ids": ["PK"], "state": "retired"}, CURATE),
    ("post", "/api/datasets/{slug}/prompts/preview", {"count": 2}, CURATE),
    ("post", "/api/datasets/{slug}/prompts/write", {"count": 2}, CURATE),
    ("post", "/api/datasets/{slug}/prompts/write-set", {"count": 2}, CURATE),
    ("get", "/api/datasets/{slug}/writings/{pk}", None, LOOK),
    ("post", "/api/datasets/{slug}/writings/{pk}/stop", None, CURATE),
    ("post", "/api/datasets/{slug}/writings/{pk}/retry", None, CURATE),
    ("get", "/api/datasets/{slug}/prompts/export", None, CURATE),
    ("post", "/api/datasets/{slug}/prompts/import", "FILE", CURATE),
    ("get", "/api/prompts/{pk}", None, LOOK),
    ("patch", "/api/prompts/{pk}", {"state": "approved"}, CURATE),
    ("get", "/api/techniques", None, OPEN),
    ("get", "/api/authors", None, OPEN),
    ("get", "/api/datasets/{slug}/authors", None, LOOK),
    ("post", "/api/datasets/{slug}/review/claim", {"kind": "next"}, REVIEW),
    ("post", "/api/datasets/{slug}/review/decide", {"answers": [ANSWER]}, REVIEW),
    (
        "post",
        "/api/datasets/{slug}/review/change",
        {"decision": 1, **ANSWER},
        {**REVIEW, "reviewer": 422, "curator": 422, "admin": 422},
    ),
    ("post", "/api/datasets/{slug}/review/undo", None, REVIEW),
    ("post", "/api/datasets/{slug}/review/release", {"tokens": None}, REVIEW),
    ("post", "/api/datasets/{slug}/review/heartbeat", {"tokens": []}, REVIEW),
    ("get", "/api/review/reasons", None, OPEN),
    ("get", "/api/datasets/{slug}/coverage", None, LOOK),
    ("get", "/api/datasets/{slug}/probes", None, LOOK),
    ("post", "/api/datasets/{slug}/probes", PROBE, CURATE),
    ("get", "/api/datasets/{slug}/probes/{pk}", None, LOOK),
    ("put", "/api/datasets/{slug}/probes/{pk}", PROBE, CURATE),
    ("delete", "/api/datasets/{slug}/probes/{pk}", None, CURATE),
    # No image is read here; tests/overview/test_probes.py labels some.
    (
        "post",
        "/api/datasets/{slug}/probes/{pk}/labels",
        {"image": 1},
        {**REVIEW, "reviewer": 422, "curator": 422, "admin": 422},
    ),
    ("get", "/api/datasets/{slug}/diversity", None, LOOK),
    ("post", "/api/datasets/{slug}/diversity", {"threshold": 0.9}, NOTHING_YET),
    ("get", "/api/datasets/{slug}/exports", None, LOOK),
    # Nothing is approved here, so that there is nothing to export and no export to be found;
    # tests/export/test_api.py has both.
    ("post", "/api/datasets/{slug}/exports", {"split": "100"}, NOTHING_YET),
    ("get", "/api/datasets/{slug}/exports/{number}", None, NONE_YET),
    (
        "post",
        "/api/datasets/{slug}/exports/{number}/packages",
        {"format": "csv"},
        NONE_YET_TO_WRITE,
    ),
    (
        "post",
        "/api/datasets/{slug}/exports/{number}/packages/{pk}/deliveries",
        {"destination": "s3"},
        NONE_YET_TO_WRITE,
    ),
    ("get", "/api/datasets/{slug}/exports/{number}/compare/{other}", None, NONE_YET),
    # No real images are here to be judged on; tests/evaluation/test_pages.py has them.
    ("get", "/api/datasets/{slug}/evaluations", None, LOOK),
    ("post", "/api/datasets/{slug}/evaluations", {"seeds": 1}, NOTHING_YET),
    ("get", "/api/datasets/{slug}/evaluations/{number}", None, NONE_YET),
    ("post", "/api/datasets/{slug}/evaluations/{number}/stop", None, NONE_YET_TO_WRITE),
]


@pytest.fixture
def people() -> People:
    people = make_people()
    for axis, values in {"colour": ["red", "blue"], "action": ["parked", "moving"]}.items():
        set_axis_values(
            dataset=people.dataset, axis_name=axis, values=[{"name": name} for name in values]
        )
    return people


def client_of(people: People, who: str) -> Client:
    return Client() if who == "anonymous" else people.client(who)


def send(client: Client, method: str, url: str, body: Any = None, **data: Any) -> Any:
    if body is None:
        return getattr(client, method)(url, **data)
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return getattr(client, method)(url, text, content_type="application/json", **data)


def send_file(client: Client, text: str, **form: str) -> Any:
    file = SimpleUploadedFile("../prompts.csv", text.encode())
    return client.post(f"{D}/prompts/import", {"file": file, **form})


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize(
    ("method", "path", "body", "expected"), ROUTES, ids=[f"{m} {p}" for m, p, *_ in ROUTES]
)
def test_every_route_for_every_person(
    people: People, who: str, method: str, path: str, body: Any, expected: dict[str, int]
) -> None:
    prompt = make_prompt(people.label_class, state="draft")
    Writing.objects.create(pk=prompt.pk, dataset=people.dataset, author="model", asked=1, written=0)
    Probe.objects.create(pk=prompt.pk, dataset=people.dataset, name="ages")
    url = path.replace("{slug}", "traffic").replace("{pk}", str(prompt.pk))
    url = url.replace("{number}", "1").replace("{other}", "2")
    client = client_of(people, who)
    if body == "FILE":
        response = send_file(client, "text,class\nA car,car\n")
    else:
        text = json.dumps(body).replace('"PK"', str(prompt.pk)) if body else None
        response = send(client, method, url, text)
    status = 200 if response.status_code == 201 else response.status_code
    assert status == expected[who], response.content
    if status != 200:
        assert response.json()["detail"]
        assert Prompt.objects.get() == prompt
        assert Prompt.objects.get().state == "draft"


def test_the_openapi_document_names_every_route_of_the_table(people: People) -> None:
    response = people.client("viewer").get("/api/openapi.json")
    document = response.json()
    assert document["info"]["title"] == "SynthReview"
    found = {
        (method, path.replace("{int:", "{").replace("{slug:", "{"))
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert found == {(method, path) for method, path, *_ in ROUTES}
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]
            assert operation["security"]


def test_the_document_is_for_those_who_are_signed_in() -> None:
    assert Client().get("/api/openapi.json").status_code == 302
    assert Client().get("/api/docs").status_code in (302, 404)


def test_changes_need_the_csrf_token(people: People) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.users["curator"])
    body = {"text": "A car", "class": "car"}
    response = send(client, "post", f"{D}/prompts", body)
    assert response.status_code == 403
    assert not Prompt.objects.exists()
    client.get("/d/traffic/prompts/")
    token = client.cookies["csrftoken"].value
    response = send(client, "post", f"{D}/prompts", body, headers={"X-CSRFToken": token})
    assert response.status_code == 201


def test_wrong_methods_and_unknown_routes(people: People) -> None:
    client = people.client("curator")
    assert client.delete(f"{D}/prompts").status_code == 405
    assert client.get(f"{D}/prompts/state").status_code == 405
    assert client.get("/api/nothing").status_code == 404


# --- Catalog --------------------------------------------------------------------


def test_the_datasets_cost_the_same_for_2_and_for_20(people: People) -> None:
    client, counts = people.client("viewer"), []
    for number in (1, 18):
        for _ in range(number):
            make_dataset(viewer=people.users["viewer"])
        with CaptureQueriesContext(connection) as queries:
            client.get("/api/datasets")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_datasets_are_those_that_one_may_see(people: People) -> None:
    make_dataset("Hidden")
    (found,) = people.client("reviewer").get("/api/datasets").json()
    assert found == {
        "slug": "traffic",
        "name": "Traffic",
        "description": "",
        "licence": "",
        "may": ["review", "view"],
    }
    assert people.client("stranger").get("/api/datasets").json() == []
    detail = people.client("viewer").get(D).json()
    assert detail["axes"][0]["values"][0] == {"name": "red", "phrase": ""}
    classes = people.client("viewer").get(f"{D}/classes").json()
    assert [one["name"] for one in classes] == ["car", "umbrella"]
    assert people.client("curator").get("/api/datasets/hidden").status_code == 404


# --- Prompts --------------------------------------------------------------------


def test_a_list_goes_on_where_the_last_page_ended(people: People) -> None:
    for number in range(5):
        make_prompt(people.label_class, f"A {number}")
    client, seen, after = people.client("viewer"), [], 0
    while after is not None:
        page = client.get(f"{D}/prompts", {"limit": 2, "after": after}).json()
        seen += [one["text"] for one in page["items"]]
        after = page["next"]
    assert seen == [f"A {number}" for number in range(5)]


def test_a_list_is_filtered(people: People) -> None:
    car, umbrella = people.dataset.classes.all()
    make_prompt(car, "A car", technique="style", author="dora")
    make_prompt(umbrella, "An umbrella", state="draft")
    client = people.client("viewer")
    for query in ({"class": "CAR"}, {"technique": "style"}, {"author": "dora"}):
        (found,) = client.get(f"{D}/prompts", query).json()["items"]
        assert (found["text"], found["class"]) == ("A car", "car")
    (found,) = client.get(f"{D}/prompts", {"state": "draft"}).json()["items"]
    assert found["text"] == "An umbrella"


def test_a_list_costs_the_same_for_2_and_for_20_prompts(people: People) -> None:
    client, counts = people.client("viewer"), []
    for number in (2, 18):
        for _ in range(number):
            make_prompt(people.label_class)
        with CaptureQueriesContext(connection) as queries:
            client.get(f"{D}/prompts")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_prompt_is_created_changed_and_never_twice(people: People) -> None:
    client = people.client("curator")
    body = {
        "text": " A red  car",
        "class": "Car",
        "slots": {"colour": "red"},
        "created_by": 1,
        "id": 99,
    }
    made = send(client, "post", f"{D}/prompts", body)
    assert made.status_code == 201
    prompt = Prompt.objects.get()
    assert made.json() == {
        "id": prompt.pk,
        "dataset": "traffic",
        "class": "car",
        "technique": "plain",
        "text": "A red car",
        "slots": {"colour": "red"},
        "template": "",
        "flags": [],
        "state": "draft",
        "author": "person",
        "question": "Is this a car, and right for the caption?",
    }
    assert prompt.created_by == people.users["curator"]
    twice = send(client, "post", f"{D}/prompts", body)
    assert twice.status_code == 409
    make_prompt(people.label_class, "A blue car")
    url = f"/api/prompts/{prompt.pk}"
    assert send(client, "patch", url, {"text": "a BLUE car."}).status_code == 409
    changed = send(client, "patch", url, {"text": "A green car", "state": "approved"}).json()
    assert (changed["text"], changed["state"], changed["slots"]) == ("A green car", "approved", {})


def test_one_foreign_prompt_spoils_a_change_of_many(people: People) -> None:
    own = make_prompt(people.label_class, state="draft")
    foreign = make_prompt(make_dataset(classes=["car"]).classes.get(), state="draft")
    client = people.client("curator")
    for other in (foreign.pk, 10**9, 2**63 - 1):
        body = {"ids": [own.pk, other], "state": "approved"}
        assert send(client, "post", f"{D}/prompts/state", body).status_code == 404
    assert not Prompt.objects.approved().exists()
    body = {"ids": [own.pk, own.pk], "state": "approved"}
    assert send(client, "post", f"{D}/prompts/state", body).json() == {"changed": 1}
    assert client.get(f"/api/prompts/{foreign.pk}").status_code == 404
    assert client.get(f"/api/prompts/{'9' * 30}").status_code == 404


# --- Writing --------------------------------------------------------------------


def test_a_preview_tells_what_writing_stores(people: People) -> None:
    client = people.client("curator")
    axes: dict[str, list[str]] = {"colour": [], "action": []}
    wish = {"classes": ["car"], "count": 4, "strategy": "grid", "axes": axes}
    plan = send(client, "post", f"{D}/prompts/preview", wish).json()
    assert (plan["count"], plan["combinations"]) == (4, 4)
    assert plan["classes"][0]["pairs_covered"] == plan["classes"][0]["pairs_total"] == 4
    assert not Prompt.objects.exists()
    response = send(client, "post", f"{D}/prompts/write", wish | {"state": "approved"})
    assert response.status_code == 201
    written = response.json()
    assert (written["asked"], written["written"], written["dropped"]) == (4, 4, [])
    assert sorted(one["text"] for one in written["prompts"]) == sorted(
        one["text"] for one in plan["samples"]
    )
    assert Prompt.objects.approved().count() == 4
    assert {one["template"] for one in written["prompts"]} == {"A {colour} [class] [action]"}


def test_a_set_is_shared_over_the_techniques(people: People) -> None:
    client = people.client("curator")
    wish = {"techniques": ["plain", "style"], "count": 12}
    response = send(client, "post", f"{D}/prompts/write-set", wish)
    assert response.status_code == 201, response.content
    assert {one["technique"] for one in response.json()["prompts"]} == {"plain", "style"}
    assert Prompt.objects.count() == response.json()["written"] <= 12


def test_several_templates_take_turns(people: People) -> None:
    client = people.client("curator")
    wish = {
        "classes": ["car"],
        "count": 2,
        "template": "A [class]\nOne [class] alone\n",
        "axes": {},
    }
    written = send(client, "post", f"{D}/prompts/write", wish).json()["prompts"]
    assert [one["text"] for one in written] == ["A car", "One car alone"]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("prompts", {"text": "", "class": "car"}, "the text is empty"),
        ("prompts", {"text": "x" * 4001, "class": "car"}, "4,001 characters"),
        ("prompts", {"text": "a\0", "class": "car"}, "NUL"),
        ("prompts", {"text": "\ud800", "class": "car"}, "half a character"),
        ("prompts", {"text": "A"}, "class: Field required"),
        ("prompts", {"text": 5, "class": "car"}, "text: Input should be a valid string"),
        (
            "prompts",
            {"text": "A", "class": "zebra"},
            "called 'zebra'; Traffic has: car",
        ),
        ("prompts", {"text": "A", "class": "car", "technique": "x"}, "no technique is called"),
        ("prompts", {"text": "A", "class": "car", "slots": {"A b": "x"}}, "no name of a slot"),
        ("prompts", {"text": "A", "class": "car", "state": "x"}, "state: Input should be 'draft'"),
        ("prompts/state", {"ids": [], "state": "draft"}, "ids: List should have at least 1 item"),
        ("prompts/state", {"ids": [0], "state": "draft"}, "greater than or equal to 1"),
        ("prompts/state", {"ids": [10**30], "state": "draft"}, "less than or equal"),
        ("prompts/state", {"ids": ["x"], "state": "draft"}, "valid integer"),
        ("prompts/preview", {"technique": "magic"}, "No technique is called 'magic'; known: plain"),
        ("prompts/preview", {"count": 0}, "count: Input should be greater than or equal to 1"),
        ("prompts/preview", {"count": 10**6}, "count: Input should be less than or equal to 5000"),
        ("prompts/preview", {"classes": ["zebra"]}, "No class is called 'zebra'"),
        ("prompts/preview", {"template": "no slot"}, "must contain [class]"),
        ("prompts/preview", {"axes": {"weather": []}}, "no axis 'weather'"),
        ("prompts/preview", {"axes": {"colour": ["pink"]}}, "no value 'pink'"),
        ("prompts/preview", {"strategy": "x"}, "strategy: Input should be 'balanced'"),
        ("prompts/write", {"author": "nobody"}, "No author is called 'nobody'"),
        ("prompts/write", {"state": "retired"}, "state: Input should be"),
        ("prompts/write", {"label": "zebra"}, "No class is called 'zebra'"),
        ("prompts/write", {"share": "all"}, "share: Input should be"),
        ("prompts/write-set", {"techniques": ["magic"]}, "No technique is called 'magic'"),
        ("prompts/write-set", {"techniques": []}, "techniques: List should have at least 1 item"),
    ],
)
def test_wrong_input_is_explained(
    people: People, path: str, body: dict[str, Any], message: str
) -> None:
    response = send(people.client("curator"), "post", f"{D}/{path}", body)
    assert response.status_code == 422
    assert message in response.json()["detail"]
    assert not Prompt.objects.exists()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": 0}, "limit: Input should be greater than or equal to 1"),
        ({"limit": 501}, "limit: Input should be less"),
        ({"after": -1}, "after"),
        ({"after": 10**30}, "after"),
        ({"state": "x"}, "state"),
        ({"class": "zebra"}, "No class is called"),
        ({"author": "a\0"}, "author"),
    ],
)
def test_wrong_filters_are_explained(people: People, query: dict[str, Any], message: str) -> None:
    response = people.client("viewer").get(f"{D}/prompts", query)
    assert response.status_code == 422
    assert message in response.json()["detail"]


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b"null", b'"x"'])
def test_a_body_that_is_no_object_is_refused(people: People, body: bytes) -> None:
    response = send(people.client("curator"), "post", f"{D}/prompts", body)
    assert response.status_code in (400, 422)
    assert response.json()["detail"]


def test_techniques_tell_their_rules(people: People) -> None:
    found = people.client("stranger").get("/api/techniques").json()
    assert len(found) == 8
    assert {one["key"] for one in found if one["is_text"]} == {
        "plain",
        "environment",
        "style",
        "adversarial",
    }


# --- Files ----------------------------------------------------------------------


def test_a_file_is_imported_and_exported(people: People) -> None:
    client = people.client("curator")
    text = "Prompt,note\n=A car,x\n"
    mapping = json.dumps({"Prompt": "text"})
    form = {"mapping": mapping, "class": "car", "state": "approved"}
    checked = send_file(client, text, **form, dry_run="true")
    assert (checked.json()["prompts"], checked.json()["stored"]) == (1, 0)
    done = send_file(client, text, **form)
    assert (done.status_code, done.json()["stored"]) == (200, 1)
    response = client.get(f"{D}/prompts/export", {"format": "jsonl", "class": "car"})
    assert "attachment" in response["Content-Disposition"]
    assert json.loads(response.getvalue())["text"] == "=A car"
    table = client.get(f"{D}/prompts/export").getvalue().decode()
    assert '"\'=A car"' in table


def test_a_file_with_bad_lines_is_refused_as_a_whole(people: People) -> None:
    client = people.client("curator")
    response = send_file(client, "text,class\nA car,car\nA zebra,zebra\n")
    assert response.status_code == 422
    assert re.search("1 line is bad", response.json()["detail"])
    assert response.json()["bad"] == [{"line": 3, "reason": "no class is called 'zebra'"}]
    assert not Prompt.objects.exists()
    for form in ({"mapping": "["}, {"mapping": "[]"}, {"mapping": '{"x": "text"}'}):
        assert send_file(client, "text,class\nA car,car\n", **form).status_code == 422
    assert client.post(f"{D}/prompts/import", {}).status_code == 422
    assert client.get(f"{D}/prompts/export", {"format": "exe"}).status_code == 422


def test_a_file_that_is_too_large_is_refused(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthreview.prompting.api.MAX_BYTES", 10)
    response = send_file(people.client("curator"), "text,class\nA car,car\n")
    assert response.status_code == 413
