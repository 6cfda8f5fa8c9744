"""The pages of word lists and forbidden pairs: what they show, take and refuse."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import AxisValue, ForbiddenPair
from synthreview.catalog.services import set_axis_values
from synthreview.prompting.axes import forbid_values
from synthreview.prompting.forbidden import removals
from tests.factories import make_dataset
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
WORDS = "/d/traffic/prompts/words/"
PAIRS = "/d/traffic/prompts/forbidden/"


@pytest.fixture
def people() -> People:
    return make_people()


def set_axes(people: People, **axes: str) -> None:
    for name, words in axes.items():
        values = [{"name": word} for word in words.split()]
        set_axis_values(dataset=people.dataset, axis_name=name, values=values)


def value(name: str) -> AxisValue:
    return AxisValue.objects.get(name=name)


# --- Word lists -----------------------------------------------------------------


def test_values_are_shown_with_their_words_and_classes(people: People) -> None:
    beach = {"name": "beach", "phrase": "on a <b>sandy</b> beach", "classes": ["umbrella"]}
    set_axis_values(dataset=people.dataset, axis_name="environment", values=[beach])
    page = people.client("viewer").get(WORDS).content.decode()
    assert "on a &lt;b&gt;sandy&lt;/b&gt; beach" in page
    assert "<td>umbrella</td>" in page
    assert "Add the ticked lists" not in page


def test_the_starter_lists_are_added_once(people: People) -> None:
    client = people.client("curator")
    assert "begin with action, environment, style" in client.get(WORDS).content.decode()
    client.post(WORDS, {"do": "starter", "none_of_these": "1"})
    assert set(people.dataset.axes.values_list("name", flat=True)) == {
        "action",
        "environment",
        "style",
    }
    assert people.dataset.classes.filter(is_none_of_these=True).count() == 1
    before = AxisValue.objects.count()
    page = client.post(WORDS, {"do": "starter"}, follow=True).content.decode()
    assert "nothing to add" in page
    assert AxisValue.objects.count() == before


def test_ticked_lists_are_added_for_the_kinds_that_were_chosen(people: People) -> None:
    car, umbrella = people.dataset.classes.all()
    client = people.client("curator")
    data = {"do": "lists", "lists": ["action", "weather"], f"kind-{umbrella.pk}": "plant"}
    assert client.post(WORDS, data).status_code == 302
    assert set(value("in bloom").classes.all()) == {umbrella}
    assert set(value("parked").classes.all()) == {car}
    assert people.dataset.axes.get(name="weather").values.count() == 18


@pytest.mark.parametrize(
    "data", [{}, {"lists": ["magic"]}, {"lists": ["action"], "kind-1": "ghost"}]
)
def test_a_wrong_choice_of_lists_is_told(people: People, data: dict[str, Any]) -> None:
    car = people.label_class
    data = {name.replace("kind-1", f"kind-{car.pk}"): text for name, text in data.items()}
    response = people.client("curator").post(WORDS, {"do": "lists", **data})
    assert response.status_code == 422
    assert not people.dataset.axes.exists()


@pytest.mark.parametrize("kind", ["csv", "toml"])
def test_lists_go_out_as_a_file_and_come_in_again(people: People, kind: str) -> None:
    set_axes(people, light="sun moon", place="city")
    client = people.client("curator")
    file = client.get(f"{WORDS}file.{kind}")
    assert file["Content-Disposition"] == f'attachment; filename="traffic-word-lists.{kind}"'
    people.dataset.axes.all().delete()
    upload = SimpleUploadedFile(f"../{kind}.{kind}", file.content)
    assert client.post(WORDS, {"do": "file", "file": upload}).status_code == 302
    assert set(AxisValue.objects.values_list("axis__name", "name")) == {
        ("light", "sun"),
        ("light", "moon"),
        ("place", "city"),
    }
    assert client.get(f"{WORDS}file.xls").status_code == 404


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("a.csv", b"axis,name\nlight,sun\nlight,sun\n", "Line 3"),
        ("a.csv", b"axis,name\n=light,sun\n", "Line 2"),
        ("a.csv", b"axis,name,classes\nlight,sun,zebra\n", "zebra"),
        ("a.csv", b"\xff\xfe", "Line 1"),
        ("a.toml", b"[[axes]]\nname = ", "Line 2"),
        ("a.toml", b'[[forbidden]]\nlight = "x"\nplace = "y"\n', "no value"),
        ("a.csv", b"axis,name\nlight," + b"x" * 2_100_000, "larger than 2 MB"),
        ("a.csv", b"", "empty"),
    ],
)
def test_a_bad_file_is_refused_as_a_whole(
    people: People, name: str, data: bytes, complaint: str
) -> None:
    upload = SimpleUploadedFile(name, data)
    response = people.client("curator").post(WORDS, {"do": "file", "file": upload})
    assert response.status_code == 422
    assert complaint in response.content.decode()
    assert not people.dataset.axes.exists()


def test_who_may_look_and_who_may_change(people: People) -> None:
    for page in (WORDS, PAIRS, f"{WORDS}file.csv"):
        assert people.client("viewer").get(page).status_code == 200
        assert people.client("stranger").get(page).status_code == 404
    for page in (WORDS, PAIRS, f"{PAIRS}1/allow"):
        assert people.client("viewer").post(page, {"do": "starter"}).status_code == 403
        assert people.client("stranger").post(page, {"do": "starter"}).status_code == 404
    assert people.client("curator").get(f"{PAIRS}1/allow").status_code == 405
    assert not people.dataset.axes.exists()


# --- Forbidden pairs ------------------------------------------------------------


def test_a_pair_is_forbidden_and_allowed_again(people: People) -> None:
    set_axes(people, environment="beach kitchen", light="sun moon")
    client = people.client("curator")
    client.post(PAIRS, {"first": value("moon").pk, "second": value("beach").pk})
    pair = ForbiddenPair.objects.get()
    page = client.get(PAIRS).content.decode()
    # Two classes times 2 x 2 combinations, of which each class loses one.
    assert "<strong>2</strong> of 8 combinations" in page
    assert "A car beach moon" in page
    client.post(f"{PAIRS}{pair.pk}/allow")
    assert not ForbiddenPair.objects.exists()


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        ("sun", "moon", "values of one axis"),
        ("sun", "", "name a second value or a class"),
        ("foreign", "sun", "not one of the available choices"),
        ("", "sun", "required"),
    ],
)
def test_what_is_no_pair_is_told(people: People, first: str, second: str, complaint: str) -> None:
    set_axes(people, light="sun moon")
    other = make_dataset("Other")
    set_axis_values(dataset=other, axis_name="light", values=[{"name": "foreign"}])
    keys = {name: str(value(name).pk) for name in ("sun", "moon", "foreign")} | {"": ""}
    response = people.client("curator").post(PAIRS, {"first": keys[first], "second": keys[second]})
    assert response.status_code == 422
    assert complaint in response.content.decode()
    assert not ForbiddenPair.objects.exists()


def test_a_pair_of_another_dataset_is_not_there(people: People) -> None:
    other = make_dataset("Other")
    set_axis_values(dataset=other, axis_name="light", values=[{"name": "foreign"}])
    pair = forbid_values(other, {"light": "foreign", "class": "car"})
    assert people.client("curator").post(f"{PAIRS}{pair.pk}/allow").status_code == 404
    assert ForbiddenPair.objects.filter(pk=pair.pk).exists()


def test_what_pairs_remove_is_counted_together_without_making_the_grid(people: People) -> None:
    """Of 2 x 3 x 2 for each of two classes; the pairs overlap where all three values meet."""
    set_axes(people, a="a1 a2", b="b1 b2 b3", c="c1 c2")
    forbid_values(people.dataset, {"a": "a1", "b": "b1"})  # 2 for each class
    forbid_values(people.dataset, {"b": "b1", "c": "c1", "class": "car"})  # 2 for cars
    forbid_values(people.dataset, {"a": "a2", "class": "umbrella"})  # 6 for umbrellas
    found = removals(people.dataset)
    assert [one.combinations for one in found.pairs] == [4, 2, 6]
    # Cars lose 2 + 2 - 1, umbrellas 2 + 6.
    assert (found.combinations, found.removed, found.left) == (24, 11, 13)


def test_a_value_that_no_class_has_removes_nothing(people: People) -> None:
    boat = {"name": "afloat", "classes": ["umbrella"]}
    set_axis_values(dataset=people.dataset, axis_name="action", values=[boat])
    forbid_values(people.dataset, {"action": "afloat", "class": "car"})
    (one,) = removals(people.dataset).pairs
    assert (one.combinations, one.examples) == (0, ())
    assert "no class has both" in people.client("viewer").get(PAIRS).content.decode()


def test_the_pages_cost_the_same_for_many_values_and_pairs(people: People) -> None:
    client = people.client("curator")
    counts = []
    for size in (2, 12):
        places, lights = ([f"{axis}{n}" for n in range(size)] for axis in ("place", "light"))
        set_axes(people, place=" ".join(places), light=" ".join(lights))
        for place, light in zip(places, lights, strict=True):
            forbid_values(people.dataset, {"place": place, "light": light})
        found = []
        for page in (WORDS, PAIRS):
            with CaptureQueriesContext(connection) as queries:
                assert client.get(page).status_code == 200
            found.append(len(queries))
        counts.append(found)
    assert counts[0] == counts[1]
