"""Probes: written, read by a worker, read anew when the words change; the sample for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.generation.models import GeneratedImage
from synthreview.scoring import probe_jobs
from synthreview.scoring.models import (
    Embedding,
    Probe,
    ProbeLabel,
    ProbePass,
    ProbeReading,
    ScorerVersion,
)
from synthreview.scoring.probe_jobs import read
from synthreview.scoring.probing import (
    GroupWish,
    ProbeError,
    label_image,
    next_to_label,
    plan_probes,
    save_probe,
    showing,
    take_back_label,
)
from synthreview.scoring.services import register
from synthreview.work.models import WorkState
from tests.factories import make_dataset, make_image, make_user
from tests.scoring.fakes import RedScorer, _vector, red_scorer

pytestmark = pytest.mark.django_db


@pytest.fixture
def red(settings: Any) -> Iterator[type[RedScorer]]:
    with red_scorer(settings) as scorer:
        register()
        yield scorer


@pytest.fixture
def dataset() -> Dataset:
    return make_dataset("People", classes=["doctor", "nurse"])


def make_showing(dataset: Dataset, words: str, **fields: Any) -> GeneratedImage:
    """Return an image whose place is that of these words."""
    image = make_image(dataset, **fields)
    version = ScorerVersion.objects.current()
    assert version is not None
    vector = _vector(words).astype("<f2").tobytes()
    Embedding.objects.create(image=image, version=version, vector=vector)
    return image


def make_probe(dataset: Dataset, **fields: Any) -> Probe:
    wish = {"name": "light", "groups": [GroupWish("day"), GroupWish("night")], **fields}
    return save_probe(dataset=dataset, **wish)


def run_passes(**wish: Any) -> list[ProbePass]:
    passes = plan_probes(**wish)
    for one in passes:
        read(one.pk)
        one.refresh_from_db()
    return passes


def guesses(probe: Probe) -> dict[int, str]:
    rows = ProbeReading.objects.filter(probe=probe)
    return dict(rows.values_list("image", "group__name"))


def test_each_image_goes_to_the_group_whose_words_are_nearest(
    red: type[RedScorer], dataset: Dataset
) -> None:
    day, night = make_showing(dataset, "day"), make_showing(dataset, "night")
    make_image(dataset)  # not scored yet
    probe = make_probe(dataset)
    (work,) = run_passes()
    assert (work.state, work.read_count, work.unknown_words) == (WorkState.DONE, 2, [])
    assert guesses(probe) == {day.pk: "day", night.pk: "night"}
    assert run_passes() == []
    later = make_showing(dataset, "nights")
    assert [work.read_count for work in run_passes(recent_only=True)] == [1]
    assert guesses(probe)[later.pk] == "night"
    group = probe.groups.get(name="night")
    shown = GeneratedImage.objects.filter(showing(group.pk))
    assert set(shown) == {night, later}


def test_a_group_is_the_mean_of_its_wordings(red: type[RedScorer], dataset: Dataset) -> None:
    probe = make_probe(dataset, groups=[GroupWish("a", ("aab", "bba")), GroupWish("c")])
    vectors = probe_jobs.group_vectors(RedScorer(), list(probe.groups.all()))
    by_hand = np.zeros(26)
    by_hand[:2] = np.sqrt(0.5)
    assert vectors[0] == pytest.approx(by_hand, abs=1e-6)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1])


def test_a_probe_of_one_class_reads_that_class_alone(
    red: type[RedScorer], dataset: Dataset
) -> None:
    first, second = dataset.classes.all()
    mine = make_showing(dataset, "day", label_class=first)
    make_showing(dataset, "day", label_class=second)
    probe = make_probe(dataset, classes=[first])
    run_passes()
    assert guesses(probe) == {mine.pk: "day"}


def test_a_scorer_that_knows_not_the_words_says_so_once(
    red: type[RedScorer], dataset: Dataset
) -> None:
    red.words = frozenset({"day", "a"})
    make_showing(dataset, "day")
    probe = make_probe(dataset)
    (work,) = run_passes()
    assert (work.state, work.unknown_words) == (WorkState.DONE, ["night"])
    assert guesses(probe) == {}
    assert plan_probes() == plan_probes(probe=probe) == []
    save_probe(
        dataset=dataset, probe=probe, name="light", groups=[GroupWish("day"), GroupWish("a day")]
    )
    (work,) = run_passes()
    assert (work.unknown_words, work.read_count) == ([], 1)


def test_new_words_have_everything_read_anew_and_other_changes_do_not(
    red: type[RedScorer], dataset: Dataset
) -> None:
    image, person = make_showing(dataset, "day"), make_user()
    probe = make_probe(dataset)
    run_passes()
    label_image(probe=probe, image=image, group=probe.groups.get(name="day"), person=person)
    groups = [GroupWish("day", asked_by=("sunny",), floor=0.5), GroupWish("night")]
    save_probe(dataset=dataset, probe=probe, name="hours", groups=groups)
    assert (probe.name, probe.revision, len(guesses(probe))) == ("hours", 1, 1)
    groups[1] = GroupWish("night", ("a day at night",))
    save_probe(dataset=dataset, probe=probe, name="hours", groups=groups)
    assert (probe.revision, guesses(probe)) == (2, {})
    assert ProbeLabel.objects.get().group == probe.groups.get(name="day")
    run_passes()
    save_probe(dataset=dataset, probe=probe, name="hours", groups=[*groups[1:], GroupWish("dusk")])
    assert not ProbeLabel.objects.exists()  # its group is gone
    assert [group.name for group in probe.groups.all()] == ["night", "dusk"]


def test_a_worker_writes_nothing_of_a_probe_that_was_changed_meanwhile(
    red: type[RedScorer], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_showing(dataset, "day")
    probe = make_probe(dataset)
    embed = RedScorer.embed_texts

    def change(self: RedScorer, texts: Any) -> Any:
        wishes = [GroupWish("dawn"), GroupWish("dusk")]
        save_probe(dataset=dataset, probe=probe, name="light", groups=wishes)
        return embed(self, texts)

    (work,) = plan_probes()
    monkeypatch.setattr(RedScorer, "embed_texts", change)
    read(work.pk)
    work.refresh_from_db()
    assert (work.state, work.error) == (WorkState.CANCELLED, "The probe was changed.")
    assert guesses(probe) == {}
    monkeypatch.undo()
    run_passes()
    assert len(guesses(probe)) == 1


def test_a_model_that_breaks_is_tried_again_and_then_shown(
    red: type[RedScorer], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_showing(dataset, "day")
    make_probe(dataset)

    def fail(self: RedScorer, texts: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(RedScorer, "embed_texts", fail)
    (work,) = plan_probes()
    for _ in range(ProbePass.MAX_ATTEMPTS):
        ProbePass.objects.update(due_at="2020-01-01T00:00:00Z")
        read(work.pk)
    work.refresh_from_db()
    assert (work.state, work.error) == (WorkState.FAILED, "RuntimeError: out of memory")
    assert plan_probes() == []  # not before the pause is over


def test_the_database_keeps_one_open_pass_and_floors_that_are_shares(
    red: type[RedScorer], dataset: Dataset
) -> None:
    make_showing(dataset, "day")
    probe = make_probe(dataset)
    (work,) = plan_probes()
    assert plan_probes() == []
    with pytest.raises(IntegrityError), transaction.atomic():
        ProbePass.objects.create(probe=probe, version=work.version, revision=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        probe.groups.update(floor=1.5)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"groups": [GroupWish("day")]}, "2 to 20 groups, not 1"),
        ({"groups": [GroupWish(str(at)) for at in range(21)]}, "2 to 20 groups, not 21"),
        ({"groups": [GroupWish("day"), GroupWish("Day")]}, "the same name"),
        ({"groups": [GroupWish("day", floor=0), GroupWish("night")]}, "floor of day"),
        (
            {"groups": [GroupWish("day", floor=0.6), GroupWish("night", floor=0.6)]},
            "more than everything",
        ),
        ({"groups": [GroupWish("day", ("x",) * 11), GroupWish("night")]}, "more than 10 wordings"),
        ({"name": " "}, "Give the probe a name"),
        ({"name": "taken"}, "'taken' already"),
    ],
)
def test_what_cannot_be_a_probe_is_said(dataset: Dataset, wish: dict[str, Any], why: str) -> None:
    make_probe(dataset, name="taken")
    with pytest.raises(ProbeError, match=why):
        make_probe(dataset, **wish)
    assert Probe.objects.count() == 1


# --- The sample ---------------------------------------------------------------------------


def test_the_sample_goes_by_lot_and_each_image_is_labelled_once(
    red: type[RedScorer], dataset: Dataset
) -> None:
    images = {make_showing(dataset, "day").pk for _ in range(6)}
    probe, anna, bert = make_probe(dataset), make_user(), make_user()
    run_passes()
    day = probe.groups.get(name="day")
    order = []
    while (image := next_to_label(probe)) is not None:
        order.append(image.pk)
        label_image(probe=probe, image=image, group=day, person=anna)
        again = label_image(probe=probe, image=image, group=None, person=bert)
        assert (again.group, again.labelled_by) == (day, anna)  # who is first counts
    assert set(order) == images
    by_lot = ProbeReading.objects.order_by("lot").values_list("image", flat=True)
    assert order == list(by_lot) != sorted(images)
    assert not take_back_label(probe=probe, person=bert)
    assert take_back_label(probe=probe, person=anna)
    again_first = next_to_label(probe)
    assert again_first is not None
    assert again_first.pk == order[-1]


def test_foreign_groups_and_images_are_refused(red: type[RedScorer], dataset: Dataset) -> None:
    image, person = make_showing(dataset, "day"), make_user()
    probe, other = make_probe(dataset), make_probe(dataset, name="other")
    with pytest.raises(ProbeError, match="not of this probe's sample"):
        label_image(probe=probe, image=image, group=None, person=person)
    run_passes()
    with pytest.raises(ProbeError, match="another probe"):
        label_image(probe=probe, image=image, group=other.groups.first(), person=person)


def test_readings_of_a_class_are_many_and_planning_costs_the_same(
    red: type[RedScorer], dataset: Dataset, django_assert_max_num_queries: Any
) -> None:
    label_class = dataset.classes.first()
    assert isinstance(label_class, LabelClass)
    for number in range(3):
        make_probe(dataset, name=f"probe {number}")
    make_showing(dataset, "day")
    run_passes()
    with django_assert_max_num_queries(7 + 3):  # one look for each probe
        assert plan_probes(recent_only=True) == []
