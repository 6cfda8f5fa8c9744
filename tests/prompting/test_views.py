from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.services import set_axis_values
from synthreview.prompting.keys import KEYS
from synthreview.prompting.models import Prompt, PromptState
from tests.factories import make_dataset, make_prompt
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/prompts/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def people() -> People:
    people = make_people()
    for axis, values in {"colour": ["red", "blue"], "action": ["parked", "moving"]}.items():
        set_axis_values(
            dataset=people.dataset, axis_name=axis, values=[{"name": name} for name in values]
        )
    return people


def wish(people: People, **changes: Any) -> dict[str, Any]:
    classes = list(people.dataset.classes.values_list("pk", flat=True))
    return {
        "technique": "plain",
        "classes": classes,
        "template": "",
        "count": 4,
        "author": "wordlists",
        "seed": 7,
        "do": "draft",
        **changes,
    }


def test_the_page_and_its_list_alone(people: People) -> None:
    make_prompt(people.label_class, "A car of our own")
    client = people.client("curator")
    page = client.get(PAGE).content.decode()
    part = client.get(PAGE, headers=HTMX).content.decode()
    assert "<html" in page
    assert "Write prompts" in page
    assert "<html" not in part
    assert part.lstrip().startswith('<div id="prompt-list"')
    assert "A car of our own" in page
    assert "A car of our own" in part


def test_viewers_read_and_strangers_do_not(people: People) -> None:
    prompt = make_prompt(people.label_class)
    assert f"{PAGE}write" not in people.client("viewer").get(PAGE).content.decode()
    for who, status in (("stranger", 404), ("viewer", 403), ("reviewer", 403)):
        client = people.client(who)
        assert client.get(f"{PAGE}write").status_code == status
        assert client.post(f"{PAGE}write", wish(people)).status_code == status
        assert client.get(f"{PAGE}preview", wish(people)).status_code == status
        assert client.post(f"{PAGE}state", {"do": "approve_drafts"}).status_code == status
        assert client.get(f"/prompts/{prompt.pk}/edit").status_code == status
    assert people.client("stranger").get(PAGE).status_code == 404
    assert people.client("stranger").get(f"/prompts/{prompt.pk}/").status_code == 404


def test_wrong_methods_are_refused(people: People) -> None:
    client = people.client("curator")
    assert client.get(f"{PAGE}state").status_code == 405
    assert client.put(f"{PAGE}write").status_code == 405
    for name in ("", "preview", "writings/"):
        assert client.post(PAGE + name).status_code == 405


def test_the_preview_shows_what_will_be_stored_and_stores_nothing(people: People) -> None:
    client = people.client("curator")
    response = client.get(f"{PAGE}preview", wish(people), headers=HTMX)
    shown = [caption.text for _, caption in response.context["plan"].samples]
    assert len(shown) == 4
    assert not Prompt.objects.exists()
    client.post(f"{PAGE}write", wish(people))
    assert sorted(Prompt.objects.values_list("text", flat=True)) == sorted(shown)
    assert set(Prompt.objects.values_list("state", flat=True)) == {PromptState.DRAFT}


def test_an_axis_may_be_narrowed_to_some_values(people: People) -> None:
    chosen = wish(people, count=100, strategy="grid", **{"axis-colour": ["red"]})
    client = people.client("curator")
    preview = client.get(f"{PAGE}preview", chosen, headers=HTMX)
    plan = preview.context["plan"]
    assert {name for name, count in plan.value_counts["colour"].items() if count} == {"red"}
    assert plan.pairs_covered == plan.pairs_total
    client.post(f"{PAGE}write", chosen)
    slots = Prompt.objects.values_list("slots__colour", flat=True)
    assert set(slots) == {"red"}


def test_an_unknown_strategy_or_value_is_refused_at_its_field(people: People) -> None:
    wrong = wish(people, strategy="guess", **{"axis-colour": ["moon"]})
    response = people.client("curator").post(f"{PAGE}write", wrong)
    assert set(response.context["form"].errors) == {"strategy", "axis-colour"}


def test_prompts_may_be_approved_straight_away(people: People) -> None:
    people.client("curator").post(f"{PAGE}write", wish(people, do="approve"))
    assert Prompt.objects.approved().count() == 4


def test_it_says_when_no_other_combination_is_left(people: People) -> None:
    client = people.client("curator")
    response = client.post(f"{PAGE}write", wish(people, count=100), follow=True)
    assert "8 of 100 prompts are written" in response.content.decode()
    response = client.post(f"{PAGE}write", wish(people), follow=True)
    assert "No new caption" in response.content.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"template": "no class at all"}, "template"),
        ({"template": "A [class] {weather}"}, "template"),
        ({"template": "A [class] ["}, "template"),
        ({"template": "A [class] \0"}, "template"),
        ({"template": "[class]" * 100}, "template"),
        ({"template": "\n".join(f"A [class] {n}" for n in range(21))}, "template"),
        ({"varied": ["moon"]}, "varied"),
        ({"share": "unfair"}, "share"),
        ({"label": "999999"}, "label"),
        ({"count": 0}, "count"),
        ({"count": "many"}, "count"),
        ({"count": 10**9}, "count"),
        ({"classes": []}, "classes"),
        ({"classes": ["999999"]}, "classes"),
        ({"classes": ["9" * 40]}, "classes"),
        ({"technique": "magic"}, "technique"),
        ({"author": "nobody"}, "author"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_input_is_explained_at_its_field(
    people: People, changes: dict[str, Any], field: str
) -> None:
    client = people.client("curator")
    for response, status in (
        (client.post(f"{PAGE}write", wish(people, **changes)), 422),
        (client.get(f"{PAGE}preview", wish(people, **changes), headers=HTMX), 200),
    ):
        assert response.status_code == status
        assert list(response.context["form"].errors) == [field]
    assert not Prompt.objects.exists()


def test_filters_narrow_the_list_and_nonsense_is_ignored(people: People) -> None:
    make_prompt(people.label_class, "A car")
    make_prompt(people.dataset.classes.last(), "An umbrella", state=PromptState.DRAFT)
    client = people.client("viewer")
    page = client.get(PAGE, {"state": "draft"}).content.decode()
    assert "An umbrella" in page
    assert "<p>A car</p>" not in page
    for nonsense in ({"state": "x"}, {"label_class": "a\0"}, {"page": "-9"}, {"technique": "<b>"}):
        assert len(client.get(PAGE, nonsense).context["page"]) == 2


def test_a_caption_is_edited_in_its_row(people: People) -> None:
    prompt = make_prompt(people.label_class, "A car parked")
    client = people.client("curator")
    url = f"/prompts/{prompt.pk}/edit"
    assert client.get(url, headers=HTMX).content.decode().count("<li") == 1
    assert "<html" in client.get(url).content.decode()
    data = {f"prompt-{prompt.pk}-text": "A red <b>car</b>"}
    row = client.post(url, data, headers=HTMX).content.decode()
    assert "A red &lt;b&gt;car&lt;/b&gt;" in row
    assert "<form" not in row
    assert client.post(url, data).url == PAGE
    assert "<form" not in client.get(f"/prompts/{prompt.pk}/", headers=HTMX).content.decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  ", "This field is required."),
        ("...", "Say something"),
        ("an OTHER  car.", "The class has this caption already."),
        ("x" * 4001, "at most 4000 characters"),
        ("a\0", "Null characters are not allowed."),
    ],
)
def test_a_wrong_caption_is_explained_in_its_row(people: People, text: str, message: str) -> None:
    prompt = make_prompt(people.label_class, "A car")
    make_prompt(people.label_class, "An other car")
    url = f"/prompts/{prompt.pk}/edit"
    response = people.client("curator").post(url, {f"prompt-{prompt.pk}-text": text}, headers=HTMX)
    assert message in response.content.decode()
    prompt.refresh_from_db()
    assert prompt.text == "A car"


def test_ticked_prompts_change_together(people: People) -> None:
    prompts = [make_prompt(people.label_class, state=PromptState.DRAFT) for _ in range(3)]
    client = people.client("curator")
    ticked = [prompt.pk for prompt in prompts[:2]]
    response = client.post(
        f"{PAGE}state", {"do": "approve", "prompt": ticked, "query": "state=draft"}
    )
    assert response.url == f"{PAGE}?state=draft"
    assert Prompt.objects.approved().count() == 2
    client.post(f"{PAGE}state", {"do": "retire", "prompt": ticked[:1]})
    assert Prompt.objects.filter(state=PromptState.RETIRED).count() == 1
    client.post(f"{PAGE}state", {"do": "approve_drafts"})
    assert Prompt.objects.approved().count() == 2


@pytest.mark.parametrize("foreign", ["other", "0", "-1", "x", "9" * 30, "1\0", "٣"])
def test_one_foreign_prompt_spoils_the_whole_request(people: People, foreign: str) -> None:
    own = make_prompt(people.label_class, state=PromptState.DRAFT)
    elsewhere = make_dataset(classes=["car"]).classes.get()
    other = make_prompt(elsewhere, state=PromptState.DRAFT)
    pk = str(other.pk) if foreign == "other" else foreign
    response = people.client("curator").post(
        f"{PAGE}state", {"do": "approve", "prompt": [str(own.pk), pk]}
    )
    assert response.status_code == 404
    assert not Prompt.objects.approved().exists()


def test_the_list_costs_the_same_for_2_and_for_20_prompts(people: People) -> None:
    client = people.client("curator")
    client.get(PAGE)
    counts = []
    for number in (2, 18):
        for _ in range(number):
            make_prompt(people.label_class)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(PAGE)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- One key, one caption -----------------------------------------------------------


@pytest.mark.parametrize(
    ("button", "state"), [("approve", PromptState.APPROVED), ("retire", PromptState.RETIRED)]
)
def test_a_row_has_its_own_buttons(people: People, button: str, state: PromptState) -> None:
    one, other = (make_prompt(people.label_class, state=PromptState.DRAFT) for _ in range(2))
    client = people.client("curator")
    ticked = {button: one.pk, "prompt": [other.pk], "query": "state=draft"}
    row = client.post(f"{PAGE}state", ticked, headers=HTMX).content.decode()
    assert row.count("<li") == 1
    assert f'id="prompt-{one.pk}"' in row
    one.refresh_from_db()
    other.refresh_from_db()
    assert (one.state, other.state) == (state, PromptState.DRAFT)
    response = client.post(f"{PAGE}state", ticked, follow=True)  # without a script
    assert response.redirect_chain == [(f"{PAGE}?state=draft", 302)]
    assert f"is {state.label}." in response.content.decode()


def test_many_change_without_leaving_the_page(people: People) -> None:
    prompts = [make_prompt(people.label_class, state=PromptState.DRAFT) for _ in range(3)]
    client = people.client("curator")
    data = {"do": "approve", "prompt": [prompts[0].pk, prompts[1].pk], "query": "state=draft"}
    part = client.post(f"{PAGE}state", data, headers=HTMX).content.decode()
    assert "<html" not in part
    assert "2 prompts are approved." in part
    assert part.count("<li id=") == 1  # the third is the only draft left


def test_all_drafts_are_those_that_are_shown(people: People) -> None:
    umbrella = people.dataset.classes.last()
    shown = make_prompt(people.label_class, state=PromptState.DRAFT)
    hidden = make_prompt(umbrella, state=PromptState.DRAFT)
    query = f"label_class={people.label_class.pk}"
    client = people.client("curator")
    client.post(f"{PAGE}state", {"do": "approve_drafts", "query": query})
    shown.refresh_from_db()
    hidden.refresh_from_db()
    assert (shown.state, hidden.state) == (PromptState.APPROVED, PromptState.DRAFT)


@pytest.mark.parametrize("query", ["//evil.example", "x\r\nSet-Cookie: a=b", "a=1&" * 900])
def test_the_way_back_is_our_own_page(people: People, query: str) -> None:
    make_prompt(people.label_class, state=PromptState.DRAFT)
    data = {"do": "approve_drafts", "query": query}
    response = people.client("curator").post(f"{PAGE}state", data)
    assert response.url.startswith(PAGE)
    assert "evil" not in response.headers.get("Set-Cookie", "")


def test_captions_are_found_by_their_words(people: People) -> None:
    make_prompt(people.label_class, "A car under a bridge")
    make_prompt(people.label_class, "A car at sea")
    found = people.client("viewer").get(PAGE, {"q": "BRIDGE"}).context["page"]
    assert [prompt.text for prompt in found] == ["A car under a bridge"]
    assert len(people.client("viewer").get(PAGE, {"q": "a\0"}).context["page"]) == 2


def test_every_key_is_shown_in_the_help_and_in_the_documentation(people: People) -> None:
    page = people.client("curator").get(PAGE).content.decode()
    documented = (Path(settings.BASE_DIR) / "docs" / "prompting.md").read_text()
    for key in KEYS:
        assert f"<kbd>{key.shown}</kbd>" in page
        assert f"| {key.shown} | {key.help}" in documented
    assert "prompt-help" not in people.client("viewer").get(PAGE).content.decode()
