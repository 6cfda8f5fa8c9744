"""Hostile input at the real doors, row by row of docs/security.md, where no other file has it."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from synthreview.accounts.models import Preferences
from synthreview.catalog.models import ReferenceImage
from synthreview.catalog.services import unique_slug
from synthreview.prompting.models import Prompt
from synthreview.review.models import Decision
from tests.factories import make_dataset, make_image, make_prompt, make_review, make_score
from tests.people import People, make_people

PROMPTS = "/api/datasets/traffic/prompts"
TEXTS = [
    "A car <img src=x onerror=alert(1)>",
    "A car {{1234567*7}} {% debug %} ${1234567*7}",
    "A car javascript:alert(1)",
    "A car \u202egnp.exe",
    "A car \" onmouseover='alert(1)' x=\"",
]


@pytest.fixture
def people(db: None) -> People:
    return make_people()


def post_json(client: Client, url: str, body: Any, **more: Any) -> Any:
    return client.post(url, json.dumps(body), content_type="application/json", **more)


# --- Text ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
def test_hostile_text_is_shown_as_text(people: People, text: str) -> None:
    client = people.client("curator")
    added = post_json(client, PROMPTS, {"text": text, "class": "car"})
    assert added.status_code in (201, 422), added.content
    if added.status_code == 422:
        return
    for page in ("/d/traffic/prompts/", f"/prompts/{added.json()['id']}/edit", "/d/traffic/"):
        html = client.get(page).content.decode()
        assert "<img src=x" not in html
        assert "8641969" not in html  # rendered; long, for a token in the page may hold two digits
        assert "onmouseover='" not in html
        assert 'href="javascript:' not in html


def test_nul_and_too_much_text_are_refused(people: People) -> None:
    client = people.client("curator")
    for text in ("A car\0", "A car " + "x" * 4_100, "A car " + "x" * 1_000_000):
        answer = post_json(client, PROMPTS, {"text": text, "class": "car"})
        assert answer.status_code == 422, answer.content[:200]
        assert len(answer.content) < 5_000
    form = {"name": "Nice\0", "description": "x"}
    assert client.post("/datasets/new", form).status_code == 200
    assert post_json(client, PROMPTS, {"text": "x" * 3_000_000, "class": "car"}).status_code in (
        400,
        413,
        422,
    )
    assert not Prompt.objects.exists()


def test_a_key_map_takes_neither_markup_nor_what_it_does_not_know(people: People) -> None:
    client = people.client("reviewer")
    page = client.get("/account/review-keys/")
    form = {
        name: str(field.value() or "")
        for name, field in page.context["form"].fields.items()
        if hasattr(field, "value")
    }
    form |= {"preset": "letters", "approve": "<script>", "user": people.users["admin"].pk}
    client.post("/account/review-keys/", form)
    assert not Preferences.objects.exclude(user=people.users["reviewer"]).exists()
    html = client.get("/d/traffic/review/").content.decode()
    assert "<script>" not in html.replace("<script src=", "").replace('<script type="module"', "")


# --- Names on disk ------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=300),
        st.sampled_from(["../../etc", "CON", "com1", "a/b", "C:\\x", ".", "..", "🚗", "x" * 300]),
    )
)
def test_a_name_becomes_one_harmless_folder_inside(name: str) -> None:
    slug = unique_slug(name, taken={"car"})
    path = PurePosixPath("/exports") / slug
    assert path.parent == PurePosixPath("/exports")
    assert 0 < len(slug) <= 60
    assert slug.isascii()
    assert slug not in {".", "..", "car", "con", "prn", "aux", "nul", "com1", "lpt1"}
    assert not set(slug) & set("/\\:\0")


# --- Requests -----------------------------------------------------------------------------


def test_fields_that_nobody_asked_for_are_ignored(people: People) -> None:
    image = make_image(people.dataset)
    make_score(image)
    make_review(image)
    client = people.client("reviewer")
    card = post_json(client, "/api/datasets/traffic/review/claim", {"kind": "next"}).json()
    token = card["cards"][0]["token"]
    forged = {
        "reviewer": people.users["admin"].pk,
        "reviewer_id": people.users["admin"].pk,
        "state": "approved",
        "cost": 0,
    }
    answer = {"token": token, "verdict": "reject", "reasons": ["wrong-object"], **forged}
    post_json(client, "/api/datasets/traffic/review/decide", {"answers": [answer], **forged})
    for decision in Decision.objects.all():
        assert decision.reviewer == people.users["reviewer"]
        assert decision.verdict == "reject"


@pytest.mark.parametrize("door", ["state", "api", "references"])
def test_one_foreign_id_spoils_the_whole_request(people: People, door: str) -> None:
    own, other = make_prompt(people.label_class, state="draft"), make_dataset("Elsewhere")
    theirs = other.classes.first()
    assert theirs
    foreign = make_prompt(theirs, state="draft")
    client = people.client("curator")
    if door == "api":
        body = {"ids": [own.pk, foreign.pk], "state": "retired"}
        answer = post_json(client, f"{PROMPTS}/state", body)
    elif door == "state":
        form = {"do": "retire", "prompt": [own.pk, foreign.pk]}
        answer = client.post("/d/traffic/prompts/state", form)
    else:
        rows = [
            ReferenceImage.objects.create(
                dataset=one.dataset,
                label_class=one,
                use="source",
                sha256=f"{number:064}",
                media_type="image/png",
                byte_count=1,
                width=1,
                height=1,
                family="0f1de5a5-5a0f-4c43-9d0a-6d1d8e6a2b77",
            )
            for number, one in enumerate([people.label_class, theirs])
        ]
        form = {"images": [row.pk for row in rows]}
        answer = client.post("/d/traffic/references/remove", form)
        assert ReferenceImage.objects.count() == 2
    assert answer.status_code == 404
    assert set(Prompt.objects.values_list("state", flat=True)) == {"draft"}


def test_a_change_needs_our_own_page(people: People) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.users["admin"])
    url, form = "/datasets/new", {"name": "Forged"}
    assert client.post(url, form).status_code == 403
    client.get(url)
    form["csrfmiddlewaretoken"] = client.cookies["csrftoken"].value
    for origin in ("null", "https://evil.example", "http://testserver.evil.example"):
        assert client.post(url, form, headers={"Origin": origin}).status_code == 403
    assert client.post(url, form, headers={"Origin": "http://testserver"}).status_code == 302


def test_a_forged_host_is_refused_and_forged_headers_change_nobody(people: People) -> None:
    client = people.client("viewer")
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    answer = people.client("admin").post(
        "/d/traffic/settings/invitations/",
        {"invited_role": "viewer", "days": 1},
        headers=forged,
    )
    assert answer.context["link"].startswith("http://testserver/")
    for header in ("Remote-User", "X-Remote-User", "X-Forwarded-User"):
        assert Client().get("/", headers={header: "admin"}).status_code == 302
    assert Client().get("/", REMOTE_USER="admin").status_code == 302


def test_the_headers_that_protect_a_page(people: People) -> None:
    answer = people.client("viewer").get("/d/traffic/")
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    policy = answer["Content-Security-Policy"]
    for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "page",
    [
        "/images/1'--/",
        "/d/..%2f..%2fetc/",
        "/d/traffic%00/",
        "/d/traffic/images/?page=1e9&class=%00",
        "/d/traffic/prompts/?state=%FF&technique='",
        "/d/traffic/exports/99999999999999999999/",
        "/d/traffic/settings/trail/?since=9999-99-99&page=-1",
    ],
)
def test_odd_addresses_are_answered_calmly(people: People, page: str) -> None:
    assert people.client("admin").get(page).status_code in (200, 404)
