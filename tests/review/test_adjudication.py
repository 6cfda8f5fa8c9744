"""Where reviewers disagree: who is asked, what they see, and whose word stands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, Membership
from synthreview.generation.models import GeneratedImage
from synthreview.review import adjudication, certifying, intake, queue, services
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    Purpose,
    ReviewSlot,
    SlotState,
)
from synthreview.review.queue import Card
from tests.factories import make_dataset, make_image, make_review, make_score, make_user


@pytest.fixture
def people(db: None) -> dict[str, User]:
    return {name: make_user(name) for name in ("rita", "otto", "carla", "cem")}


@pytest.fixture
def dataset(people: dict[str, User]) -> Dataset:
    dataset = make_dataset(
        "Things",
        reviewer=[people["rita"], people["otto"]],
        curator=[people["carla"], people["cem"]],
    )
    dataset.policy.reviews_per_image = 2
    dataset.policy.save()
    return dataset


def fill(dataset: Dataset, count: int = 1) -> list[GeneratedImage]:
    images = [make_image(dataset) for _ in range(count)]
    for place, image in enumerate(images):
        make_score(image, value=place / 100)
        make_review(image, looks=2)
    return images


def say(dataset: Dataset, user: User, verdict: str, **more: object) -> Decision:
    card = queue.next_card(dataset=dataset, reviewer=user)
    assert card
    return services.record_decision(
        dataset=dataset, reviewer=user, token=card.token, verdict=verdict, **more
    ).decision


def disagree(dataset: Dataset, people: dict[str, User], count: int = 1) -> list[GeneratedImage]:
    """Return images that Rita approved and Otto rejected."""
    images = fill(dataset, count)
    for _ in images:
        say(dataset, people["rita"], "approve")
        say(dataset, people["otto"], "reject", reasons=["wrong_object"], note="a bus")
    return images


def card_for(dataset: Dataset, user: User) -> Card | None:
    return queue.next_card(dataset=dataset, reviewer=user, adjudicates=True)


def settle(dataset: Dataset, user: User, verdict: str) -> Decision:
    card = card_for(dataset, user)
    assert card
    return services.record_decision(
        dataset=dataset, reviewer=user, token=card.token, verdict=verdict
    ).decision


def state_of(image: GeneratedImage) -> str:
    return ImageReview.objects.get(image=image).state


@pytest.mark.parametrize(("verdict", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_the_adjudicators_word_settles_the_image(
    dataset: Dataset, people: dict[str, User], verdict: str, state: str
) -> None:
    (image,) = disagree(dataset, people)
    assert state_of(image) == ImageState.DISPUTED
    decision = settle(dataset, people["carla"], verdict)
    assert (decision.purpose, decision.stream) == (Purpose.ADJUDICATION, "queue")
    assert state_of(image) == state
    assert card_for(dataset, people["cem"]) is None


def test_both_verdicts_are_shown_without_names(dataset: Dataset, people: dict[str, User]) -> None:
    (image,) = disagree(dataset, people)
    looks = adjudication.looks_of(image)
    assert {look.name for look in looks} == {"Reviewer A", "Reviewer B"}
    assert {(look.verdict, tuple(look.reasons), look.note) for look in looks} == {
        ("approve", (), ""),
        ("reject", ("Wrong object",), "a bus"),
    }
    assert "rita" not in str(looks)


def test_the_order_of_the_two_tells_nothing(dataset: Dataset, people: dict[str, User]) -> None:
    images = disagree(dataset, people, 24)
    first = {adjudication.looks_of(image)[0].verdict for image in images}
    assert first == {"approve", "reject"}


def test_nobody_adjudicates_what_they_judged(dataset: Dataset, people: dict[str, User]) -> None:
    fill(dataset)
    say(dataset, people["carla"], "approve")
    say(dataset, people["otto"], "reject")
    assert card_for(dataset, people["carla"]) is None
    assert card_for(dataset, people["cem"]) is not None
    stuck = adjudication.backlog(dataset, [people["carla"]])
    assert (stuck.waiting, stuck.stuck) == (1, 1)
    both = adjudication.backlog(dataset, [people["carla"], people["cem"]])
    assert (both.waiting, both.stuck) == (1, 0)
    assert adjudication.backlog(dataset, []).stuck == 1


def test_two_adjudicators_never_get_one_image(dataset: Dataset, people: dict[str, User]) -> None:
    disagree(dataset, people, 2)
    first, second = card_for(dataset, people["carla"]), card_for(dataset, people["cem"])
    assert first
    assert second
    assert first.slot.image != second.slot.image
    again = card_for(dataset, people["carla"])
    assert again
    assert again.token == first.token, "the open card comes again"


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_many_adjudicators_at_once_settle_each_image_once() -> None:
    reviewers, judges = [make_user() for _ in range(2)], [make_user() for _ in range(4)]
    dataset = make_dataset(reviewer=reviewers, curator=judges)
    dataset.policy.reviews_per_image = 2
    dataset.policy.save()
    people = {"rita": reviewers[0], "otto": reviewers[1]}
    images = disagree(dataset, people, 24)

    def work(judge: User) -> int:
        count = 0
        while card_for(dataset, judge):
            settle(dataset, judge, "approve")
            count += 1
        connection.close()
        return count

    with ThreadPoolExecutor(len(judges)) as pool:
        done = sum(pool.map(work, judges))
    assert Decision.objects.filter(purpose=Purpose.ADJUDICATION).count() == done == len(images)
    assert {state_of(image) for image in images} == {ImageState.APPROVED}


def test_an_adjudication_lies_in_no_ordinary_queue(
    dataset: Dataset, people: dict[str, User]
) -> None:
    disagree(dataset, people)
    assert card_for(dataset, people["carla"])
    for name in ("rita", "otto", "carla", "cem"):
        assert queue.next_card(dataset=dataset, reviewer=people[name]) is None
    queue.release(dataset=dataset, reviewer=people["carla"])
    assert not ReviewSlot.objects.filter(purpose=Purpose.ADJUDICATION).exists()
    assert card_for(dataset, people["cem"])


def test_a_skipped_one_goes_to_another_and_comes_back_last(
    dataset: Dataset, people: dict[str, User]
) -> None:
    images = disagree(dataset, people, 2)
    settle(dataset, people["carla"], "skip")
    second = card_for(dataset, people["carla"])
    assert second
    assert second.slot.image == images[1]
    for name in ("rita", "otto"):
        assert queue.next_card(dataset=dataset, reviewer=people[name]) is None
    other = card_for(dataset, people["cem"])
    assert other
    assert other.slot.image == images[0]


def test_undo_takes_the_word_back(dataset: Dataset, people: dict[str, User]) -> None:
    (image,) = disagree(dataset, people)
    settle(dataset, people["carla"], "approve")
    assert services.undo(dataset=dataset, reviewer=people["carla"]) is None, "not at the queue"
    card = services.undo(dataset=dataset, reviewer=people["carla"], adjudicates=True)
    assert card
    assert state_of(image) == ImageState.DISPUTED
    services.record_decision(
        dataset=dataset, reviewer=people["carla"], token=card.token, verdict="reject"
    )
    assert state_of(image) == ImageState.REJECTED


def test_the_word_stands_when_a_reviewer_thinks_again(
    dataset: Dataset, people: dict[str, User]
) -> None:
    (image,) = disagree(dataset, people)
    settle(dataset, people["carla"], "approve")
    card = services.undo(dataset=dataset, reviewer=people["otto"])
    assert card
    assert state_of(image) == ImageState.PENDING
    services.record_decision(
        dataset=dataset, reviewer=people["otto"], token=card.token, verdict="reject"
    )
    assert state_of(image) == ImageState.APPROVED


def test_classes_are_kept_to(dataset: Dataset, people: dict[str, User]) -> None:
    disagree(dataset, people)  # cars
    membership = Membership.objects.get(user=people["carla"])
    membership.classes.set(dataset.classes.filter(name="umbrella"))
    assert card_for(dataset, people["carla"]) is None
    membership.classes.set(dataset.classes.filter(name="car"))
    assert card_for(dataset, people["carla"])


def test_a_certificate_goes_on_after_adjudication(
    dataset: Dataset, people: dict[str, User]
) -> None:
    fill(dataset, 3)
    certification = certifying.start_certification(dataset=dataset)
    for verdict in ("reject", "approve", "approve"):
        say(dataset, people["rita"], verdict)
        say(dataset, people["otto"], "approve")
    certificate = certifying.certificate_of(certification)
    assert (certificate.handed, len(certificate.events), certificate.unsettled) == (3, 0, 1)
    settle(dataset, people["carla"], "reject")
    certificate = certifying.certificate_of(certification)
    assert (len(certificate.events), certificate.bound.found_bad) == (3, 1)


def test_on_high_risk_datasets_the_good_are_confirmed_too(
    dataset: Dataset, people: dict[str, User]
) -> None:
    good, bad = fill(dataset, 2)
    ImageReview.objects.update(wants_adjudicator=True)
    for verdict in ("approve", "reject"):
        for name in ("rita", "otto"):
            say(dataset, people[name], verdict)
    assert (state_of(good), state_of(bad)) == (ImageState.DISPUTED, ImageState.REJECTED)
    settle(dataset, people["carla"], "approve")
    assert state_of(good) == ImageState.APPROVED


def test_what_came_before_a_dataset_was_high_risk_is_asked_more(
    dataset: Dataset, people: dict[str, User]
) -> None:
    dataset.policy.reviews_per_image = 1
    dataset.policy.save()
    good, bad, waiting = (make_image(dataset) for _ in range(3))
    for image in (good, bad, waiting):
        make_review(image)
    ReviewSlot.objects.filter(image=waiting).update(priority=0.9)  # comes last
    say(dataset, people["rita"], "approve")
    say(dataset, people["rita"], "reject")
    assert intake.ask_for_more_looks() == 0
    dataset.policy.reviews_per_image = 2
    dataset.policy.is_high_risk = True
    dataset.policy.save()
    assert intake.ask_for_more_looks() == 3
    assert intake.ask_for_more_looks() == 0, "once is enough"
    assert {state_of(image) for image in (good, bad, waiting)} == {ImageState.PENDING}
    assert Decision.objects.count() == 2
    assert ReviewSlot.objects.filter(image=waiting).count() == 2
    for verdict in ("approve", "reject"):
        say(dataset, people["otto"], verdict)
    assert state_of(bad) == ImageState.REJECTED
    assert state_of(good) == ImageState.DISPUTED, "two agree, and the adjudicator confirms"
    settle(dataset, people["carla"], "approve")
    assert state_of(good) == ImageState.APPROVED
    assert intake.ask_for_more_looks() == 0


def test_the_database_refuses_a_second_adjudication_and_one_that_waits(
    dataset: Dataset, people: dict[str, User]
) -> None:
    disagree(dataset, people)
    card = card_for(dataset, people["carla"])
    assert card
    slot = ReviewSlot.objects.get(pk=card.slot.pk)
    for changes in (
        {"pk": None, "lease_token": None, "state": SlotState.LEASED, "reviewer": people["cem"]},
        {"state": SlotState.WAITING, "lease_token": None, "lease_expires_at": None},
        {"stream": "audit", "lottery": 0.5},
        {"lottery": 0.5},
    ):
        for name, value in changes.items():
            setattr(slot, name, value)
        with pytest.raises(IntegrityError), transaction.atomic():
            slot.save()
        slot = ReviewSlot.objects.get(pk=card.slot.pk)
    with pytest.raises(IntegrityError), transaction.atomic():
        ImageReview.objects.update(adjudicated="skip")
