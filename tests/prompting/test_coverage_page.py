"""The page of what is covered and what is not, and the way from there to the missing captions."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.services import add_class, set_axis_values
from synthreview.prompting.models import Prompt, PromptState
from tests.factories import make_prompt
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/prompts/coverage/"


@pytest.fixture
def people() -> People:
    people = make_people()
    for axis, values in {"environment": ["beach", "city"], "action": ["parked", "moving"]}.items():
        set_axis_values(
            dataset=people.dataset, axis_name=axis, values=[{"name": name} for name in values]
        )
    return people


def test_what_is_missing_is_named_and_leads_to_its_captions(people: People) -> None:
    slots = {"environment": "beach", "action": "parked"}
    make_prompt(people.label_class, technique="environment", slots=slots)
    gone = {"environment": "city", "action": "moving"}
    make_prompt(people.label_class, technique="environment", slots=gone, state=PromptState.RETIRED)
    client = people.client("curator")
    page = client.get(PAGE).content.decode()
    car = page.split('id="class-')[1]
    assert "1 of 2 values" in car
    assert "missing: city" in car
    assert "<strong>1</strong> of 4 pairs" in car
    link = re.search(r'href="(/d/traffic/prompts/write[^"]+)"', car)
    assert link
    studio = client.get(unescape(link[1])).content.decode()
    assert re.search(r'name="fills_gaps"[^>]*checked', studio)
    wish = {"technique": "environment", "classes": [people.label_class.pk], "count": 3}
    wish |= {"author": "wordlists", "fills_gaps": "on"}
    preview = client.get("/d/traffic/prompts/preview", wish)
    client.post("/d/traffic/prompts/write", wish)
    written = list(Prompt.objects.filter(writing__isnull=False).values_list("text", flat=True))
    assert len(written) == 3
    for text in written:
        assert text in preview.content.decode(), "what the preview shows is what is stored"
    assert "missing:" not in client.get(PAGE).content.decode().split('id="class-')[1]


def test_the_gaps_of_all_classes_are_asked_for_together(people: People) -> None:
    client = people.client("curator")
    make_prompt(people.label_class, technique="environment", slots={"environment": "beach"})
    page = client.get(PAGE, {"varied": "environment"}).content.decode()
    link = re.search(r'href="([^"]+)">Have all gaps written', page)
    assert link
    query = QueryDict(unescape(link[1]).partition("?")[2])
    classes = [str(pk) for pk in people.dataset.classes.values_list("pk", flat=True)]
    assert query.getlist("classes") == classes
    assert (query["count"], query.getlist("varied")) == ("4", ["environment"])
    make_prompt(people.label_class, technique="environment", slots={"environment": "city"})
    page = client.get(PAGE, {"varied": "environment"}).content.decode()
    assert "Have all gaps written" not in page, "one class alone has its own button"


def test_the_coverage_of_captions_and_that_of_images_lead_to_each_other(people: People) -> None:
    make_prompt(people.label_class, technique="style", slots={"action": "parked"})
    client = people.client("viewer")
    page = client.get(PAGE, {"varied": "action", "technique": "style"}).content.decode()
    there = "/d/traffic/coverage/?technique=style&amp;axis=action"
    assert there in page
    page = client.get(unescape(there)).content.decode()
    assert f'href="{PAGE}?varied=action&amp;technique=style"' in page


def test_the_page_takes_the_same_queries_for_many_classes(people: People) -> None:
    def queries() -> int:
        client = people.client("viewer")
        with CaptureQueriesContext(connection) as captured:
            assert client.get(PAGE, {"varied": "action"}).status_code == 200
        return len(captured)

    few = queries()
    for number in range(8):
        made = add_class(dataset=people.dataset, name=f"class {number}")
        make_prompt(made, technique="environment", slots={"action": "parked"})
    assert queries() == few


def test_adversarial_coverage_goes_by_what_the_picture_resembles(people: People) -> None:
    umbrella = people.dataset.classes.get(name="umbrella")
    slots = {"look": "car", "carrier": "umbrella"}
    make_prompt(umbrella, technique="adversarial", slots=slots)
    page = people.client("viewer").get(PAGE, {"technique": "adversarial"}).content.decode()
    assert "<strong>carrier</strong>: 1 of 1 value" in page.split('id="class-')[1]


def test_others_and_wrong_input_are_answered_kindly(people: People) -> None:
    assert people.client("stranger").get(PAGE).status_code == 404
    client = people.client("viewer")
    assert client.post(PAGE).status_code == 405
    page = client.get(PAGE, {"technique": "<b>", "varied": ["nothing", "action"]})
    assert page.status_code == 200
    assert "Have the gaps written" not in page.content.decode(), "a viewer writes nothing"
    people.dataset.classes.all().delete()
    assert "Choose a class" in client.get(PAGE).content.decode()
