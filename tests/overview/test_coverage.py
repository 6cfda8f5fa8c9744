"""Coverage: the numbers of each cell, gaps and what fills them; page, command and API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from synthreview.accounts.models import User
from synthreview.catalog.models import AxisValue, Dataset, ForbiddenPair, LabelClass
from synthreview.catalog.services import set_axis_values
from synthreview.generation.models import Call
from synthreview.overview.coverage import (
    MOST_GAPS,
    Cell,
    Counts,
    GapError,
    atlas_of,
    by_value,
    is_apart,
    plan_captions,
)
from synthreview.prompting.axes import add_none_of_these
from synthreview.prompting.models import Prompt, PromptState
from tests.factories import (
    make_approved_image,
    make_call,
    make_dataset,
    make_image,
    make_prompt,
    make_rejected_image,
    make_run,
    make_user,
)


@pytest.fixture
def curator(db: None) -> User:
    return make_user("cora")


@pytest.fixture
def dataset(curator: User) -> Dataset:
    dataset = make_dataset("Things", curator=curator, viewer=make_user("vera"))
    set_axis_values(
        dataset=dataset,
        axis_name="environment",
        values=[{"name": "beach", "phrase": "on the beach"}, {"name": "night"}],
    )
    return dataset


@pytest.fixture
def car(dataset: Dataset) -> LabelClass:
    return dataset.classes.get(name="car")


def prompt_of(label_class: LabelClass, words: str, technique: str = "environment") -> Prompt:
    return make_prompt(
        label_class,
        f"{label_class.name} {words} {technique} {Prompt.objects.count()}",
        technique=technique,
        slots={"environment": words} if words else {},
    )


def cell(dataset: Dataset, name: str, value: str, **wish: Any) -> Cell:
    matrix = atlas_of(dataset).matrix("environment", **wish)
    (found,) = (one for one in matrix.cells if (one.label_class.name, one.value) == (name, value))
    return found


# --- Numbers --------------------------------------------------------------------------


def test_a_cell_counts_what_was_asked_and_what_came_of_it(
    dataset: Dataset, car: LabelClass, curator: User
) -> None:
    """A value is found by its words as well as by its name."""
    run = make_run(dataset)
    for words in ("on the beach", "beach"):
        prompt = prompt_of(car, words)
        call = make_call(run, prompt, count=3, billed_micro_usd=30_000)
        for place, make in enumerate((make_approved_image, make_rejected_image)):
            make(car, curator, prompt=prompt, call=call, position=place)
        make_image(prompt=prompt, call=call, position=2)
    Call.objects.filter(images__isnull=True).delete()  # the factory's own
    found = cell(dataset, "car", "beach")
    assert found.counts == Counts(
        prompts=2, asked=6, generated=6, approved=2, rejected=2, billed=60_000
    )
    assert found.status == "thin"
    assert cell(dataset, "car", "beach", floor=2).status == "enough"
    assert cell(dataset, "car", "night").status == "empty"
    assert cell(dataset, "umbrella", "beach").counts == Counts()


def test_techniques_are_told_apart(dataset: Dataset, car: LabelClass, curator: User) -> None:
    for technique in ("environment", "style", "style"):
        prompt = prompt_of(car, "beach", technique)
        make_approved_image(car, curator, prompt=prompt, technique=technique)
    found = cell(dataset, "car", "beach")
    assert {name: one.approved for name, one in found.by_technique.items()} == {
        "environment": 1,
        "style": 2,
    }
    assert cell(dataset, "car", "beach", technique="style").counts.approved == 2
    assert cell(dataset, "car", "beach", technique="plain").status == "empty"


def test_what_states_no_value_has_a_column_and_is_no_gap(
    dataset: Dataset, car: LabelClass, curator: User
) -> None:
    make_approved_image(car, curator, prompt=None, generator="import")
    make_approved_image(car, curator, prompt=prompt_of(car, "", "plain"))
    make_approved_image(car, curator, prompt=prompt_of(car, "in a forgotten place"))
    matrix = atlas_of(dataset).matrix("environment")
    assert matrix.values == ["beach", "night", "in a forgotten place", ""]
    assert cell(dataset, "car", "").counts.approved == 2
    assert cell(dataset, "car", "").is_gap is False
    assert sum(line.total.approved for line in matrix.lines) == 3


def test_retired_captions_are_counted_no_more_but_their_images_are(
    dataset: Dataset, car: LabelClass, curator: User
) -> None:
    prompt = prompt_of(car, "beach")
    make_approved_image(car, curator, prompt=prompt)
    Prompt.objects.update(state=PromptState.RETIRED)
    counts = cell(dataset, "car", "beach").counts
    assert (counts.prompts, counts.approved) == (0, 1)


def test_what_must_not_be_is_no_gap(dataset: Dataset, car: LabelClass) -> None:
    beach, night = AxisValue.objects.filter(axis__dataset=dataset)
    night.classes.add(dataset.classes.get(name="umbrella"))
    ForbiddenPair.objects.create(dataset=dataset, first=beach, label_class=car)
    assert cell(dataset, "car", "beach").status == "barred"
    assert cell(dataset, "car", "night").status == "barred"
    assert cell(dataset, "umbrella", "night").status == "empty"


def test_nothing_is_missing_of_none_of_these(dataset: Dataset) -> None:
    none = add_none_of_these(dataset)
    matrix = atlas_of(dataset).matrix("environment")
    gaps = [(gap.label_class, gap.value) for gap in matrix.gaps]
    assert {label_class.name for label_class, _ in gaps} == {"car", "umbrella"}
    assert cell(dataset, none.name, "beach").status == "barred"
    assert plan_captions(dataset=dataset, axis="environment", gaps=gaps, count=1)


@pytest.mark.parametrize(
    ("ours", "whole", "apart"),
    [
        ((0, 12), (40, 14), True),
        ((12, 0), (14, 40), True),
        ((6, 6), (30, 30), False),
        ((0, 4), (40, 6), False),  # too few to say
        ((0, 12), (2, 14), False),  # the rest has too few
    ],
)
def test_review_that_shifts_the_set_is_seen(
    ours: tuple[int, int], whole: tuple[int, int], apart: bool
) -> None:
    cell, total = (Counts(approved=a, rejected=r) for a, r in (ours, whole))
    assert is_apart(cell, total) is apart


def test_values_add_up_over_the_classes(dataset: Dataset, curator: User) -> None:
    for label_class in dataset.classes.all():
        make_approved_image(label_class, curator, prompt=prompt_of(label_class, "beach"))
    first, second = by_value(atlas_of(dataset).matrix("environment"))
    assert (first.value, first.counts.approved) == ("beach", 2)
    assert first.counts.rate
    assert first.counts.rate.low < first.counts.rate.mean < first.counts.rate.high
    assert second.counts.rate is None


# --- Filling --------------------------------------------------------------------------


def test_a_gap_gets_captions_that_state_it(
    dataset: Dataset, car: LabelClass, curator: User
) -> None:
    set_axis_values(
        dataset=dataset, axis_name="action", values=[{"name": "parked"}, {"name": "moving"}]
    )
    (written,) = plan_captions(
        dataset=dataset, axis="environment", gaps=[(car, "beach")], count=2, created_by=curator
    )
    assert written.prompts
    for prompt in Prompt.objects.all():
        assert (prompt.label_class, prompt.technique) == (car, "environment")
        assert prompt.slots["environment"] == "on the beach"
        assert "on the beach" in prompt.text
        assert (prompt.state, prompt.created_by) == (PromptState.DRAFT, curator)
    assert cell(dataset, "car", "beach").counts.prompts == len(written.prompts)


def test_an_axis_without_a_technique_of_its_own_is_stated_plainly(
    dataset: Dataset, car: LabelClass
) -> None:
    set_axis_values(dataset=dataset, axis_name="weather", values=[{"name": "in the rain"}])
    (written,) = plan_captions(
        dataset=dataset, axis="weather", gaps=[(car, "in the rain")], count=1
    )
    (prompt,) = written.prompts
    assert prompt.technique == "plain"
    assert "in the rain" in prompt.text


def test_no_gap_and_too_many_are_refused(dataset: Dataset, car: LabelClass) -> None:
    with pytest.raises(GapError, match="no gap to fill"):
        plan_captions(dataset=dataset, axis="environment", gaps=[], count=1)
    many = [(car, "beach")] * (MOST_GAPS + 1)
    with pytest.raises(GapError, match="fill 50 at most"):
        plan_captions(dataset=dataset, axis="environment", gaps=many, count=1)
    assert not Prompt.objects.exists()


# --- The page -------------------------------------------------------------------------


def test_the_page_shows_the_matrix_and_opens_the_images(
    dataset: Dataset, car: LabelClass, curator: User, client: Client
) -> None:
    there = make_approved_image(car, curator, prompt=prompt_of(car, "on the beach"))
    make_approved_image(car, curator, prompt=prompt_of(car, "night"))
    client.force_login(User.objects.get(username="vera"))
    page = client.get(reverse("coverage", args=["things"])).content.decode()
    assert "coverage-thin" in page
    assert "coverage-empty" in page
    assert "Fill" not in page  # who only looks plans nothing
    link = f"?label_class={car.pk}&amp;axis=environment&amp;value=beach"
    assert link in page
    images = client.get(reverse("images", args=["things"]) + link.replace("&amp;", "&"))
    assert [image.pk for image in images.context["images"]] == [there.pk]
    assert "Only environment: beach." in images.content.decode()


@pytest.mark.parametrize(
    ("show", "said"),
    [
        ("asked", ">6</a>"),
        ("rejected", '>1 <span class="small soft">of 3</span></a>'),
        ("rate", '>62 % <span class="small soft">24\u201394</span></a>'),
        ("cost", ">$0.50</a>"),
        ("nothing", '>2 <span class="small soft">of 3</span></a>'),
    ],
)
def test_a_cell_tells_what_is_asked_of_it(
    dataset: Dataset, car: LabelClass, curator: User, client: Client, show: str, said: str
) -> None:
    prompt = prompt_of(car, "on the beach")
    make_call(make_run(dataset), prompt, count=3, billed_micro_usd=500_000)
    for make in (make_approved_image, make_approved_image, make_rejected_image):
        make(car, curator, prompt=prompt)
    client.force_login(curator)
    page = client.get(reverse("coverage", args=["things"]), {"show": show}).content.decode()
    assert said in " ".join(page.split()).replace("\n", "").replace("> ", ">").replace(
        " </a", "</a"
    )


@pytest.mark.parametrize("query", ["?axis=nope&technique=x&floor=-3", "?axis=%00", "?floor=x"])
def test_a_strange_address_shows_the_first_axis(
    dataset: Dataset, curator: User, client: Client, query: str
) -> None:
    client.force_login(curator)
    answer = client.get(reverse("coverage", args=["things"]) + query)
    assert answer.status_code == 200
    assert answer.context["matrix"].axis == "environment"


@pytest.mark.parametrize("query", ["?axis=a__b&value=x", "?axis=environment&value=%00", "?value=x"])
def test_strange_filters_of_images_are_no_error(
    dataset: Dataset, curator: User, client: Client, query: str
) -> None:
    client.force_login(curator)
    assert client.get(reverse("images", args=["things"]) + query).status_code == 200


def test_gaps_are_filled_from_the_page(
    dataset: Dataset, car: LabelClass, curator: User, client: Client
) -> None:
    client.force_login(curator)
    plan = reverse("coverage-plan", args=["things"])
    form = {"axis": "environment", "technique": "", "floor": 5, "count": 1}
    answer = client.post(plan, form | {"gap": "car|beach"}, follow=True)
    assert "1 captions are drafted" in answer.content.decode()
    assert Prompt.objects.get().slots["environment"] == "on the beach"
    client.post(plan, form | {"gap": "all"})
    assert Prompt.objects.count() > 1
    for wrong in ({"gap": "car|moon"}, {"gap": ""}, {"gap": "car|beach", "count": 0}):
        before = Prompt.objects.count()
        assert client.post(plan, form | wrong).status_code == 302
        assert Prompt.objects.count() == before


def test_who_may_not_curate_fills_nothing(dataset: Dataset, client: Client) -> None:
    plan = reverse("coverage-plan", args=["things"])
    client.force_login(User.objects.get(username="vera"))
    assert client.post(plan, {"gap": "all"}).status_code == 403
    assert client.get(plan).status_code == 405
    client.force_login(make_user("stranger"))
    assert client.get(reverse("coverage", args=["things"])).status_code == 404
    assert client.post(plan, {"gap": "all"}).status_code == 404


def test_a_dataset_without_axes_says_what_to_do(curator: User, client: Client) -> None:
    make_dataset("Bare", curator=curator)
    client.force_login(curator)
    page = client.get(reverse("coverage", args=["bare"])).content.decode()
    assert "No axis yet" in page


def test_the_page_costs_the_same_whatever_it_shows(
    dataset: Dataset, curator: User, client: Client
) -> None:
    client.force_login(curator)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("coverage", args=["things"]))
        return len(queries)

    def grow(count: int) -> None:
        for label_class in dataset.classes.all():
            for words in ["beach", "night"] * count:
                make_approved_image(label_class, curator, prompt=prompt_of(label_class, words))

    grow(1)
    cost()
    small = cost()
    grow(4)
    assert cost() == small


# --- Command and API ------------------------------------------------------------------


def test_the_command_tells_every_axis(
    dataset: Dataset, car: LabelClass, curator: User, capsys: pytest.CaptureFixture[str]
) -> None:
    make_approved_image(car, curator, prompt=prompt_of(car, "beach"))
    capsys.readouterr()
    call_command("coverage", "things", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["cells"], told["empty"], told["thin"]) == (4, 3, 1)
    (axis,) = told["axes"]
    first = axis["cells"][0]
    assert (first["class"], first["value"], first["status"]) == ("car", "beach", "thin")
    assert first["approved"] == 1
    mean, low, high = first["approval_rate"]
    assert low < mean < high
    call_command("coverage", "things", "--floor", "1")
    assert "3 cells are empty, 0 thin, of 4." in capsys.readouterr().out
    for wrong in (["--axis", "nope"], ["--technique", "nope"], ["--floor", "0"]):
        with pytest.raises(CommandError):
            call_command("coverage", "things", *wrong)


def test_the_api_tells_the_same(dataset: Dataset, client: Client) -> None:
    client.force_login(User.objects.get(username="vera"))
    told = client.get("/api/datasets/things/coverage?axis=environment&floor=2").json()
    assert (told["floor"], told["empty"]) == (2, 4)
    answer = client.get("/api/datasets/things/coverage?axis=nope")
    assert answer.status_code == 422
    assert "'nope' is not one of environment" in answer.json()["detail"]
    assert client.get("/api/datasets/things/coverage?floor=0").status_code == 422
    client.force_login(make_user("stranger"))
    assert client.get("/api/datasets/things/coverage").status_code == 404
