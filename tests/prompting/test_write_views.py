"""The studio page: what it offers, what it stores, and what it says of what it did not keep."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import LabelClass
from synthreview.catalog.services import set_axis_values
from synthreview.prompting.axes import add_none_of_these
from synthreview.prompting.models import Prompt, PromptState, Writing
from synthreview.prompting.techniques import INSTRUCTED, TECHNIQUES, WRITTEN
from tests.factories import make_dataset, make_prompt
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/prompts/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def people() -> People:
    people = make_people()
    axes = {
        "colour": ["red", "blue"],
        "action": ["parked", "moving"],
        "environment": ["beach", "city"],
        "style": ["oil", "ink"],
        "light": ["dawn", "dusk"],
    }
    for axis, values in axes.items():
        rows = [{"name": name} for name in values]
        set_axis_values(dataset=people.dataset, axis_name=axis, values=rows)
    return people


def wish(people: People, **changes: Any) -> dict[str, Any]:
    classes = list(people.dataset.classes.values_list("pk", flat=True))
    return {"technique": "plain", "classes": classes, "count": 4, "author": "wordlists"} | changes


def test_the_studio_offers_every_technique_axis_and_class(people: People) -> None:
    page = people.client("curator").get(f"{PAGE}write").content.decode()
    for technique in TECHNIQUES:
        assert f'name="technique" value="{technique}"' in page
    for axis in ("colour", "light"):
        assert f'name="varied" value="{axis}"' in page
    assert "umbrella" in page


def test_the_address_fills_in_the_form(people: People) -> None:
    car, _ = people.dataset.classes.all()
    query = {
        "technique": "style",
        "classes": car.pk,
        "template": "One [class] {light}",
        "axis-light": ["dusk"],
        "count": "x<b>",
    }
    response = people.client("curator").get(f"{PAGE}write", query)
    form = response.context["form"]
    assert form["technique"].value() == "style"
    assert form["template"].value() == "One [class] {light}"
    assert [row[2:] for row in form.axis_rows if row[0] == "light"] == [(1, True)]
    assert "x&lt;b&gt;" in response.content.decode()


def test_a_dataset_without_classes_says_what_comes_first(people: People) -> None:
    make_dataset("Empty", classes=[], curator=people.users["curator"])
    page = people.client("curator").get("/d/empty/prompts/write").content.decode()
    assert "Classes come first" in page


def test_none_of_these_is_no_class_to_write_for(people: People) -> None:
    none = add_none_of_these(people.dataset)
    client = people.client("curator")
    form = client.get(f"{PAGE}write").context["form"]
    assert set(form.fields["classes"].queryset) == set(people.dataset.classes.exclude(pk=none.pk))
    assert none in form.fields["label"].queryset
    response = client.post(f"{PAGE}write", wish(people, classes=[none.pk]))
    assert response.status_code == 422
    assert not Prompt.objects.exists()


@pytest.mark.parametrize("technique", INSTRUCTED)
def test_instructions_for_images_are_written_like_captions(people: People, technique: str) -> None:
    chosen = wish(people, technique=technique)
    shown = people.client("curator").get(f"{PAGE}preview", chosen, headers=HTMX)
    assert shown.context["plan"].samples
    people.client("curator").post(f"{PAGE}write", chosen)
    assert Prompt.objects.count()
    assert all(prompt.slots for prompt in Prompt.objects.filter(technique=technique))


def test_the_label_of_a_fusion_is_chosen_before(people: People) -> None:
    car, umbrella = people.dataset.classes.all()
    chosen = wish(people, technique="fusion", classes=[car.pk], label=umbrella.pk)
    people.client("curator").post(f"{PAGE}write", chosen)
    labels = {prompt.text: prompt.label_class for prompt in Prompt.objects.all()}
    assert labels["A blend of a car and an umbrella"] == umbrella
    # Of any other technique a label that is sent along is of no account.
    people.client("curator").post(f"{PAGE}write", chosen | {"technique": "plain"})
    assert set(Prompt.objects.filter(technique="plain").values_list("label_class")) == {(car.pk,)}


def test_all_text_techniques_are_written_together(people: People) -> None:
    chosen = wish(people, technique="set", count=60, strategy="pairwise")
    shown = people.client("curator").get(f"{PAGE}preview", chosen, headers=HTMX)
    titles = [title for title, _ in shown.context["plans"]]
    assert set(titles) == {TECHNIQUES[key].title for key in WRITTEN}
    assert sum(plan.count for _, plan in shown.context["plans"]) <= 60
    people.client("curator").post(f"{PAGE}write", chosen)
    assert set(Prompt.objects.values_list("technique", flat=True)) == set(WRITTEN)
    assert Writing.objects.count() == len(WRITTEN)


def test_ticked_axes_vary_and_others_do_not(people: People) -> None:
    chosen = wish(people, varied=["light", "colour"], count=100, strategy="grid")
    people.client("curator").post(f"{PAGE}write", chosen)
    assert {frozenset(slots) for slots in Prompt.objects.values_list("slots", flat=True)} == {
        frozenset({"light", "colour"})
    }


def test_ticked_values_narrow_an_axis_and_leave_the_others_whole(people: People) -> None:
    chosen = wish(people, count=100, strategy="grid", **{"axis-colour": ["red"]})
    people.client("curator").post(f"{PAGE}write", chosen)
    slots = list(Prompt.objects.values_list("slots", flat=True))
    assert {one["colour"] for one in slots} == {"red"}
    assert {one["action"] for one in slots} == {"parked", "moving"}


def test_ticked_values_of_an_axis_that_no_template_has_are_used(people: People) -> None:
    chosen = wish(people, count=100, **{"axis-light": ["dusk"]})
    people.client("curator").post(f"{PAGE}write", chosen)
    assert set(Prompt.objects.values_list("slots__light", flat=True)) == {"dusk"}


def test_saved_captions_are_shown_alone_with_what_was_not_kept(people: People) -> None:
    make_prompt(people.label_class, "An older car")
    client = people.client("curator")
    chosen = wish(people, template="A [class]\nThe [class]")
    page = client.post(f"{PAGE}write", chosen, follow=True).content.decode()
    writing = Writing.objects.get()
    assert "An older car" not in page
    assert (writing.written, writing.dropped_count) == (2, 2)
    assert "2 of 4 written" in page
    assert "Nearly the same by its words (1.00, threshold 0.90)" in page
    assert "alike by 0.9 or more" in page


def test_flagged_captions_stay_drafts_and_are_found(people: People) -> None:
    client = people.client("curator")
    chosen = wish(people, template="A [class] by Claude Monet", axes=[], do="approve", count=2)
    page = client.post(f"{PAGE}write", chosen, follow=True).content.decode()
    assert "It may name a person: Claude" in page
    assert not Prompt.objects.approved().exists()
    make_prompt(people.label_class, "A plain car", state=PromptState.DRAFT)
    found = client.get(PAGE, {"flags": "flagged"}).context["page"]
    assert len(found) == Prompt.objects.exclude(flags=[]).count() == 2
    client.post(f"{PAGE}state", {"do": "approve_drafts"})
    assert [prompt.text for prompt in Prompt.objects.approved()] == ["A plain car"]


def test_writings_are_listed_and_lead_to_their_captions(people: People) -> None:
    client = people.client("curator")
    assert "Nothing was written yet" in client.get(f"{PAGE}writings/").content.decode()
    counts = []
    for number in range(3):
        client.post(f"{PAGE}write", wish(people, seed=number, count=2))
        with CaptureQueriesContext(connection) as queries:
            page = client.get(f"{PAGE}writings/").content.decode()
        counts.append(len(queries))
        url = f"{PAGE}writings/{Writing.objects.latest('pk').pk}/"
        assert url in page
        assert f"?writing={Writing.objects.latest('pk').pk}" in client.get(url).content.decode()
    assert counts[0] == counts[2]
    assert people.client("stranger").get(f"{PAGE}writings/").status_code == 404
    assert people.client("viewer").get(f"{PAGE}writings/").status_code == 200


def test_a_writing_of_another_dataset_is_not_shown(people: People) -> None:
    client = people.client("curator")
    client.post(f"{PAGE}write", wish(people))
    make_dataset("Other", curator=people.users["curator"])
    page = client.get(f"/d/other/prompts/?writing={Writing.objects.get().pk}")
    assert page.context["writing"] is None
    for nonsense in ("0", "x", "9" * 30, "1\0"):
        assert client.get(PAGE, {"writing": nonsense}).status_code == 200


def test_the_preview_costs_the_same_queries_for_more_classes_and_prompts(people: People) -> None:
    client = people.client("curator")
    client.post(f"{PAGE}write", wish(people, technique="style", count=2))
    counts = []
    for number in range(2):
        with CaptureQueriesContext(connection) as queries:
            chosen = wish(people, technique="style", count=50)
            client.get(f"{PAGE}preview", chosen, headers=HTMX)
        counts.append(len(queries))
        LabelClass.objects.create(dataset=people.dataset, name=f"bird {number}", slug=f"b{number}")
        client.post(f"{PAGE}write", wish(people, technique="style", count=20))
    assert counts[0] == counts[1]
