"""Several cards at once: a page of one class, siblings side by side, and their decisions."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import pytest

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import find_dataset
from synthreview.generation.models import GeneratedImage
from synthreview.review import queue, services
from synthreview.review.certifying import start_certification
from synthreview.review.models import Decision, ImageReview, ReviewSlot, SlotState, Verdict
from synthreview.review.queue import Page
from synthreview.review.services import Answer, ReviewError
from tests.factories import (
    make_dataset,
    make_image,
    make_prompt,
    make_review,
    make_score,
    make_user,
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


def fill(dataset: Dataset, name: str, prompts: int, each: int) -> list[GeneratedImage]:
    """Put images of some prompts into the queue, those of the first prompt first."""
    label_class = dataset.classes.get(name=name)
    images = []
    for _ in range(prompts):
        prompt = make_prompt(label_class, f"A {name} number {uuid.uuid4()}")
        images += [make_image(prompt=prompt) for _ in range(each)]
    for place, image in enumerate(images):
        make_score(image, value=place / 1000)
        make_review(image)
    return images


def grid(dataset: Dataset, reviewer: User, count: int, name: str | None = "car") -> Page:
    label_class = dataset.classes.get(name=name) if name else None
    page = queue.claim_many(
        dataset=dataset,
        reviewer=reviewer,
        count=count,
        label_class=label_class,
        technique="plain" if name else None,
    )
    assert page is not None
    return page


def answers(page: Page, *verdicts: str) -> list[Answer]:
    said = verdicts if len(verdicts) > 1 else verdicts * len(page.cards)
    return [Answer(card.token, verdict) for card, verdict in zip(page.cards, said, strict=True)]


def send(dataset: Dataset, reviewer: User, said: list[Answer]) -> services.Recorded:
    return services.record_decisions(
        dataset=dataset, reviewer=reviewer, answers=said, surface="grid"
    )


# --- A page of one class ----------------------------------------------------------


def test_a_page_holds_one_class_and_each_image_once(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    fill(dataset, "umbrella", 2, 2)
    cars = fill(dataset, "car", 5, 4)
    mine, theirs = grid(dataset, reviewer, 8), grid(dataset, other, 8)
    shown = [card.slot.image for card in [*mine.cards, *theirs.cards]]
    assert len(set(shown)) == 16
    assert set(shown) <= set(cars)
    assert len({card.token for card in mine.cards}) == 8


def test_a_page_is_spread_over_prompts(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, "car", 6, 4)
    page = grid(dataset, reviewer, 6)
    assert set(Counter(card.slot.image.prompt for card in page.cards).values()) == {1}
    assert (
        max(Counter(card.slot.image.prompt for card in grid(dataset, reviewer, 8).cards).values())
        == 2
    )


def test_a_page_of_one_prompt_is_filled_all_the_same(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, "car", 1, 5)
    assert len(grid(dataset, reviewer, 4).cards) == 4


def test_one_family_does_not_fill_a_page(dataset: Dataset, reviewer: User) -> None:
    images = fill(dataset, "car", 9, 1)
    family = uuid.uuid4()
    GeneratedImage.objects.filter(pk__in=[image.pk for image in images[:5]]).update(family=family)
    shown = [card.slot.image.family for card in grid(dataset, reviewer, 5).cards]
    assert Counter(shown)[family] == 1


def test_without_a_class_the_queue_names_it(dataset: Dataset, reviewer: User) -> None:
    umbrellas = fill(dataset, "umbrella", 3, 1)
    ReviewSlot.objects.update(priority=-1)
    fill(dataset, "car", 3, 1)
    page = grid(dataset, reviewer, 6, None)
    assert {card.slot.image for card in page.cards} == set(umbrellas)


def test_nothing_waiting_gives_no_page(dataset: Dataset, reviewer: User) -> None:
    car = dataset.classes.get(name="car")
    ask = {"dataset": dataset, "reviewer": reviewer, "count": 6}
    assert queue.claim_many(**ask) is None
    assert queue.claim_many(**ask, label_class=car, technique="plain") is None
    assert queue.claim_siblings(dataset=dataset, reviewer=reviewer) is None


@pytest.mark.parametrize("count", [0, 49])
def test_a_page_has_a_sensible_size(dataset: Dataset, reviewer: User, count: int) -> None:
    with pytest.raises(ValueError, match="a page holds 1 to 48"):
        queue.claim_many(dataset=dataset, reviewer=reviewer, count=count)


def test_a_page_is_of_one_class_and_one_technique(dataset: Dataset, reviewer: User) -> None:
    with pytest.raises(ValueError, match="name both or none"):
        queue.claim_many(dataset=dataset, reviewer=reviewer, count=6, technique="plain")


def test_a_page_comes_back_as_it_lay(dataset: Dataset, reviewer: User, other: User) -> None:
    fill(dataset, "car", 6, 1)
    page = grid(dataset, reviewer, 5)
    send(dataset, reviewer, [Answer(page.cards[0].token, "approve")])
    again = queue.open_page(dataset=dataset, reviewer=reviewer, batch=page.batch)
    assert again is not None
    assert [card.token for card in again.cards] == [card.token for card in page.cards[1:]]
    assert queue.open_page(dataset=dataset, reviewer=other, batch=page.batch) is None


def test_one_card_is_handed_out_beside_an_open_page(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, "car", 6, 1)
    page = grid(dataset, reviewer, 5)
    card = queue.next_card(dataset=dataset, reviewer=reviewer)
    assert card is not None
    assert card.slot.image not in {one.slot.image for one in page.cards}
    services.undo(dataset=dataset, reviewer=reviewer)
    assert ReviewSlot.objects.filter(batch=page.batch, state=SlotState.LEASED).count() == 5


def test_audits_of_a_page_are_drawn_within_its_class(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, "umbrella", 4, 1)
    fill(dataset, "car", 30, 1)
    start_certification(dataset=dataset)
    dataset.policy.audit_share = 1
    dataset.policy.save()
    page = grid(dataset, reviewer, 6)
    assert {card.slot.stream for card in page.cards} == {"in_class"}
    drawn = {card.slot.class_lottery for card in page.cards}
    left = ReviewSlot.objects.filter(label_class__name="car", state=SlotState.WAITING)
    assert max(drawn) < min(left.values_list("class_lottery", flat=True))
    dataset.policy.audit_share = 0
    dataset.policy.save()
    assert {card.slot.stream for card in grid(dataset, reviewer, 6).cards} == {"queue"}


# --- Side by side -----------------------------------------------------------------


def test_siblings_are_of_one_prompt(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, "car", 1, 1)
    siblings = fill(dataset, "umbrella", 1, 8)
    page = queue.claim_siblings(dataset=dataset, reviewer=reviewer, count=6)
    assert page is not None
    assert len(page.cards) == 6
    assert {card.slot.image for card in page.cards} <= set(siblings)
    rest = queue.claim_siblings(dataset=dataset, reviewer=reviewer, prompt=siblings[0].prompt_id)
    assert rest is not None
    assert len(rest.cards) == 2


def test_looks_at_one_image_are_no_siblings(dataset: Dataset, reviewer: User) -> None:
    image = fill(dataset, "car", 1, 1)[0]
    ReviewSlot.of(image, number=2, priority=0).save()
    assert queue.claim_siblings(dataset=dataset, reviewer=reviewer) is None


def test_so_many_siblings_are_not_offered(dataset: Dataset, reviewer: User) -> None:
    with pytest.raises(ValueError, match="2 to 6"):
        queue.claim_siblings(dataset=dataset, reviewer=reviewer, count=7)


# --- Their decisions ----------------------------------------------------------------


def test_a_page_is_answered_at_once_and_says_where(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, "car", 4, 1)
    page = grid(dataset, reviewer, 4)
    said = answers(page, "approve", "reject", "approve", "unsure")
    recorded = send(dataset, reviewer, said)
    assert not recorded.lost
    assert {decision.surface for decision in Decision.objects.all()} == {"grid"}
    assert set(Decision.objects.values_list("batch", flat=True)) == {page.batch}
    states = Counter(ImageReview.objects.values_list("state", flat=True))
    assert states == {"approved": 2, "rejected": 1, "pending": 1}


def test_what_was_kept_offline_is_sent_twice_and_counts_once(
    dataset: Dataset, reviewer: User
) -> None:
    fill(dataset, "car", 5, 1)
    page = grid(dataset, reviewer, 5)
    said = answers(page, "approve")
    send(dataset, reviewer, said[:3])
    recorded = send(dataset, reviewer, said)
    assert Counter(one.is_replay for one in recorded.said) == {True: 3, False: 2}
    assert send(dataset, reviewer, said).lost == []
    assert Decision.objects.count() == 5
    assert set(ImageReview.objects.values_list("approvals", flat=True)) == {1}


def test_answers_survive_their_leases_while_nobody_else_has_the_images(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    fill(dataset, "car", 3, 1)
    page = grid(dataset, reviewer, 3)
    ReviewSlot.objects.update(lease_expires_at="2020-01-01T00:00:00Z")
    assert queue.free_expired() == 3
    taken = queue.next_card(dataset=dataset, reviewer=other)
    assert taken is not None
    recorded = send(dataset, reviewer, answers(page, "approve"))
    (lost,) = recorded.lost
    assert len(recorded.said) == 2
    assert lost in {card.token for card in page.cards if card.slot.image == taken.slot.image}
    assert Decision.objects.filter(image=taken.slot.image).count() == 0


def test_what_was_given_back_on_leaving_is_gone(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, "car", 2, 1)
    page = grid(dataset, reviewer, 2)
    tokens = [card.token for card in page.cards]
    assert queue.release(dataset=dataset, reviewer=reviewer, tokens=tokens[:1]) == 1
    assert send(dataset, reviewer, answers(page, "approve")).lost == tokens[:1]


def test_a_heartbeat_says_which_cards_are_still_held(
    dataset: Dataset, reviewer: User, other: User
) -> None:
    fill(dataset, "car", 3, 1)
    page = grid(dataset, reviewer, 3)
    tokens = [card.token for card in page.cards]
    queue.release(dataset=dataset, reviewer=reviewer, tokens=tokens[:1])
    ask = {"dataset": dataset, "tokens": [*tokens, uuid.uuid4()]}
    assert queue.renew_leases(reviewer=reviewer, **ask) == set(tokens[1:])
    assert queue.renew_leases(reviewer=other, **ask) == set()


def test_one_bad_answer_spoils_the_batch(dataset: Dataset, reviewer: User) -> None:
    fill(dataset, "car", 2, 1)
    page = grid(dataset, reviewer, 2)
    with pytest.raises(ReviewError, match="no verdict"):
        send(dataset, reviewer, answers(page, "approve", "perhaps"))
    with pytest.raises(ReviewError, match="no surface"):
        services.record_decisions(
            dataset=dataset, reviewer=reviewer, answers=answers(page, "approve"), surface="wall"
        )
    with pytest.raises(ReviewError, match="at most"):
        send(dataset, reviewer, [Answer(uuid.uuid4(), "approve")] * 501)
    assert not Decision.objects.exists()


def test_a_page_costs_the_same_at_any_size(
    dataset: Dataset, reviewer: User, django_assert_max_num_queries: Any
) -> None:
    fill(dataset, "car", 30, 1)
    dataset = find_dataset(reviewer, dataset.slug)  # with the membership, as every page has it
    for count in (6, 20):
        with django_assert_max_num_queries(8):
            page = grid(dataset, reviewer, count)
        with django_assert_max_num_queries(8):
            send(dataset, reviewer, answers(page, *["approve", "reject"] * (count // 2)))


# --- Changing one's mind ----------------------------------------------------------------


def change(
    dataset: Dataset, reviewer: User, decision: Decision, verdict: str, **more: object
) -> Decision:
    fields = {"token": uuid.uuid4(), **more}
    return services.change_decision(
        dataset=dataset, reviewer=reviewer, decision=decision.pk, verdict=verdict, **fields
    ).decision


@pytest.fixture
def said(dataset: Dataset, reviewer: User) -> list[Decision]:
    fill(dataset, "car", 3, 1)
    page = grid(dataset, reviewer, 3)
    recorded = send(dataset, reviewer, answers(page, "approve", "reject", "skip"))
    by_token = {one.decision.client_token: one.decision for one in recorded.said}
    return [by_token[card.token] for card in page.cards]


def state_of(decision: Decision) -> str:
    return ImageReview.objects.get(image=decision.image_id).state


def test_a_decision_of_the_strip_is_changed_with_one_click(
    dataset: Dataset, reviewer: User, said: list[Decision]
) -> None:
    approved, rejected, skipped = said
    changed = change(dataset, reviewer, approved, "reject", reasons=["other"])
    assert (changed.supersedes, changed.surface) == (approved, "strip")
    assert state_of(approved) == "rejected"
    change(dataset, reviewer, rejected, "approve")
    change(dataset, reviewer, skipped, "approve")
    assert (state_of(rejected), state_of(skipped)) == ("approved", "approved")
    change(dataset, reviewer, changed, "skip")
    assert state_of(approved) == "pending"
    counts = ImageReview.objects.order_by("image").values_list("approvals", "rejections")
    assert sorted(counts) == [(0, 0), (1, 0), (1, 0)]


def test_a_change_is_made_once(dataset: Dataset, reviewer: User, said: list[Decision]) -> None:
    token = uuid.uuid4()
    first = change(dataset, reviewer, said[0], "reject", token=token)
    assert change(dataset, reviewer, said[0], "reject", token=token) == first
    with pytest.raises(ReviewError, match="does not stand"):
        change(dataset, reviewer, said[0], "reject")
    assert ImageReview.objects.get(image=said[0].image_id).rejections == 1


def test_only_ones_own_standing_decisions_are_changed(
    dataset: Dataset, reviewer: User, other: User, said: list[Decision]
) -> None:
    with pytest.raises(ReviewError, match="does not stand"):
        change(dataset, other, said[0], "reject")
    with pytest.raises(ReviewError, match="does not stand"):
        change(make_dataset(reviewer=reviewer), reviewer, said[0], "reject")
    taken = queue.next_card(dataset=dataset, reviewer=other)
    assert taken is not None
    assert taken.slot.image_id == said[2].image_id
    with pytest.raises(ReviewError, match="does not stand"):
        change(dataset, reviewer, said[2], "approve")
    assert state_of(said[0]) == "approved"


def test_a_changed_decision_is_undone_like_any_other(
    dataset: Dataset, reviewer: User, said: list[Decision]
) -> None:
    changed = change(dataset, reviewer, said[0], "reject")
    card = services.undo(dataset=dataset, reviewer=reviewer)
    assert card is not None
    assert card.undone == changed
    assert card.slot.image_id == said[0].image_id
    assert state_of(said[0]) == "pending"
    assert said[0].verdict == Verdict.APPROVE
