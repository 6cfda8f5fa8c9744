"""Places in the queue, whole prompts that are put aside, and another round of looks."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.prompting.models import Prompt
from synthreview.review import intake, putting_aside, queue, services
from synthreview.review.certifying import certificate_of, start_certification
from synthreview.review.models import (
    Decision,
    Departure,
    ImageReview,
    ImageState,
    PutAside,
    ReviewSlot,
    Verdict,
)
from synthreview.review.putting_aside import PutAsideError
from tests.factories import make_dataset, make_image, make_prompt, make_review, make_user


@pytest.fixture
def reviewer(db: None) -> User:
    return make_user("rita")


@pytest.fixture
def other(db: None) -> User:
    return make_user("otto")


@pytest.fixture
def dataset(reviewer: User, other: User) -> Dataset:
    return make_dataset("Things", reviewer=[reviewer, other])


def fill(prompt: Prompt, count: int, *, looks: int = 1) -> list[GeneratedImage]:
    images = [make_image(prompt=prompt) for _ in range(count)]
    for image in images:
        make_review(image, looks=looks)
    return images


@pytest.fixture
def prompt(dataset: Dataset) -> Prompt:
    return make_prompt(dataset.classes.get(name="car"), "A car made of cheese")


def say(dataset: Dataset, reviewer: User, *verdicts: str) -> list[int]:
    """Say them of the next cards; return the images."""
    images = []
    for verdict in verdicts:
        card = queue.next_card(dataset=dataset, reviewer=reviewer)
        assert card is not None
        services.record_decision(
            dataset=dataset, reviewer=reviewer, token=card.token, verdict=verdict
        )
        images.append(card.slot.image_id)
    return images


def states(images: list[GeneratedImage]) -> list[str]:
    found = ImageReview.objects.filter(image__in=images).order_by("image_id")
    return list(found.values_list("state", flat=True))


# --- Other places -----------------------------------------------------------------


def test_priorities_are_rewritten_and_obeyed(
    dataset: Dataset, reviewer: User, prompt: Prompt
) -> None:
    images = fill(prompt, 5, looks=2)
    wanted = {image.pk: -float(place) for place, image in enumerate(images)}
    assert services.set_priorities(wanted) == 10
    assert services.set_priorities(wanted) == 0
    card = queue.next_card(dataset=dataset, reviewer=reviewer)
    assert card is not None
    assert card.slot.image == images[-1]


def test_priorities_come_in_small_batches_and_leave_what_is_done(
    dataset: Dataset, reviewer: User, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH", 2)
    images = fill(prompt, 5)
    (decided,) = say(dataset, reviewer, "approve")
    assert services.set_priorities({image.pk: 0.1 for image in images}) == 4
    assert ReviewSlot.objects.get(image=decided).priority == 0.5
    assert services.set_priorities({}) == 0


def test_some_are_placed_without_an_opinion(dataset: Dataset, prompt: Prompt) -> None:
    images = fill(prompt, 60)
    wanted = {image.pk: float(place) for place, image in enumerate(images)}
    services.set_priorities(wanted, explore=0.3)
    places = dict(ReviewSlot.objects.values_list("image", "priority"))
    moved = {image for image, place in places.items() if place != wanted[image]}
    assert 8 <= len(moved) <= 30
    assert set(places.values()) <= set(wanted.values())
    services.set_priorities(wanted, explore=0.3)
    assert dict(ReviewSlot.objects.values_list("image", "priority")) == places


# --- Whole prompts that go wrong ------------------------------------------------------


def test_a_prompt_that_goes_wrong_is_noticed(
    dataset: Dataset, reviewer: User, prompt: Prompt
) -> None:
    fill(prompt, 14)
    say(dataset, reviewer, *["reject"] * 5, "approve")
    assert putting_aside.suspicious_prompts(dataset)[0].prompt == prompt
    tally = putting_aside.tally_of(prompt)
    assert (tally.rejected, tally.decided, tally.unseen) == (5, 6, 8)
    assert str(tally) == "5 of 6 of this prompt were rejected"


def test_a_prompt_that_goes_well_is_not(dataset: Dataset, reviewer: User, prompt: Prompt) -> None:
    fill(prompt, 9)
    say(dataset, reviewer, *["reject", "approve"] * 3)
    assert putting_aside.suspicious_prompts(dataset) == []
    assert not putting_aside.tally_of(prompt).is_suspicious


def test_the_rest_is_put_aside_unseen_and_comes_back(
    dataset: Dataset, reviewer: User, other: User, prompt: Prompt
) -> None:
    images = fill(prompt, 8, looks=2)
    elsewhere = fill(make_prompt(prompt.label_class, "A car at sea"), 2)
    dataset.policy.reviews_per_image = 2
    dataset.policy.save()
    say(dataset, reviewer, "reject", "reject", "skip")
    say(dataset, other, "reject", "reject")
    held = queue.next_card(dataset=dataset, reviewer=reviewer)
    assert held is not None
    event = putting_aside.put_aside(prompt=prompt, user=reviewer)
    assert (event.decided, event.rejected, event.removed) == (2, 2, 4)
    assert states(images) == ["rejected"] * 2 + ["pending"] * 2 + ["removed"] * 4
    assert states(elsewhere) == ["pending"] * 2
    assert putting_aside.tally_of(prompt).unseen == 0
    assert not Decision.objects.filter(image__in=images[4:]).exists(), "nobody judged them"
    assert putting_aside.take_back(event) == 4
    assert putting_aside.take_back(event) == 0
    assert states(images)[4:] == ["pending"] * 4
    assert ReviewSlot.objects.filter(image__in=images[4:], state="waiting").count() == 8


def test_nothing_is_put_aside_without_a_ground(
    dataset: Dataset, reviewer: User, prompt: Prompt
) -> None:
    fill(prompt, 3)
    with pytest.raises(PutAsideError, match="no ground"):
        putting_aside.put_aside(prompt=prompt, user=reviewer)
    say(dataset, reviewer, *["reject"] * 3)
    with pytest.raises(PutAsideError, match="Nothing is left"):
        putting_aside.put_aside(prompt=prompt, user=reviewer)
    assert not PutAside.objects.exists()


def test_what_leaves_a_certificate_unseen_is_on_record_there(
    dataset: Dataset, reviewer: User, prompt: Prompt
) -> None:
    """Four images: one rejected, three put aside; the bound knows that they are gone."""
    images = fill(prompt, 4)
    dataset.policy.audit_share = 0
    dataset.policy.save()
    certification = start_certification(dataset=dataset)
    say(dataset, reviewer, "reject")
    event = putting_aside.put_aside(prompt=prompt, user=reviewer)
    left = Departure.objects.filter(cohort__certification=certification)
    assert set(left.values_list("image", flat=True)) == {image.pk for image in images[1:]}
    assert not left.exclude(handed_at=None, is_bad=None, stream="queue").exists()
    bound = certificate_of(certification).bound
    assert (bound.population, bound.reviewed, bound.removed, bound.unreviewed) == (4, 1, 3, 0)
    assert (bound.remaining_bad, bound.exported) == (0, 0)
    putting_aside.take_back(event)
    assert not ReviewSlot.objects.filter(state="waiting", lottery__isnull=False).exists()
    assert certificate_of(certification).bound == bound, "who left does not come back"


# --- Another round ------------------------------------------------------------------


def test_images_whose_guideline_changed_are_listed_and_asked_again(
    dataset: Dataset, reviewer: User, prompt: Prompt
) -> None:
    images = fill(prompt, 3)
    say(dataset, reviewer, "approve", "reject")
    assert not ImageReview.objects.judged_by_older_guideline().exists()
    prompt.label_class.guideline_version += 1
    prompt.label_class.save()
    older = ImageReview.objects.filter(dataset=dataset).judged_by_older_guideline()
    assert {review.image for review in older} == set(images[:2])
    again = services.ask_again(dataset=dataset, images=[image.pk for image in images])
    assert again == 2
    assert states(images) == ["pending"] * 3
    assert not older.all().exists()
    say(dataset, reviewer, *["approve"] * 3)
    assert states(images) == ["approved"] * 3
    assert Decision.objects.filter(round=2).count() == 2
    assert Decision.objects.count() == 5, "what was said before stays on record"


def test_a_card_that_lay_open_while_the_guideline_changed_names_the_old_one(
    dataset: Dataset, reviewer: User, prompt: Prompt
) -> None:
    fill(prompt, 1)
    card = queue.next_card(dataset=dataset, reviewer=reviewer)
    assert card is not None
    prompt.label_class.guideline_version += 1
    prompt.label_class.save()
    said = services.record_decision(
        dataset=dataset, reviewer=reviewer, token=card.token, verdict=Verdict.APPROVE
    )
    assert said.decision.guideline_version == 1
    assert ImageReview.objects.judged_by_older_guideline().count() == 1


def test_decisions_of_an_earlier_round_are_not_undone(
    dataset: Dataset, reviewer: User, prompt: Prompt
) -> None:
    (image,) = fill(prompt, 1)
    say(dataset, reviewer, "approve")
    services.ask_again(dataset=dataset, images=[image.pk])
    assert services.undo(dataset=dataset, reviewer=reviewer) is None


def test_another_datasets_images_are_not_asked_again(
    dataset: Dataset, reviewer: User, prompt: Prompt
) -> None:
    (image,) = fill(prompt, 1)
    say(dataset, reviewer, "approve")
    assert services.ask_again(dataset=make_dataset(reviewer=reviewer), images=[image.pk]) == 0


# --- What the database refuses --------------------------------------------------------


def test_the_database_refuses_bad_rows(dataset: Dataset, reviewer: User, prompt: Prompt) -> None:
    (image,) = fill(prompt, 1)
    row = {"dataset": dataset, "prompt": prompt}
    for write in (
        lambda: PutAside.objects.create(**row, decided=1, rejected=2),
        lambda: ImageReview.objects.update(state=ImageState.REMOVED),
        lambda: ReviewSlot.objects.update(lane=4),
        lambda: ReviewSlot.objects.update(purpose="fun"),
        lambda: ReviewSlot.of(image, number=1, priority=0).save(),
        lambda: Decision.objects.create(
            image=image, dataset=dataset, reviewer=reviewer, verdict="skip", surface="wall"
        ),
        lambda: Decision.objects.create(
            image=image, dataset=dataset, reviewer=reviewer, verdict="skip", purpose="fun"
        ),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            write()
