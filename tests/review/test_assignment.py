"""A reviewer's classes and load, and why a draw stays uniform all the same."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, Membership
from synthreview.generation.models import GeneratedImage
from synthreview.review import certifying, cohorts, queue, services
from synthreview.review.assignment import assignment_of
from synthreview.review.models import Decision, ReviewSlot
from tests.factories import make_dataset, make_image, make_review, make_score, make_user


@pytest.fixture(autouse=True)
def chance(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = random.Random(3)
    for module in (queue, cohorts):
        monkeypatch.setattr(module, "CHANCE", seeded)


@pytest.fixture
def reviewer(db: None) -> User:
    return make_user("rita")


@pytest.fixture
def other(db: None) -> User:
    return make_user("otto")


@pytest.fixture
def dataset(reviewer: User, other: User) -> Dataset:
    return make_dataset("Things", reviewer=[reviewer, other])


def fill(dataset: Dataset, name: str, count: int) -> list[GeneratedImage]:
    images = [make_image(label_class=dataset.classes.get(name=name)) for _ in range(count)]
    for place, image in enumerate(images):
        make_score(image, value=place / 100)
        make_review(image)
    return images


def assign(dataset: Dataset, user: User, *classes: str, limit: int | None = None) -> None:
    membership = Membership.objects.get(dataset=dataset, user=user)
    membership.classes.set(dataset.classes.filter(name__in=classes))
    membership.daily_limit = limit
    membership.save()


def say(dataset: Dataset, user: User, verdict: str = "approve") -> Decision:
    card = queue.next_card(dataset=dataset, reviewer=user)
    assert card
    return services.record_decision(
        dataset=dataset, reviewer=user, token=card.token, verdict=verdict
    ).decision


def audits(dataset: Dataset, share: float) -> None:
    dataset.policy.audit_share = share
    dataset.policy.save()


def test_a_reviewer_is_handed_their_classes_alone(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, "car", 3)
    fill(dataset, "umbrella", 3)
    assign(dataset, reviewer, "umbrella")
    names = [say(dataset, reviewer).image.label_class.name for _ in range(3)]
    assert names == ["umbrella"] * 3
    assert queue.next_card(dataset=dataset, reviewer=reviewer) is None
    assign(dataset, reviewer)
    assert say(dataset, reviewer).image.label_class.name == "car"


def test_a_days_share_ends_the_day(dataset: Dataset, reviewer: User, other: User) -> None:
    fill(dataset, "car", 5)
    assign(dataset, reviewer, limit=2)
    say(dataset, reviewer)
    assert not assignment_of(dataset=dataset, reviewer=reviewer).is_done_today
    say(dataset, reviewer)
    assert assignment_of(dataset=dataset, reviewer=reviewer).is_done_today
    assert queue.next_card(dataset=dataset, reviewer=reviewer) is None
    assert queue.claim_many(dataset=dataset, reviewer=reviewer, count=4) is None
    assert queue.claim_siblings(dataset=dataset, reviewer=reviewer) is None
    assert queue.next_card(dataset=dataset, reviewer=other)
    services.undo(dataset=dataset, reviewer=reviewer)
    assert not assignment_of(dataset=dataset, reviewer=reviewer).is_done_today


def test_a_page_of_another_class_is_not_theirs(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, "car", 5)
    assign(dataset, reviewer, "umbrella")
    car = dataset.classes.get(name="car")
    page = queue.claim_many(
        dataset=dataset, reviewer=reviewer, count=4, label_class=car, technique="plain"
    )
    assert page is None


def test_a_draw_that_falls_on_another_class_is_owed_by_others(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    (car,) = fill(dataset, "car", 1)
    fill(dataset, "umbrella", 4)
    certification = certifying.start_certification(dataset=dataset)
    ReviewSlot.objects.filter(image=car).update(lottery=0.0)
    assign(dataset, reviewer, "umbrella")
    audits(dataset, 1)
    decision = say(dataset, reviewer)
    assert (decision.image.label_class.name, decision.stream) == ("umbrella", "queue")
    owed = ReviewSlot.objects.get(image=car)
    assert (owed.stream, owed.state, owed.handed_at is not None) == ("audit", "waiting", True)
    assert certifying.certificate_of(certification).looks == [], "what came after it waits"
    audits(dataset, 0)
    assert say(dataset, other).image == car
    assert certifying.certificate_of(certification).bound.audits == 1


@pytest.mark.slow
def test_draws_are_uniform_whatever_classes_the_reviewers_have(
    dataset: Dataset, reviewer: User
) -> None:
    """Two cars and four umbrellas, a reviewer of umbrellas: the first draw is each as often.

    Chi-square with 5 degrees of freedom exceeds 20.5 once in 1,000 times.
    """
    images = fill(dataset, "car", 2) + fill(dataset, "umbrella", 4)
    assign(dataset, reviewer, "umbrella")
    audits(dataset, 1)
    drawn: Counter[int] = Counter()
    for _ in range(180):
        certification = certifying.start_certification(dataset=dataset)
        queue.next_card(dataset=dataset, reviewer=reviewer)
        drawn[ReviewSlot.objects.get(stream="audit").image_id] += 1
        queue.release(dataset=dataset, reviewer=reviewer)
        ReviewSlot.objects.update(
            stream="queue", lottery=None, class_lottery=None, handed_at=None, lane=1
        )
        certifying.end_certification(certification)
    assert sum((drawn[image.pk] - 30) ** 2 / 30 for image in images) < 20.5


@pytest.mark.slow
def test_draws_stay_uniform_while_pages_draw_within_a_class(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    """A page draws 3 of 6 cars by the lots of their class; the next draw is of all that is left.

    3 cars and 3 umbrellas are left, so that it falls on a car every second time: of 160 draws
    fewer than 55 or more than 105 would be chance once in 10,000 times. With one lot for both,
    it would fall on a car far more rarely.
    """
    fill(dataset, "car", 6)
    fill(dataset, "umbrella", 3)
    car = dataset.classes.get(name="car")
    audits(dataset, 1)
    cars = 0
    for _ in range(160):
        certification = certifying.start_certification(dataset=dataset)
        assert queue.claim_many(
            dataset=dataset, reviewer=other, count=3, label_class=car, technique="plain"
        )
        card = queue.next_card(dataset=dataset, reviewer=reviewer)
        assert card
        assert card.slot.stream == "audit"
        cars += card.slot.label_class_id == car.pk
        for person in (reviewer, other):
            queue.release(dataset=dataset, reviewer=person)
        ReviewSlot.objects.update(
            stream="queue", lottery=None, class_lottery=None, handed_at=None, lane=1
        )
        certifying.end_certification(certification)
    assert 55 <= cars <= 105


def test_a_stranger_to_the_dataset_has_no_limits(dataset: Dataset) -> None:
    assignment = assignment_of(dataset=dataset, reviewer=make_user())
    assert (assignment.classes, assignment.daily_limit, assignment.is_done_today) == (
        (),
        None,
        False,
    )
