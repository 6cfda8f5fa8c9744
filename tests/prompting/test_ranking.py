"""What people approve: ranked, written more of, and retired with a preview."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from synthreview.catalog.services import set_axis_values
from synthreview.prompting.learning import Tally
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.ranking import Kind, Line, Pick, PickError, rankings
from synthreview.prompting.services import record_outcomes
from tests.factories import make_dataset, make_prompt
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/prompts/ranking/"


@pytest.fixture
def people() -> People:
    people = make_people()
    set_axis_values(
        dataset=people.dataset,
        axis_name="environment",
        values=[{"name": "beach", "phrase": "on the beach"}, {"name": "city"}],
    )
    return people


def judged(people: People, approved: int, rejected: int, **fields: Any) -> Prompt:
    prompt = make_prompt(people.label_class, **fields)
    record_outcomes({prompt.pk: Tally(approved, rejected)})
    return prompt


def lines(people: People, kind: Kind) -> list[Line]:
    return next(one.lines for one in rankings(people.dataset) if one.kind is kind)


def test_each_kind_is_counted_and_the_surest_comes_first(people: People) -> None:
    sea = {"environment": "on the beach"}
    judged(people, 90, 10, template="A [class]", slots=sea)
    judged(people, 2, 0, template="The [class]", slots={"environment": "city"}, author="dora")
    judged(people, 5, 5, template="A [class]", slots=sea)
    judged(people, 9, 0, template="Gone", state=PromptState.RETIRED)
    judged(people, 0, 0, template="Never drawn")
    templates = lines(people, Kind.TEMPLATE)
    assert [(one.title, one.tally) for one in templates] == [
        ("A [class]", Tally(95, 15)),
        ("The [class]", Tally(2, 0)),  # 2 of 2, but that may have been luck
    ]
    assert [(one.title, one.tally) for one in lines(people, Kind.VALUE)] == [
        ("on the beach", Tally(95, 15)),
        ("city", Tally(2, 0)),
    ]
    assert {one.title for one in lines(people, Kind.AUTHOR)} == {"person", "dora"}
    assert [one.tally for one in lines(people, Kind.CAPTION)] == [
        Tally(90, 10),
        Tally(2, 0),
        Tally(5, 5),
    ]


def test_the_page_says_its_prior_and_shows_text_as_text(people: People) -> None:
    client = people.client("viewer")
    assert "Nothing was judged yet" in client.get(PAGE).content.decode()
    judged(people, 3, 1, text="A <b>car</b>")
    page = client.get(PAGE).content.decode()
    assert "Beta(½, ½)" in page
    assert "A &lt;b&gt;car&lt;/b&gt;" in page
    assert "Retire these" not in page
    assert people.client("stranger").get(PAGE).status_code == 404


def test_the_page_costs_the_same_for_2_and_for_20_prompts(people: People) -> None:
    client = people.client("curator")
    counts = []
    for number in (2, 18):
        for _ in range(number):
            judged(people, 1, 1, slots={"environment": "city"})
        with CaptureQueriesContext(connection) as queries:
            client.get(PAGE)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_more_like_these_fills_in_the_studio(people: People) -> None:
    prompt = judged(
        people,
        3,
        0,
        technique="environment",
        template="A [class] {environment}",
        slots={"environment": "on the beach"},
    )
    data = {"do": "more", "pick": [Pick(Kind.CAPTION, str(prompt.pk)).token()]}
    response = people.client("curator").post(f"{PAGE}pick", data)
    path, _, query = response.url.partition("?")
    assert path == "/d/traffic/prompts/write"
    assert QueryDict(query).dict() == {
        "technique": "environment",
        "template": "A [class] {environment}",
        "axis-environment": "beach",
        "classes": str(people.label_class.pk),
    }
    form = people.client("curator").get(response.url).context["form"]
    assert form["axis-environment"].value() == ["beach"]


@pytest.mark.parametrize(
    "pick",
    [
        Pick(Kind.TEMPLATE, "A [class]", "plain"),
        Pick(Kind.VALUE, "on the beach", "environment"),
        Pick(Kind.AUTHOR, "dora"),
    ],
)
def test_retiring_shows_how_many_first(people: People, pick: Pick) -> None:
    bad = [
        judged(
            people,
            0,
            3,
            template="A [class]",
            slots={"environment": "on the beach"},
            author="dora",
            state=state,
        )
        for state in (PromptState.APPROVED, PromptState.DRAFT)
    ]
    good = judged(people, 3, 0, template="The [class]", slots={"environment": "city"})
    client = people.client("curator")
    data = {"do": "preview", "pick": [pick.token()]}
    page = client.post(f"{PAGE}pick", data).content.decode()
    assert "<strong>2</strong> prompts would be retired: 1 approved, 1 draft." in page
    data["pick"] += [Pick(Kind.CAPTION, str(bad[0].pk)).token()]
    page = client.post(f"{PAGE}pick", data).content.decode()
    assert f"<li>{escape(bad[0].text)} <span" in page, "by its words, not its number"
    client.post(f"{PAGE}pick", data | {"do": "retire"})  # not sure yet
    assert not Prompt.objects.filter(state=PromptState.RETIRED).exists()
    response = client.post(f"{PAGE}pick", data | {"do": "retire", "sure": "1"}, follow=True)
    assert "2 prompts are retired." in response.content.decode()
    assert set(Prompt.objects.filter(state=PromptState.RETIRED)) == set(bad)
    good.refresh_from_db()
    assert good.state == PromptState.APPROVED


def test_prompts_of_other_datasets_stay(people: People) -> None:
    other = make_prompt(make_dataset("Other", classes=["car"]).classes.get(), author="dora")
    data = {
        "do": "retire",
        "sure": "1",
        "pick": [Pick(Kind.AUTHOR, "dora").token(), Pick(Kind.CAPTION, str(other.pk)).token()],
    }
    people.client("curator").post(f"{PAGE}pick", data)
    other.refresh_from_db()
    assert other.state == PromptState.APPROVED


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "[]",
        "null",
        '["magic", "", "x"]',
        '["caption", "", "1 OR 1"]',
        '["caption", "", "٣"]',
        '["caption", "", 5]',
        '["value", "environment__startswith\\u0000", "x"]',
        '["value", "a\\"b", "x"]',
        '["author", "", "a\\u0000"]',
        "[" * 3_000,
    ],
)
def test_what_cannot_be_read_is_refused_kindly(people: People, token: str) -> None:
    with pytest.raises(PickError):
        Pick.of(token)
    client = people.client("curator")
    response = client.post(f"{PAGE}pick", {"do": "preview", "pick": [token]}, follow=True)
    assert response.status_code == 200
    assert "cannot be read" in response.content.decode()


def test_an_axis_named_like_a_lookup_is_only_a_name(people: People) -> None:
    make_prompt(people.label_class, slots={"a": "xyz"})
    token = Pick(Kind.VALUE, "x", "a__startswith").token()
    page = people.client("curator").post(f"{PAGE}pick", {"do": "preview", "pick": [token]})
    assert page.context["counts"]["all"] == 0


def test_nothing_ticked_and_people_without_the_right(people: People) -> None:
    data = {"do": "preview", "pick": [Pick(Kind.AUTHOR, "person").token()]}
    assert people.client("viewer").post(f"{PAGE}pick", data).status_code == 403
    assert people.client("stranger").post(f"{PAGE}pick", data).status_code == 404
    curator = people.client("curator")
    assert curator.get(f"{PAGE}pick").status_code == 405
    page = curator.post(f"{PAGE}pick", {"do": "preview"}, follow=True).content.decode()
    assert "Tick something first" in page
