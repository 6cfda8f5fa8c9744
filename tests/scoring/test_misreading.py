"""A word on a picture: what the scorer took it for before and after, and which images fool it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from synthreview.catalog.models import Dataset, QualityPolicy
from synthreview.catalog.storage import blobs
from synthreview.generation.models import CallInput, GeneratedImage
from synthreview.lib.images import decode
from synthreview.scoring.jobs import score
from synthreview.scoring.misreading import texts_with
from synthreview.scoring.models import Misreading, Score
from synthreview.scoring.scorers.base import ScoreRequest, ScoreResult
from synthreview.scoring.services import plan_scoring, register
from tests.factories import make_call, make_dataset, make_image, make_prompt, make_run, make_user
from tests.scoring.fakes import RedScorer, red_scorer

pytestmark = pytest.mark.django_db


class ReadingScorer(RedScorer):
    """Takes a picture for what `takes` says of it, by its first pixel; else for the first text."""

    takes: dict[int, str] = {}

    def _score(self, request: ScoreRequest) -> ScoreResult:
        plain = RedScorer._score(self, request)
        found = self.takes.get(int(np.asarray(request.image)[0, 0, 0]), request.class_texts[0])
        chances = np.full(len(request.class_texts), 0.1, np.float32)
        chances[list(request.class_texts).index(found)] = 0.7
        return ScoreResult(
            plain.similarity, plain.match, plain.parts, chances, None, plain.value, plain.embedding
        )


@pytest.fixture
def reader(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[ReadingScorer]]:
    with red_scorer(settings) as own:
        monkeypatch.setattr(own, "_score", ReadingScorer._score)
        monkeypatch.setattr(own, "takes", {}, raising=False)
        yield own  # type: ignore[misc]


@pytest.fixture
def world() -> Dataset:
    return make_dataset(
        "World", classes=["apple", "car"], curator=make_user("curator"),
        reviewer=make_user("reviewer"),
    )  # fmt: skip


def shade(image: GeneratedImage) -> int:
    """The first pixel's red of an image of the factory."""
    return int(np.asarray(decode(blobs().read(image.sha256)).pixels)[0, 0, 0])


def with_word(source: GeneratedImage, word: str) -> GeneratedImage:
    """An image that a word was put on, with its source on record."""
    prompt = make_prompt(source.label_class, technique="typographic")
    run = make_run(source.dataset, generator="typographic")
    call = make_call(run, prompt)
    CallInput.objects.create(call=call, image=source)
    return make_image(
        label_class=source.label_class, prompt=prompt, run=run, call=call, facts={"word": word}
    )


def score_all() -> None:
    register()
    for work in plan_scoring():
        score(work.pk)


def test_the_class_before_and_after_is_stored_for_each_word(
    reader: type[ReadingScorer], world: Dataset
) -> None:
    source = make_image(label_class=world.classes.get(name="apple"))
    fooled, firm = with_word(source, "iPod"), with_word(source, "iPod")
    reader.takes = {shade(source): "apple", shade(fooled): "iPod", shade(firm): "apple"}
    score_all()
    rows = {row.image_id: row for row in Misreading.objects.all()}
    assert set(rows) == {fooled.pk, firm.pk}
    row = rows[fooled.pk]
    assert (row.word, row.class_before, row.class_after) == ("iPod", "apple", "iPod")
    assert (row.chance_before, row.chance_after) == (pytest.approx(0.7), pytest.approx(0.7))
    assert row.is_fooled
    assert row.is_read
    assert not rows[firm.pk].is_fooled
    # Both pictures were judged among the same texts: the classes, and the word.
    pairs = [r for r in reader.requests if not r.parts]
    assert {tuple(request.class_texts) for request in pairs} == {("apple", "car", "iPod")}
    # The order of the queue rests on no score of a picture that the scorer does not know.
    assert not Score.objects.get(image=fooled).applies


@pytest.mark.parametrize(
    ("before", "after", "is_fooled"),
    [
        ("apple", "car", True),  # moved by the word, if not to the word
        ("car", "apple", False),  # the word helped
        ("car", "car", False),  # it was wrong anyway
        ("car", "iPod", True),
        ("apple", "apple", False),
    ],
)
def test_fooled_is_what_the_word_moved_to_something_wrong(
    before: str, after: str, is_fooled: bool, reader: type[ReadingScorer], world: Dataset
) -> None:
    source = make_image(label_class=world.classes.get(name="apple"))
    image = with_word(source, "iPod")
    reader.takes = {shade(source): before, shade(image): after}
    score_all()
    row = Misreading.objects.get()
    assert (row.class_before, row.class_after, row.is_fooled) == (before, after, is_fooled)


def test_a_word_that_is_a_class_stands_there_once() -> None:
    assert texts_with(["apple", "car"], "Car") == ["apple", "car"]
    assert texts_with(["apple", "car"], "") == ["apple", "car"]


def test_what_the_scorer_cannot_judge_gets_no_row(
    reader: type[ReadingScorer], world: Dataset
) -> None:
    foreign = make_image(world, generator="openai")
    with_word(foreign, "iPod")
    without_word = with_word(make_image(world), "")
    assert without_word.facts == {"word": ""}
    score_all()
    assert not Misreading.objects.exists()
    assert Score.objects.count() == GeneratedImage.objects.count()


def test_scoring_again_adds_nothing(reader: type[ReadingScorer], world: Dataset) -> None:
    with_word(make_image(world), "iPod")
    score_all()
    score_all()
    assert Misreading.objects.count() == 1


def test_the_images_that_fool_it_are_listed_and_each_says_how(
    reader: type[ReadingScorer], world: Dataset, client: Client
) -> None:
    source = make_image(label_class=world.classes.get(name="apple"))
    fooled, firm = with_word(source, "iPod"), with_word(source, "sale")
    reader.takes = {shade(fooled): "iPod"}
    score_all()
    client.login(username="curator", password="curator")
    page = reverse("images", args=["world"])

    def listed(word: str) -> list[int]:
        return [image.pk for image in client.get(page, {"word": word}).context["images"]]

    assert listed("fooled") == [fooled.pk]
    assert listed("held") == [firm.pk]
    assert len(listed("")) == 3
    assert len(listed("nonsense")) == 3
    body = client.get(fooled.get_absolute_url()).content.decode()
    assert "The word “iPod”" in body
    assert "fooled it" in body
    assert "It read the word" in body
    assert "did not fool it" in client.get(firm.get_absolute_url()).content.decode()
    assert "The word" not in client.get(source.get_absolute_url()).content.decode()


def test_who_judges_blindly_learns_nothing_of_it(
    reader: type[ReadingScorer], world: Dataset, client: Client
) -> None:
    QualityPolicy.objects.filter(dataset=world).update(blind_scores=True)
    source = make_image(world)
    image = with_word(source, "iPod")
    reader.takes = {shade(image): "iPod"}
    score_all()
    client.login(username="reviewer", password="reviewer")
    page = reverse("images", args=["world"])
    answer = client.get(page, {"word": "fooled"})
    assert len(answer.context["images"]) == 2
    assert "Words on pictures" not in answer.content.decode()
    assert "fooled it" not in client.get(image.get_absolute_url()).content.decode()


@pytest.mark.parametrize("fields", [{"chance_after": 1.5}, {"chance_before": -0.1}])
def test_the_database_refuses_what_is_no_chance(
    fields: dict[str, float], reader: type[ReadingScorer], world: Dataset
) -> None:
    usual: dict[str, Any] = {
        "image": make_image(world), "version": register(), "word": "iPod",
        "class_before": "apple", "chance_before": 0.5, "class_after": "car",
        "chance_after": 0.5, "is_fooled": True,
    }  # fmt: skip
    with pytest.raises(IntegrityError), transaction.atomic():
        Misreading.objects.create(**{**usual, **fields})
    Misreading.objects.create(**usual)
    with pytest.raises(IntegrityError), transaction.atomic():
        Misreading.objects.create(**usual)
