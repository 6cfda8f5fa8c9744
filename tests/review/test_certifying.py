"""The certificate on real rows: who is in it, what is drawn, what counts, and that it is true."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, QualityPolicy
from synthreview.generation.models import GeneratedImage
from synthreview.review import certifying, cohorts, queue, services
from synthreview.review.certificate import Look, Stream
from synthreview.review.certifying import (
    Certificate,
    CertificationError,
    Event,
    certificate_of,
    end_certification,
    start_certification,
)
from synthreview.review.models import (
    Certification,
    Decision,
    ImageReview,
    Lane,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.review.queue import Card
from tests.factories import make_dataset, make_image, make_review, make_score, make_user


@pytest.fixture(autouse=True)
def chance(monkeypatch: pytest.MonkeyPatch) -> random.Random:
    seeded = random.Random(11)
    for module in (queue, cohorts):
        monkeypatch.setattr(module, "CHANCE", seeded)
    return seeded


@pytest.fixture
def reviewer(db: None) -> User:
    return make_user("rita")


@pytest.fixture
def other(db: None) -> User:
    return make_user("otto")


@pytest.fixture
def dataset(reviewer: User, other: User) -> Dataset:
    return make_dataset("Things", reviewer=[reviewer, other])


def fill(dataset: Dataset, count: int, *, looks: int = 1) -> list[GeneratedImage]:
    """Put images into the queue; the first made come first."""
    images = [make_image(dataset) for _ in range(count)]
    for place, image in enumerate(images):
        make_score(image, value=place / 1000)
        make_review(image, looks=looks)
    return images


def policy(dataset: Dataset, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(dataset.policy, name, value)
    dataset.policy.save()


def card_of(dataset: Dataset, reviewer: User, **arguments: Any) -> Card:
    card = queue.next_card(dataset=dataset, reviewer=reviewer, **arguments)
    assert card is not None
    return card


def say(dataset: Dataset, reviewer: User, verdict: str, card: Card | None = None) -> Decision:
    card = card or card_of(dataset, reviewer)
    return services.record_decision(
        dataset=dataset, reviewer=reviewer, token=card.token, verdict=verdict
    ).decision


def now(dataset: Dataset) -> Certificate:
    certification = certifying.open_certification(dataset)
    assert certification
    return certificate_of(certification)


def streams(certificate: Certificate) -> list[str]:
    return [look.stream.value for look in certificate.looks]


# --- The population ----------------------------------------------------------------


def test_the_population_is_what_nobody_was_handed(dataset: Dataset, reviewer: User) -> None:
    decided, skipped, released, *rest = fill(dataset, 6)
    say(dataset, reviewer, Verdict.APPROVE)
    say(dataset, reviewer, Verdict.SKIP)
    card_of(dataset, reviewer)
    queue.release(reviewer=reviewer, dataset=dataset)
    certification = start_certification(dataset=dataset, user=reviewer)
    inside = ImageReview.objects.filter(cohort__certification=certification).values_list(
        "image", flat=True
    )
    assert set(inside) == {image.pk for image in rest}
    assert certification.population == len(rest)
    lots = ReviewSlot.objects.filter(lottery__isnull=False)
    assert set(lots.values_list("image", flat=True)) == {image.pk for image in rest}
    assert not {decided.pk, skipped.pk, released.pk} & set(inside)


def test_later_images_join_the_next_one(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, 3)
    first = start_certification(dataset=dataset)
    say(dataset, reviewer, Verdict.APPROVE)
    fill(dataset, 2)
    assert now(dataset).bound.population == 3
    end_certification(first)
    assert not ReviewSlot.objects.filter(handed_at=None, lottery__isnull=False).exists()
    second = start_certification(dataset=dataset)
    assert (second.number, second.population) == (2, 4)
    assert certificate_of(first).bound.reviewed == 1, "what was handed out stays in the first"


def test_target_and_confidence_are_frozen(dataset: Dataset) -> None:
    fill(dataset, 2)
    start_certification(dataset=dataset)
    policy(dataset, target_error=0.4, confidence=0.6)
    assert now(dataset).target == 0.02
    assert now(dataset).bound.alpha == pytest.approx(0.05)


def test_one_runs_at_a_time_and_none_over_nothing(dataset: Dataset) -> None:
    with pytest.raises(CertificationError, match="nothing to certify"):
        start_certification(dataset=dataset)
    assert not Certification.objects.exists()
    fill(dataset, 1)
    start_certification(dataset=dataset)
    with pytest.raises(CertificationError, match="runs already"):
        start_certification(dataset=dataset)


def test_large_populations_are_drawn_in_batches(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohorts, "BATCH", 2)
    fill(dataset, 5)
    assert start_certification(dataset=dataset).population == 5
    lots = ReviewSlot.objects.values_list("lottery", flat=True)
    assert len(set(lots)) == 5
    assert None not in lots


# --- The draw ----------------------------------------------------------------------


def test_without_a_certificate_nothing_is_drawn(dataset: Dataset, reviewer: User) -> None:
    policy(dataset, audit_share=1)
    images = fill(dataset, 4)
    seen = []
    for _ in images:
        card = card_of(dataset, reviewer)
        seen.append(card.slot.image)
        assert say(dataset, reviewer, Verdict.APPROVE, card).stream == "queue"
    assert seen == images


def test_a_decision_says_how_its_card_was_chosen(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, 8)
    start_certification(dataset=dataset)
    policy(dataset, audit_share=1)
    assert say(dataset, reviewer, Verdict.APPROVE).stream == "audit"
    policy(dataset, audit_share=0)
    assert say(dataset, reviewer, Verdict.APPROVE).stream == "queue"
    assert streams(now(dataset)) == ["audit", "queue"]


@pytest.mark.slow
def test_audits_are_uniform_whatever_the_queue_does(dataset: Dataset, reviewer: User) -> None:
    """The queue takes the same image first each time; each other one is drawn equally often.

    Chi-square with 5 degrees of freedom exceeds 20.5 once in 1,000 times.
    """
    images = fill(dataset, 6 + 1)
    drawn: Counter[int] = Counter()
    rounds = 240
    for _ in range(rounds):
        start_certification(dataset=dataset)
        policy(dataset, audit_share=0)
        first = card_of(dataset, reviewer)
        assert first.slot.image == images[0]
        policy(dataset, audit_share=1)
        drawn[card_of(dataset, reviewer, may_hold_one=False).slot.image_id] += 1
        queue.release(reviewer=reviewer, dataset=dataset)
        ReviewSlot.objects.update(stream="queue", lottery=None, handed_at=None, lane=Lane.NORMAL)
        ImageReview.objects.update(cohort=None)
        Certification.objects.all().delete()
    expected = rounds / 6
    assert images[0].pk not in drawn
    assert sum((drawn[image.pk] - expected) ** 2 / expected for image in images[1:]) < 20.5


def test_the_share_of_audits_is_the_policys(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, 60)
    start_certification(dataset=dataset)
    policy(dataset, audit_share=0.5)
    for _ in range(50):
        say(dataset, reviewer, Verdict.APPROVE)
    assert 15 <= now(dataset).bound.audits <= 35


def test_first_hand_out_and_stream_are_kept(dataset: Dataset, reviewer: User, other: User) -> None:
    fill(dataset, 3)
    start_certification(dataset=dataset)
    policy(dataset, audit_share=1)
    slot = card_of(dataset, reviewer).slot
    slot.refresh_from_db()
    first = slot.handed_at
    assert first
    queue.release(reviewer=reviewer, dataset=dataset)
    policy(dataset, audit_share=0)
    say(dataset, other, Verdict.REJECT)
    slot.refresh_from_db()
    assert (slot.handed_at, slot.stream, slot.state) == (first, "audit", SlotState.DECIDED)


def test_loading_ahead_covers_audits_and_tells_nothing(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, 20)
    start_certification(dataset=dataset)
    policy(dataset, audit_share=0.5)
    card = card_of(dataset, reviewer)
    for _ in range(12):
        upcoming = queue.upcoming(dataset=dataset, reviewer=reviewer)
        ahead = {image.pk for image in upcoming}
        assert upcoming == sorted(upcoming, key=lambda image: queue._scattered(image.pk))
        say(dataset, reviewer, Verdict.APPROVE, card)
        card = card_of(dataset, reviewer)
        assert card.slot.image_id in ahead, "an audit must not load more slowly than others"


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_several_reviewers_at_once_share_one_draw() -> None:
    people = [make_user() for _ in range(4)]
    dataset = make_dataset(reviewer=people)
    images = fill(dataset, 40)
    policy(dataset, audit_share=0.5)
    start_certification(dataset=dataset)
    dataset = Dataset.objects.select_related("policy").get(pk=dataset.pk)

    def work(reviewer: User) -> int:
        count = 0
        while card := queue.next_card(dataset=dataset, reviewer=reviewer):
            verdict = Verdict.REJECT if card.slot.image_id % 4 == 0 else Verdict.APPROVE
            say(dataset, reviewer, verdict, card)
            count += 1
        connection.close()
        return count

    with ThreadPoolExecutor(len(people)) as pool:
        assert sum(pool.map(work, people)) == len(images)
    certificate = now(dataset)
    assert len(certificate.looks) == 40
    assert certificate.bound.remaining_bad == 0
    assert certificate.bound.found_bad == sum(image.pk % 4 == 0 for image in images)
    assert 8 <= certificate.bound.audits <= 32
    for audit in ReviewSlot.objects.filter(stream="audit"):
        skipped_over = ReviewSlot.objects.filter(
            lottery__lt=audit.lottery, handed_at__gt=audit.handed_at
        )
        assert skipped_over.count() <= len(people), "the draw goes by the lots"


# --- An audit is a debt ---------------------------------------------------------------


@pytest.fixture
def audit(dataset: Dataset, reviewer: User) -> Card:
    """An audit that lies before the reviewer; from now on the coin says "queue"."""
    fill(dataset, 12)
    start_certification(dataset=dataset)
    policy(dataset, audit_share=1)
    card = card_of(dataset, reviewer)
    policy(dataset, audit_share=0)
    return card


def test_a_released_audit_comes_before_everything(
    dataset: Dataset, reviewer: User, other: User, audit: Card
) -> None:
    queue.release(reviewer=reviewer, dataset=dataset)
    assert card_of(dataset, other).slot == audit.slot


def test_an_expired_audit_comes_before_everything(
    dataset: Dataset, reviewer: User, other: User, audit: Card
) -> None:
    ReviewSlot.objects.filter(pk=audit.slot.pk).update(lease_expires_at="2020-01-01T00:00:00Z")
    queue.free_expired()
    assert card_of(dataset, other).slot == audit.slot


def test_a_skipped_audit_goes_to_others_first(
    dataset: Dataset, reviewer: User, other: User, audit: Card
) -> None:
    say(dataset, reviewer, Verdict.SKIP, audit)
    again = card_of(dataset, reviewer)
    assert again.slot != audit.slot
    assert card_of(dataset, other).slot == audit.slot
    assert say(dataset, other, Verdict.APPROVE).stream == "audit"


def test_who_skipped_it_gets_it_in_their_round_of_second_looks(
    dataset: Dataset, reviewer: User, audit: Card
) -> None:
    say(dataset, reviewer, Verdict.SKIP, audit)
    for _ in range(11):
        say(dataset, reviewer, Verdict.APPROVE)
    assert queue.next_card(dataset=dataset, reviewer=reviewer) is None
    until = services.round_of_skipped(dataset=dataset, reviewer=reviewer)
    assert card_of(dataset, reviewer, skipped_until=until).slot == audit.slot
    assert now(dataset).looks == []


def test_a_skipped_card_of_the_queue_is_owed_as_well(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    fill(dataset, 12)
    start_certification(dataset=dataset)
    policy(dataset, audit_share=0)
    skipped = card_of(dataset, reviewer)
    say(dataset, reviewer, Verdict.SKIP, skipped)
    assert card_of(dataset, other).slot == skipped.slot
    assert say(dataset, other, Verdict.APPROVE).stream == "queue"


def test_an_audited_image_gets_all_its_looks_soon(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    policy(dataset, reviews_per_image=2, audit_share=1)
    fill(dataset, 12, looks=2)
    start_certification(dataset=dataset)
    card = card_of(dataset, reviewer)
    policy(dataset, audit_share=0)
    say(dataset, reviewer, Verdict.APPROVE, card)
    assert now(dataset).looks == []
    second = card_of(dataset, other)
    assert second.slot.image == card.slot.image
    assert say(dataset, other, Verdict.APPROVE, second).stream == "audit"
    assert streams(now(dataset)) == ["audit"]
    assert now(dataset).bound.audits == 1


# --- What counts ------------------------------------------------------------------------


def test_looks_count_up_to_the_first_open_one(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    fill(dataset, 6)
    start_certification(dataset=dataset)
    policy(dataset, audit_share=1)
    say(dataset, reviewer, Verdict.REJECT)
    late = card_of(dataset, reviewer)
    say(dataset, other, Verdict.APPROVE)
    say(dataset, other, Verdict.REJECT)
    certificate = now(dataset)
    assert [look.is_bad for look in certificate.looks] == [True]
    assert (certificate.handed, certificate.uncounted, certificate.unsettled) == (4, 3, 1)
    say(dataset, reviewer, Verdict.APPROVE, late)
    assert [look.is_bad for look in now(dataset).looks] == [True, False, False, True]


def test_events_count_up_to_the_first_open_one_and_become_looks() -> None:
    def event(stream: Stream, *, is_bad: bool | None, is_open: bool = False) -> Event:
        look = None if is_open else Look(stream, is_bad)
        return Event(timezone.now(), 0.0, 1, 1, "car", "plain", stream, look)

    events = [
        event(Stream.AUDIT, is_bad=False),
        event(Stream.CLASS_AUDIT, is_bad=True),
        event(Stream.TARGETED, is_bad=None),
        event(Stream.AUDIT, is_bad=None, is_open=True),
        event(Stream.AUDIT, is_bad=True),
    ]
    (part,) = certifying.parts_of(certifying.counted(events), {1: 9})
    assert [(look.stream, look.is_bad) for look in part.looks] == [
        (Stream.AUDIT, False),
        (Stream.TARGETED, True),
        (Stream.TARGETED, None),
    ]
    (within,) = certifying.parts_of(
        certifying.counted(events), {1: 9}, class_draws_count=frozenset({1})
    )
    assert within.looks[1].stream is Stream.AUDIT, "it is a draw from its own class"


def test_undo_is_recomputed(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, 4)
    start_certification(dataset=dataset)
    policy(dataset, audit_share=1)
    say(dataset, reviewer, Verdict.APPROVE)
    before = now(dataset).bound
    say(dataset, reviewer, Verdict.REJECT)
    assert now(dataset).bound.found_bad == 1
    card = services.undo(dataset=dataset, reviewer=reviewer)
    assert now(dataset).bound == before
    say(dataset, reviewer, Verdict.APPROVE, card)
    assert (now(dataset).bound.found_bad, now(dataset).bound.audits) == (0, 2)


def test_the_certificate_costs_three_queries(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, 12)
    certification = start_certification(dataset=dataset)
    for _ in range(8):
        say(dataset, reviewer, Verdict.APPROVE)
        with CaptureQueriesContext(connection) as queries:
            certificate_of(certification)
        assert len(queries) == 3


@pytest.mark.slow
def test_the_bound_holds_at_every_look_and_certifies_early(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    """150 images of which 24 are bad, low scores mostly: found by the queue, vouched for by audits.

    The truth is the test's alone. Two people take turns; some skip, some undo.
    """
    truth = random.Random(3)
    images = [make_image(dataset) for _ in range(150)]
    bad = {image.pk for image in images[:24]}
    for image in images:
        make_score(image, value=truth.gauss(0.2 if image.pk in bad else 0.6, 0.1))
        make_review(image)
    policy(dataset, target_error=0.1, audit_share=0.5)
    certification = start_certification(dataset=dataset)
    certified_at = None
    people = [reviewer, other]
    for number in range(150):
        person = people[number % 2]
        card = queue.next_card(dataset=dataset, reviewer=person)
        if card is None:
            break
        good = Verdict.REJECT if card.slot.image_id in bad else Verdict.APPROVE
        say(dataset, person, Verdict.SKIP if number % 17 == 5 else good, card)
        if number % 23 == 7:
            say(dataset, person, good, services.undo(dataset=dataset, reviewer=person))
        bound = certificate_of(certification).bound
        assert bound.remaining_bad >= len(bad) - bound.found_bad, number
        if bound.error <= 0.1:
            certified_at = certified_at or number + 1
            break
    assert certified_at
    assert certified_at < 120


# --- What the database refuses ------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        {"target_error": 0},
        {"target_error": 0.6},
        {"confidence": 0.4},
        {"confidence": 1},
        {"ended_at": "2020-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_the_database_refuses_bad_certifications(dataset: Dataset, bad: dict[str, Any]) -> None:
    fill(dataset, 1)
    start_certification(dataset=dataset)
    with pytest.raises(IntegrityError), transaction.atomic():
        Certification.objects.update(**bad)


def test_the_database_keeps_one_open(dataset: Dataset) -> None:
    row = {"dataset": dataset, "target_error": 0.02, "confidence": 0.95}
    Certification.objects.create(number=1, **row)
    with pytest.raises(IntegrityError), transaction.atomic():
        Certification.objects.create(number=2, **row)
    with pytest.raises(IntegrityError), transaction.atomic():
        Certification.objects.create(number=1, ended_at="2200-01-01T00:00:00Z", **row)


def test_the_database_refuses_bad_streams_and_policies(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, 1)
    for rows, bad in (
        (ReviewSlot.objects.all(), {"stream": "other"}),
        (ReviewSlot.objects.all(), {"stream": "audit"}),
        (QualityPolicy.objects.all(), {"audit_share": 1.5}),
        (QualityPolicy.objects.all(), {"audit_share": -0.1}),
        (
            QualityPolicy.objects.all(),
            {"accepts_unseen": True, "is_high_risk": True, "reviews_per_image": 2},
        ),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**bad)
    say(dataset, reviewer, Verdict.APPROVE)
    with pytest.raises(IntegrityError), transaction.atomic():
        Decision.objects.update(stream="other")
