"""Two exports beside each other, on the page and in the shell."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.export import comparing
from synthreview.export.comparing import Change, compare
from synthreview.export.models import Export, ExportItem
from synthreview.export.services import order_export
from synthreview.export.splits import parse_wish
from synthreview.review import services as review
from tests.export.frozen import frozen
from tests.factories import make_approved_image, make_dataset, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def curator() -> User:
    return make_user("cora")


@pytest.fixture
def dataset(curator: User) -> Dataset:
    return make_dataset("Things", curator=curator, viewer=make_user("vera"))


@pytest.fixture
def exports(dataset: Dataset, curator: User) -> tuple[Export, Export]:
    """Of four images one is undone later, one comes, one gets another class and one moves."""
    car = dataset.classes.get(name="car")
    for _ in range(4):
        make_approved_image(car, curator)
    before = frozen(dataset, "100")
    assert review.undo(dataset=dataset, reviewer=curator)
    make_approved_image(car, curator)
    after = frozen(dataset, "100")
    items = after.items.order_by("image_id")
    ExportItem.objects.filter(pk=items[0].pk).update(class_name="Umbrella", class_folder="umbrella")
    ExportItem.objects.filter(pk=items[1].pk).update(split="test")
    return before, after


def test_what_came_went_and_changed_is_listed(exports: tuple[Export, Export]) -> None:
    found = compare(*exports)
    images = list(exports[0].items.order_by("image_id").values_list("image", flat=True))
    new = exports[1].items.order_by("image_id").last().image_id
    assert (found.added, found.added_count) == ([new], 1)
    assert (found.removed, found.removed_count) == ([images[3]], 1)
    assert found.relabelled == [Change(images[0], "car", "Umbrella")]
    assert found.moved == [Change(images[1], "train", "test")]
    assert not found.is_same
    back = compare(exports[1], exports[0])
    assert (back.added, back.removed) == (found.removed, found.added)


def test_a_class_that_only_got_another_name_is_no_change(dataset: Dataset, curator: User) -> None:
    car = dataset.classes.get(name="car")
    make_approved_image(car, curator)
    first = frozen(dataset, "100")
    car.name = "motor car"
    car.save()
    assert compare(first, frozen(dataset, "100")).is_same


def test_long_lists_are_cut_and_counted(
    exports: tuple[Export, Export], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "LISTED", 0)
    found = compare(*exports)
    assert (found.added, found.added_count) == ([], 1)


def url(export: Export, other: object = "") -> str:
    address = reverse("export-compare", args=[export.dataset.slug, export.number])
    return f"{address}?with={other}" if other else address


def test_the_page_compares_with_the_export_before(
    client: Client, exports: tuple[Export, Export], curator: User
) -> None:
    client.force_login(curator)
    for address in (url(exports[1]), url(exports[1], 1)):
        text = client.get(address).content.decode()
        assert "From export 1 to 2" in text
        assert "Umbrella" in text
    assert "From export 2 to 1" in client.get(url(exports[0])).content.decode()
    link = f"{url(exports[1])}?with=1"
    assert link in client.get(exports[1].get_absolute_url()).content.decode()


def test_the_page_is_for_those_who_see_the_dataset(
    client: Client, exports: tuple[Export, Export], dataset: Dataset, curator: User
) -> None:
    client.force_login(User.objects.get(username="vera"))
    assert client.get(url(exports[1])).status_code == 200
    assert client.post(url(exports[1])).status_code == 405
    for nonsense in (99, 2, "x", "-1", "1;drop"):
        assert client.get(url(exports[1], nonsense)).status_code == 404
    other = make_dataset("Other", curator=curator)
    make_approved_image(other.classes.first(), curator)
    alone = frozen(other, "100")
    client.force_login(curator)
    assert client.get(url(alone)).status_code == 404
    assert client.get(url(alone, 2)).status_code == 404  # another dataset's number
    client.force_login(make_user("stranger"))
    assert client.get(url(exports[1])).status_code == 404


def test_what_is_not_frozen_is_not_compared(
    client: Client, exports: tuple[Export, Export], dataset: Dataset, curator: User
) -> None:
    order_export(dataset=dataset, wish=parse_wish("100"))
    client.force_login(curator)
    assert client.get(url(exports[1], 3)).status_code == 404


def test_the_command_answers_in_words_and_json(
    exports: tuple[Export, Export], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("compare_exports", "things", "1", "2")
    assert "1 added, 1 removed, 1 with another label, 1 in another split" in capsys.readouterr().out
    call_command("compare_exports", "things", "1", "2", "--json")
    facts = json.loads(capsys.readouterr().out)
    assert facts == {"dataset": "things"} | compare(*exports).as_json()
    assert facts["moved"]["images"][0]["after"] == "test"
    with pytest.raises(CommandError, match="has no frozen export 9; it has: 1, 2"):
        call_command("compare_exports", "things", "1", "9")
