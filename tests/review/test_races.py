"""Several people, or one person twice, in the same moment: one outcome each, on both databases.

Real threads with connections of their own meet at a barrier, again and again.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.export.models import ExportItem
from synthreview.generation.models import GeneratedImage
from synthreview.review import intake, putting_aside, queue, services
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    PutAside,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.review.putting_aside import PutAsideError
from synthreview.review.services import Answer, LeaseLostError
from tests.export.frozen import frozen
from tests.factories import make_dataset, make_prompt, make_run, make_user

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def people_and_queue(
    people: int, count: int, *, looks: int = 1
) -> tuple[list[User], Dataset, list[int]]:
    """Return reviewers, their dataset and its images: rows without files, in their order."""
    users = [make_user() for _ in range(people)]
    dataset = make_dataset(reviewer=users)
    if looks > 1:
        dataset.policy.reviews_per_image = looks
        dataset.policy.save()
    run = make_run(dataset)
    label_class = dataset.classes.first()
    assert label_class is not None
    prompt = make_prompt(label_class)
    images = GeneratedImage.objects.bulk_create(
        GeneratedImage(
            dataset=dataset,
            run=run,
            label_class=label_class,
            prompt=prompt,
            generator="sketch",
            sha256=f"{number:064}",
            media_type="image/png",
            byte_count=1,
            width=1,
            height=1,
        )
        for number in range(count)
    )
    ImageReview.objects.bulk_create(
        ImageReview(image=image, dataset=dataset, looks=looks) for image in images
    )
    ReviewSlot.objects.bulk_create(
        ReviewSlot.of(image, number=number, priority=place)
        for place, image in enumerate(images)
        for number in range(1, looks + 1)
    )
    fresh = Dataset.objects.select_related("policy").get(pk=dataset.pk)
    return users, fresh, [image.pk for image in images]


def at_once(
    rounds: int, *works: Callable[[int], Any], before: Callable[[int], Any] | None = None
) -> list[list[Any]]:
    """Do each work `rounds` times, all at the same moment; return what each gave, by work.

    `before` is done by this thread before each round, while nobody else works.
    """
    barrier = threading.Barrier(len(works) + (before is not None))

    def repeat(work: Callable[[int], Any]) -> list[Any]:
        try:
            given = []
            for number in range(rounds):
                barrier.wait(timeout=120)
                given.append(work(number))
                if before:
                    barrier.wait(timeout=120)
            return given
        except BaseException:
            barrier.abort()
            raise
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        given = pool.map(repeat, works)
        try:
            for number in range(rounds if before else 0):
                before and before(number)
                barrier.wait(timeout=120)
                barrier.wait(timeout=120)
        except BaseException:
            barrier.abort()
            raise
        return list(given)


def assert_sound(dataset: Dataset) -> None:
    """The images' counts and states follow from the decisions that stand, and from nothing else."""
    standing: dict[int, Counter[str]] = {}
    slots = ReviewSlot.objects.filter(dataset=dataset).select_related("decision")
    for slot in slots:
        said = standing.setdefault(slot.image_id, Counter())
        if slot.state == SlotState.DECIDED:
            assert slot.decision is not None
            assert slot.decision.reviewer_id == slot.reviewer_id
            said[slot.decision.verdict] += 1
    for review in ImageReview.objects.filter(dataset=dataset):
        said = standing[review.image_id]
        assert (review.approvals, review.rejections) == (said["approve"], said["reject"])
        if review.state == ImageState.REMOVED:
            continue
        if said.total() < review.looks:
            assert review.state == ImageState.PENDING
        elif len(said) > 1:
            assert review.state == ImageState.DISPUTED
        else:
            assert review.state == {"approve": "approved", "reject": "rejected"}[next(iter(said))]


def say(dataset: Dataset, reviewer: User, token: uuid.UUID, verdict: str = "approve") -> Any:
    """Return the decision's key, or "late"."""
    try:
        return services.record_decision(
            dataset=dataset, reviewer=reviewer, token=token, verdict=verdict
        ).decision.pk
    except LeaseLostError:
        return "late"


def hand_out(dataset: Dataset, reviewer: User, count: int) -> list[queue.Card]:
    """Return cards that lie before the reviewer all together."""
    cards = []
    for _ in range(count):
        card = queue.next_card(dataset=dataset, reviewer=reviewer, may_hold_one=False)
        assert card is not None
        cards.append(card)
    return cards


# --- Two people ----------------------------------------------------------------------


def test_a_thousand_pairs_on_one_image() -> None:
    """One image at a time waits: one of the two gets it, the other hears that none is left."""
    rounds = 1_000
    (rita, otto), dataset, images = people_and_queue(2, rounds)
    ReviewSlot.objects.update(state=SlotState.REMOVED)
    turns = threading.Barrier(2)

    def work(reviewer: User) -> Callable[[int], Any]:
        def claim_and_decide(number: int) -> int | None:
            if reviewer == rita:
                ReviewSlot.objects.filter(image=images[number]).update(state=SlotState.WAITING)
            turns.wait(timeout=120)
            claim = queue.claim_next(dataset=dataset, reviewer=reviewer)
            turns.wait(timeout=120)
            if claim is None:
                return None
            assert say(dataset, reviewer, claim.token) != "late"
            return claim.image

        return claim_and_decide

    mine, theirs = at_once(rounds, work(rita), work(otto))
    winners = [
        (one or other, (one is None) != (other is None))
        for one, other in zip(mine, theirs, strict=True)
    ]
    assert winners == [(image, True) for image in images]
    assert Decision.objects.count() == rounds
    assert_sound(dataset)


def test_a_thousand_pairs_in_one_queue() -> None:
    """Both ask at once while enough waits: both get an image, never the same."""
    rounds = 1_000
    users, dataset, images = people_and_queue(2, 2 * rounds)

    def work(reviewer: User) -> Callable[[int], int]:
        def claim_and_decide(number: int) -> int:
            claim = queue.claim_next(dataset=dataset, reviewer=reviewer)
            assert claim is not None
            say(dataset, reviewer, claim.token)
            return claim.image

        return claim_and_decide

    mine, theirs = at_once(rounds, *map(work, users))
    assert sorted([*mine, *theirs]) == images
    assert_sound(dataset)


def test_two_who_look_at_one_image_never_leave_it_open() -> None:
    """Both answer the same image at once: it is settled, agreed or disputed."""
    rounds = 300
    (rita, otto), dataset, images = people_and_queue(2, rounds, looks=2)
    cards = {user: hand_out(dataset, user, rounds) for user in (rita, otto)}

    def work(reviewer: User) -> Callable[[int], Any]:
        def decide(number: int) -> Any:
            verdict = Verdict.REJECT if reviewer == otto and number % 3 == 0 else Verdict.APPROVE
            return say(dataset, reviewer, cards[reviewer][number].token, verdict)

        return decide

    at_once(rounds, work(rita), work(otto))
    states = Counter(ImageReview.objects.values_list("state", flat=True))
    assert states == {"approved": rounds - rounds // 3, "disputed": rounds // 3}
    assert [card.slot.image_id for card in cards[rita]] == images
    assert_sound(dataset)


@pytest.mark.parametrize("count", [6, 24])
def test_pages_that_are_claimed_at_once_share_no_image(count: int) -> None:
    users, dataset, images = people_and_queue(4, 400)

    def work(reviewer: User) -> Callable[[int], list[int]]:
        def claim(number: int) -> list[int]:
            page = queue.claim_many(dataset=dataset, reviewer=reviewer, count=count)
            return [card.slot.image_id for card in page.cards] if page else []

        return claim

    given = at_once(4, *map(work, users))
    taken = [image for pages in given for page in pages for image in page]
    taken += [card.slot.image_id for card in hand_out(dataset, users[0], 400 - len(taken))]
    assert sorted(taken) == images, "nothing twice, and nothing left behind"


# --- One person twice -------------------------------------------------------------------


def test_double_clicks_are_one_decision_and_the_same_answer() -> None:
    rounds = 100
    (rita,), dataset, _ = people_and_queue(1, rounds)
    cards = hand_out(dataset, rita, rounds)
    clicks = at_once(rounds, *[lambda number: say(dataset, rita, cards[number].token)] * 5)
    for answers in zip(*clicks, strict=True):
        assert len(set(answers)) == 1
        assert "late" not in answers
    assert Decision.objects.count() == rounds
    assert_sound(dataset)


def test_a_replay_hands_out_no_second_card() -> None:
    """Five requests of one click, and the back button: one decision, one card lies open."""
    rounds = 40
    (rita,), dataset, _ = people_and_queue(1, rounds + 1)
    tokens = [hand_out(dataset, rita, 1)[0].token]

    def click(number: int) -> Any:
        turn = services.decide_and_continue(
            dataset=dataset, reviewer=rita, answer=Answer(tokens[number], "approve")
        )
        return turn.card and turn.card.token

    def click_and_go_on(number: int) -> Any:
        token = click(number)
        tokens.append(token)
        return token

    for answers in zip(*at_once(rounds, *[click] * 4, click_and_go_on), strict=True):
        assert len(set(answers)) == 1
        assert answers[0]
    assert Decision.objects.count() == rounds
    assert ReviewSlot.objects.filter(state=SlotState.LEASED).count() == 1
    back = services.decide_and_continue(
        dataset=dataset, reviewer=rita, answer=Answer(tokens[3], "reject")
    )
    assert back.said is not None
    assert (back.said.is_replay, back.said.decision.verdict) == (True, "approve")
    assert back.card is not None
    assert back.card.token == tokens[-1]


def test_two_tabs_take_two_looks_of_two_images() -> None:
    """One person asks twice at once, where each image needs two looks: never twice the same."""
    rounds = 100
    (rita,), dataset, images = people_and_queue(1, 2 * rounds, looks=2)
    given = at_once(rounds, *[lambda number: hand_out(dataset, rita, 1)[0].slot.image_id] * 2)
    assert sorted(image for tab in given for image in tab) == images


def test_undone_and_changed_at_once_is_one_of_both() -> None:
    rounds = 150
    (rita,), dataset, _ = people_and_queue(1, 2)
    said: list[int] = []

    def decide(number: int) -> None:
        assert_sound(dataset)
        card = queue.next_card(dataset=dataset, reviewer=rita)
        assert card is not None
        said.append(say(dataset, rita, card.token))

    def undo(number: int) -> bool:
        return services.undo(dataset=dataset, reviewer=rita) is not None

    def change(number: int) -> bool:
        try:
            services.change_decision(
                dataset=dataset,
                reviewer=rita,
                decision=said[-1],
                token=uuid.uuid4(),
                verdict="reject",
            )
        except services.ReviewError:
            return False
        return True

    undone, _ = at_once(rounds, undo, change, before=decide)
    assert all(undone), "what was changed is undone, or what stood before"
    assert_sound(dataset)


# --- Leases, sweeper, whole prompts ------------------------------------------------------


def test_an_answer_as_its_lease_runs_out_counts_or_is_late() -> None:
    rounds = 200
    (rita, otto), dataset, images = people_and_queue(2, rounds)
    cards = hand_out(dataset, rita, rounds)
    ReviewSlot.objects.update(lease_expires_at="2020-01-01T00:00:00Z")

    def answer(number: int) -> Any:
        return say(dataset, rita, cards[number].token)

    def free_and_take(number: int) -> Any:
        queue.free_expired()
        card = queue.next_card(dataset=dataset, reviewer=otto, may_hold_one=False)
        if card is None:
            return None
        said = say(dataset, otto, card.token, "reject")
        assert said != "late"
        return card.slot.image_id

    answers, taken = at_once(rounds, answer, free_and_take)
    late = {images[number] for number, said in enumerate(answers) if said == "late"}
    assert late <= set(taken)
    counted = Decision.objects.filter(reviewer=rita).values_list("image", flat=True)
    assert not set(counted) & set(taken)
    assert Decision.objects.count() == Decision.objects.values("image").distinct().count()
    assert_sound(dataset)


def test_what_is_put_aside_is_in_nobodys_hands() -> None:
    rounds = 40
    (rita, otto), dataset, images = people_and_queue(2, rounds * 3 + 10)
    say(dataset, rita, hand_out(dataset, rita, 1)[0].token, "reject")
    prompt = GeneratedImage.objects.get(pk=images[0]).prompt
    assert prompt is not None
    events: list[PutAside] = []

    def remove(number: int) -> None:
        try:
            events.append(putting_aside.put_aside(prompt=prompt, user=otto))
        except PutAsideError:
            return
        putting_aside.take_back(events[-1])

    def review(number: int) -> list[int]:
        seen = []
        for _ in range(3):
            card = queue.next_card(dataset=dataset, reviewer=rita, may_hold_one=False)
            if card:
                assert say(dataset, rita, card.token) != "late"
                seen.append(card.slot.image_id)
        return seen

    at_once(rounds, remove, review)
    assert events
    removed = ReviewSlot.objects.filter(state=SlotState.REMOVED)
    assert not removed.exclude(image__review__state=ImageState.REMOVED).exists()
    assert_sound(dataset)


def test_places_change_while_people_review() -> None:
    """Thousands of places are rewritten, leases freed: nobody waits for ever, nothing breaks."""
    (rita, otto), dataset, images = people_and_queue(2, 600)

    def review(reviewer: User) -> Callable[[int], int]:
        def decide(number: int) -> int:
            (card,) = hand_out(dataset, reviewer, 1)
            assert say(dataset, reviewer, card.token) != "late"
            return card.slot.image_id

        return decide

    def rewrite(number: int) -> int:
        places = {image: float((image * 7919 + number) % 1000) for image in images}
        return intake.set_priorities(places) + queue.free_expired()

    mine, theirs, _ = at_once(100, review(rita), review(otto), rewrite)
    assert len({*mine, *theirs}) == 200
    assert_sound(dataset)


# --- Export ------------------------------------------------------------------------------


def test_undo_and_export_in_one_moment_give_the_old_or_the_new_state() -> None:
    rounds = 100
    (rita,), dataset, _ = people_and_queue(1, 3)
    kept = hand_out(dataset, rita, 1)[0]
    say(dataset, rita, kept.token)
    decided: list[tuple[int, int]] = []

    def decide(number: int) -> None:
        card = queue.next_card(dataset=dataset, reviewer=rita)
        assert card is not None
        decided.append((card.slot.image_id, say(dataset, rita, card.token)))

    def undo(number: int) -> None:
        card = services.undo(dataset=dataset, reviewer=rita)
        assert card is not None

    def export(number: int) -> tuple[int, int]:
        made = frozen(dataset)
        return made.pk, made.item_count

    _, exports = at_once(rounds, undo, export, before=decide)
    for (pk, count), (image, said) in zip(exports, decided, strict=True):
        items = ExportItem.objects.filter(export=pk)
        assert count == items.count()
        assert count in (1, 2)
        if count == 2:
            assert items.filter(image=image, decision=said).exists()
    assert_sound(dataset)
