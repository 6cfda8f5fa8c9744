"""The verbs of review: who gets what, what a decision does, and what holds in the database."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.review import intake, services
from synthreview.review import queue as hand_out
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.review.queue import Card
from synthreview.review.services import LeaseLostError, ReviewError
from tests.factories import (
    make_dataset,
    make_image,
    make_review,
    make_score,
    make_user,
    make_version,
)


@pytest.fixture
def reviewer(db: None) -> User:
    return make_user("rita")


@pytest.fixture
def other(db: None) -> User:
    return make_user("otto")


@pytest.fixture
def dataset(reviewer: User, other: User) -> Dataset:
    return make_dataset("Things", reviewer=[reviewer, other])


def queue(dataset: Dataset, count: int, *, looks: int = 1) -> list[GeneratedImage]:
    """Return images in the order in which the queue must offer them."""
    if looks > 1:
        dataset.policy.reviews_per_image = looks
        dataset.policy.save()
    images = [make_image(dataset) for _ in range(count)]
    for place, image in enumerate(images):
        make_score(image, value=place / 100)
        make_review(image, looks=looks)
    return images


def card_of(dataset: Dataset, reviewer: User, **arguments: int) -> Card:
    card = hand_out.next_card(dataset=dataset, reviewer=reviewer, **arguments)
    assert card is not None
    return card


def say(dataset: Dataset, reviewer: User, verdict: str, card: Card | None = None) -> Decision:
    card = card or card_of(dataset, reviewer)
    return services.record_decision(
        dataset=dataset, reviewer=reviewer, token=card.token, verdict=verdict
    ).decision


def state_of(image: GeneratedImage) -> str:
    return ImageReview.objects.get(image=image).state


# --- Into the queue -----------------------------------------------------------


def test_scored_images_come_into_the_queue_once(dataset: Dataset) -> None:
    image, unscored = make_image(dataset), make_image(dataset)
    make_score(image, 0.3)
    assert intake.admit() == 1
    assert intake.admit() == 0
    assert not ImageReview.objects.filter(image=unscored).exists()
    assert ReviewSlot.objects.get().priority == 0.3


def test_an_image_gets_as_many_looks_as_the_policy_says(dataset: Dataset) -> None:
    dataset.policy.reviews_per_image = 3
    dataset.policy.save()
    make_score(make_image(dataset))
    intake.admit()
    assert list(ReviewSlot.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3]


def test_a_score_that_does_not_apply_orders_nothing(dataset: Dataset) -> None:
    for _ in range(12):
        make_score(make_image(dataset), value=None)
    intake.admit()
    reviews = ImageReview.objects.order_by("image")
    assert not any(review.score for review in reviews)
    by_image = list(ReviewSlot.objects.order_by("image").values_list("priority", flat=True))
    assert by_image != sorted(by_image)
    assert all(0 <= priority < 1 for priority in by_image)


def test_a_new_model_reorders_what_is_undecided(dataset: Dataset, reviewer: User) -> None:
    decided, first, second = queue(dataset, 3)
    say(dataset, reviewer, Verdict.APPROVE)
    make_version()
    for image, value in ((decided, 0.9), (first, 0.8), (second, 0.1)):
        make_score(image, value)
    assert intake.reorder() == 2
    assert intake.reorder() == 0
    assert card_of(dataset, reviewer).slot.image == second


# --- Cards --------------------------------------------------------------------


def test_the_lowest_score_comes_first(dataset: Dataset, reviewer: User) -> None:
    images = queue(dataset, 6)
    card = card_of(dataset, reviewer)
    assert card.slot.image == images[0]
    assert set(hand_out.upcoming(dataset=dataset, reviewer=reviewer)) == set(images[1:5])


def test_the_open_card_comes_back(dataset: Dataset, reviewer: User) -> None:
    queue(dataset, 2)
    assert card_of(dataset, reviewer).token == card_of(dataset, reviewer).token


def test_two_reviewers_get_different_images(dataset: Dataset, reviewer: User, other: User) -> None:
    queue(dataset, 2)
    assert card_of(dataset, reviewer).slot.image != card_of(dataset, other).slot.image


def test_an_empty_queue_gives_no_card(dataset: Dataset, reviewer: User) -> None:
    assert hand_out.next_card(dataset=dataset, reviewer=reviewer) is None
    image = make_image(dataset)
    make_review(image, ImageState.APPROVED)
    assert hand_out.next_card(dataset=dataset, reviewer=reviewer) is None


def test_another_datasets_images_are_never_offered(dataset: Dataset, reviewer: User) -> None:
    queue(make_dataset(reviewer=reviewer), 1)
    assert hand_out.next_card(dataset=dataset, reviewer=reviewer) is None


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("looks", [1, 2])
def test_many_reviewers_at_once_never_share_a_look(looks: int) -> None:
    people = [make_user() for _ in range(6)]
    dataset = make_dataset(reviewer=people)
    images = queue(dataset, 20, looks=looks)
    dataset = Dataset.objects.select_related("policy").get(pk=dataset.pk)

    def work(reviewer: User) -> list[tuple[int, int]]:
        taken = []
        while card := hand_out.next_card(dataset=dataset, reviewer=reviewer):
            say(dataset, reviewer, Verdict.APPROVE, card)
            taken.append((card.slot.image_id, reviewer.pk))
        connection.close()
        return taken

    with ThreadPoolExecutor(len(people)) as pool:
        taken = [look for own in pool.map(work, people) for look in own]
    assert max(Counter(taken).values()) == 1, "one person looked twice at one image"
    assert set(Counter(image for image, _ in taken).values()) == {looks}
    assert Decision.objects.count() == looks * len(images)
    assert {state_of(image) for image in images} == {ImageState.APPROVED}


@pytest.mark.django_db(transaction=True)
def test_one_token_sent_from_many_threads_is_one_decision() -> None:
    reviewer = make_user()
    dataset = make_dataset(reviewer=reviewer)
    queue(dataset, 1)
    card = card_of(dataset, reviewer)

    def send(_: int) -> int:
        pk = say(dataset, reviewer, Verdict.APPROVE, card).pk
        connection.close()
        return pk

    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(send, range(6)))
    assert len(said) == 6
    assert len(set(said)) == 1 == Decision.objects.count()


# --- Decisions ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "state"),
    [(Verdict.APPROVE, ImageState.APPROVED), (Verdict.REJECT, ImageState.REJECTED)],
)
def test_a_verdict_decides_the_image(
    dataset: Dataset, reviewer: User, verdict: str, state: str
) -> None:
    (image,) = queue(dataset, 1)
    image.label_class.guideline_version = 7
    image.label_class.save()
    decision = say(dataset, reviewer, verdict)
    assert state_of(image) == state
    assert decision.guideline_version == 7
    assert ReviewSlot.objects.get().state == SlotState.DECIDED


def test_reasons_note_and_seconds_are_kept(dataset: Dataset, reviewer: User) -> None:
    queue(dataset, 1)
    said = services.record_decision(
        dataset=dataset,
        reviewer=reviewer,
        token=card_of(dataset, reviewer).token,
        verdict=Verdict.REJECT,
        reasons=["wrong_place", "wrong_colour"],
        note="  too dark  ",
        seconds=99_999,
    )
    decision = said.decision
    assert decision.reasons == ["wrong_place", "wrong_colour"]
    assert decision.note == "too dark"
    assert decision.seconds == services.MAX_SECONDS


def test_an_approval_carries_no_reasons(dataset: Dataset, reviewer: User) -> None:
    queue(dataset, 1)
    said = services.record_decision(
        dataset=dataset,
        reviewer=reviewer,
        token=card_of(dataset, reviewer).token,
        verdict=Verdict.APPROVE,
        reasons=["other"],
    )
    assert said.decision.reasons == []


def test_the_same_token_gives_the_same_decision(dataset: Dataset, reviewer: User) -> None:
    queue(dataset, 2)
    card = card_of(dataset, reviewer)
    first = say(dataset, reviewer, Verdict.APPROVE, card)
    second = say(dataset, reviewer, Verdict.REJECT, card)
    assert first == second
    assert Decision.objects.get().verdict == Verdict.APPROVE


def test_a_foreign_token_is_not_taken(dataset: Dataset, reviewer: User, other: User) -> None:
    queue(dataset, 1)
    card = card_of(dataset, reviewer)
    with pytest.raises(LeaseLostError):
        say(dataset, other, Verdict.APPROVE, card)
    with pytest.raises(LeaseLostError):
        services.record_decision(
            dataset=make_dataset(reviewer=reviewer),
            reviewer=reviewer,
            token=card.token,
            verdict=Verdict.APPROVE,
        )
    assert not Decision.objects.exists()


@pytest.mark.parametrize("verdict", ["withdraw", "", "APPROVE"])
def test_an_unknown_verdict_is_refused(dataset: Dataset, reviewer: User, verdict: str) -> None:
    queue(dataset, 1)
    with pytest.raises(ReviewError, match="choose approve, reject, skip or unsure"):
        say(dataset, reviewer, verdict)


def test_an_unknown_reason_is_refused(dataset: Dataset, reviewer: User) -> None:
    queue(dataset, 1)
    with pytest.raises(ReviewError, match="known: wrong_object"):
        services.record_decision(
            dataset=dataset,
            reviewer=reviewer,
            token=card_of(dataset, reviewer).token,
            verdict=Verdict.REJECT,
            reasons=["ugly"],
        )


# --- Skipping -----------------------------------------------------------------


def test_skipped_images_are_not_offered_again_until_asked_for(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    first, second = queue(dataset, 2)
    say(dataset, reviewer, Verdict.SKIP)
    say(dataset, reviewer, Verdict.SKIP)
    assert hand_out.next_card(dataset=dataset, reviewer=reviewer) is None
    assert state_of(first) == ImageState.PENDING
    until = services.round_of_skipped(dataset=dataset, reviewer=reviewer)
    assert card_of(dataset, reviewer, skipped_until=until).slot.image == first
    assert card_of(dataset, other).slot.image == second


def test_others_get_skipped_images_after_what_waits(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    first, second = queue(dataset, 2)
    say(dataset, reviewer, Verdict.SKIP)
    assert card_of(dataset, other).slot.image == second
    say(dataset, other, Verdict.APPROVE)
    assert card_of(dataset, other).slot.image == first


def test_a_round_of_skipped_images_comes_to_its_end(dataset: Dataset, reviewer: User) -> None:
    images = queue(dataset, 3)
    for _ in images:
        say(dataset, reviewer, Verdict.SKIP)
    until = services.round_of_skipped(dataset=dataset, reviewer=reviewer)
    seen = []
    while card := hand_out.next_card(dataset=dataset, reviewer=reviewer, skipped_until=until):
        seen.append(card.slot.image)
        say(dataset, reviewer, Verdict.SKIP, card)
    assert seen == images


def test_skipping_one_look_hides_the_others_of_the_same_image(
    dataset: Dataset, reviewer: User
) -> None:
    first, second = queue(dataset, 2, looks=2)
    assert card_of(dataset, reviewer).slot.image == first
    say(dataset, reviewer, Verdict.SKIP)
    assert card_of(dataset, reviewer).slot.image == second


# --- Several looks --------------------------------------------------------------


def test_the_looks_at_an_image_come_from_different_people(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    (image,) = queue(dataset, 1, looks=2)
    say(dataset, reviewer, Verdict.APPROVE)
    assert hand_out.next_card(dataset=dataset, reviewer=reviewer) is None
    assert state_of(image) == ImageState.PENDING
    say(dataset, other, Verdict.APPROVE)
    assert state_of(image) == ImageState.APPROVED


def test_reviewers_who_disagree_leave_the_image_disputed(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    (image,) = queue(dataset, 1, looks=2)
    say(dataset, reviewer, Verdict.APPROVE)
    say(dataset, other, Verdict.REJECT)
    assert state_of(image) == ImageState.DISPUTED
    services.undo(dataset=dataset, reviewer=other)
    assert state_of(image) == ImageState.PENDING
    say(dataset, other, Verdict.APPROVE)
    assert state_of(image) == ImageState.APPROVED


def test_a_policy_lowered_in_the_middle_locks_nobody_up(dataset: Dataset, reviewer: User) -> None:
    first, second = queue(dataset, 2, looks=2)
    say(dataset, reviewer, Verdict.APPROVE)
    dataset.policy.reviews_per_image = 1
    dataset.policy.save()
    assert card_of(dataset, reviewer).slot.image == second
    assert state_of(first) == ImageState.PENDING


# --- Leases -----------------------------------------------------------------------


def let_leases_run_out() -> None:
    ago = timezone.now() - dt.timedelta(minutes=1)
    ReviewSlot.objects.filter(state=SlotState.LEASED).update(lease_expires_at=ago)


def test_an_expired_lease_is_offered_again(dataset: Dataset, reviewer: User, other: User) -> None:
    (image,) = queue(dataset, 1)
    late = card_of(dataset, reviewer)
    assert hand_out.free_expired() == 0
    let_leases_run_out()
    assert hand_out.free_expired() == 1
    assert card_of(dataset, other).slot.image == image
    with pytest.raises(LeaseLostError, match="went back to the queue"):
        say(dataset, reviewer, Verdict.APPROVE, late)


def test_a_late_decision_counts_while_nobody_else_has_the_image(
    dataset: Dataset, reviewer: User
) -> None:
    (image,) = queue(dataset, 1)
    card = card_of(dataset, reviewer)
    let_leases_run_out()
    say(dataset, reviewer, Verdict.APPROVE, card)
    assert state_of(image) == ImageState.APPROVED


def test_a_heartbeat_keeps_the_lease(dataset: Dataset, reviewer: User, other: User) -> None:
    queue(dataset, 1)
    card = card_of(dataset, reviewer)
    let_leases_run_out()
    assert hand_out.renew_lease(reviewer=reviewer, token=card.token)
    assert hand_out.free_expired() == 0
    assert not hand_out.renew_lease(reviewer=other, token=card.token)
    assert not hand_out.renew_lease(reviewer=reviewer, token=uuid.uuid4())


def test_leaving_gives_the_image_back(dataset: Dataset, reviewer: User, other: User) -> None:
    (image,) = queue(dataset, 1)
    card_of(dataset, reviewer)
    assert hand_out.next_card(dataset=dataset, reviewer=other) is None
    assert hand_out.release(reviewer=reviewer, dataset=dataset) == 1
    assert card_of(dataset, other).slot.image == image


# --- Undo -----------------------------------------------------------------------------


def test_undo_goes_back_as_often_as_wished(dataset: Dataset, reviewer: User) -> None:
    images = queue(dataset, 4)
    for verdict in (Verdict.APPROVE, Verdict.REJECT, Verdict.SKIP):
        say(dataset, reviewer, verdict)
    card_of(dataset, reviewer)
    seen = []
    while card := services.undo(dataset=dataset, reviewer=reviewer):
        seen.append(card.slot.image)
    assert seen == [images[2], images[1], images[0]]
    assert {state_of(image) for image in images} == {ImageState.PENDING}
    assert ReviewSlot.objects.filter(state=SlotState.LEASED).count() == 1
    assert Decision.objects.filter(verdict=Verdict.WITHDRAW).count() == 3
    assert Decision.objects.count() == 6, "nothing is deleted"


def test_an_undone_image_is_decided_anew(dataset: Dataset, reviewer: User) -> None:
    image, _ = queue(dataset, 2)
    first = say(dataset, reviewer, Verdict.REJECT)
    card = services.undo(dataset=dataset, reviewer=reviewer)
    assert card is not None
    assert card.undone == first
    second = say(dataset, reviewer, Verdict.APPROVE, card)
    assert state_of(image) == ImageState.APPROVED
    assert list(services.last_decisions(dataset=dataset, reviewer=reviewer)) == [second]


def test_undo_reaches_ones_own_decisions_only(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    queue(dataset, 1)
    say(dataset, reviewer, Verdict.APPROVE)
    assert services.undo(dataset=dataset, reviewer=other) is None


def test_a_skip_that_somebody_took_up_is_not_undone(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    queue(dataset, 1)
    say(dataset, reviewer, Verdict.SKIP)
    say(dataset, other, Verdict.APPROVE)
    assert services.undo(dataset=dataset, reviewer=reviewer) is None


# --- Progress ----------------------------------------------------------------------------


def test_progress_counts_todays_standing_verdicts(dataset: Dataset, reviewer: User) -> None:
    queue(dataset, 8)
    for verdict in ["approve"] * 5 + ["skip"]:
        services.record_decision(
            dataset=dataset,
            reviewer=reviewer,
            token=card_of(dataset, reviewer).token,
            verdict=verdict,
            seconds=4.0,
        )
    services.undo(dataset=dataset, reviewer=reviewer)
    services.undo(dataset=dataset, reviewer=reviewer)
    progress = services.progress(dataset=dataset, reviewer=reviewer)
    assert (progress.done_today, progress.per_hour) == (4, None)
    say(dataset, reviewer, Verdict.APPROVE)
    Decision.objects.filter(verdict=Verdict.APPROVE).update(seconds=4.0)
    assert services.progress(dataset=dataset, reviewer=reviewer).per_hour == 900
    counts = services.queue_counts(dataset=dataset, reviewer=reviewer)
    assert (counts.waiting, counts.skipped_by_me, counts.is_more) == (3, 0, False)


def test_counting_stops_at_its_limit(
    dataset: Dataset, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(dataset, 4)
    monkeypatch.setattr(services, "COUNT_LIMIT", 2)
    counts = services.queue_counts(dataset=dataset, reviewer=reviewer)
    assert (counts.waiting, counts.is_more) == (2, True)


# --- What the database refuses ----------------------------------------------------------


def refuses(**changes: object) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ReviewSlot.objects.update(**changes)


def test_the_database_refuses_bad_slots(dataset: Dataset, reviewer: User) -> None:
    (image,) = queue(dataset, 1)
    expires = timezone.now()
    refuses(state="lost")
    refuses(state=SlotState.LEASED)
    refuses(lease_token=uuid.uuid4(), lease_expires_at=expires)
    refuses(state=SlotState.LEASED, lease_token=uuid.uuid4())
    refuses(state=SlotState.DECIDED)
    refuses(state=SlotState.SKIPPED)
    with pytest.raises(IntegrityError), transaction.atomic():
        ReviewSlot.objects.create(image=image, dataset=dataset, number=1, priority=0)


def test_the_database_refuses_two_looks_by_one_person(dataset: Dataset, reviewer: User) -> None:
    queue(dataset, 1, looks=2)
    say(dataset, reviewer, Verdict.APPROVE)
    waiting = ReviewSlot.objects.filter(state=SlotState.WAITING)
    with pytest.raises(IntegrityError), transaction.atomic():
        waiting.update(
            state=SlotState.LEASED,
            reviewer=reviewer,
            lease_token=uuid.uuid4(),
            lease_expires_at=timezone.now(),
        )


def test_the_database_refuses_one_lease_token_twice(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    queue(dataset, 2)
    card = card_of(dataset, reviewer)
    card_of(dataset, other)
    with pytest.raises(IntegrityError), transaction.atomic():
        ReviewSlot.objects.filter(reviewer=other).update(lease_token=card.token)


@pytest.mark.parametrize(
    "bad", [{"verdict": "maybe"}, {"seconds": -1}, {"verdict": "withdraw"}], ids=str
)
def test_the_database_refuses_bad_decisions(
    dataset: Dataset, reviewer: User, bad: dict[str, object]
) -> None:
    queue(dataset, 1)
    say(dataset, reviewer, Verdict.APPROVE)
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.update(**bad)


def test_the_database_refuses_a_token_or_an_undo_twice(dataset: Dataset, reviewer: User) -> None:
    queue(dataset, 2)
    first = say(dataset, reviewer, Verdict.APPROVE)
    services.undo(dataset=dataset, reviewer=reviewer)
    row = {"image": first.image, "dataset": dataset, "reviewer": reviewer, "verdict": "withdraw"}
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.create(**row, supersedes=first)
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.create(**{**row, "verdict": "skip"}, client_token=first.client_token)


def test_the_database_refuses_an_unknown_state(dataset: Dataset) -> None:
    queue(dataset, 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        ImageReview.objects.update(state="lost")
