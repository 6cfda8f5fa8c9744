"""Known answers: who chooses them, who is shown them, and what they never touch."""

from __future__ import annotations

import random

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, Membership
from synthreview.generation.models import GeneratedImage
from synthreview.review import certifying, gold, queue, services
from synthreview.review.gold import GoldError
from synthreview.review.models import (
    Decision,
    GoldImage,
    ImageReview,
    Purpose,
    ReviewSlot,
    SlotState,
)
from synthreview.review.queue import Card
from synthreview.review.reviewers import review_stats
from tests.factories import (
    make_dataset,
    make_image,
    make_review,
    make_reviewed_image,
    make_score,
    make_user,
)


@pytest.fixture(autouse=True)
def chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "CHANCE", random.Random(5))


@pytest.fixture
def curator(db: None) -> User:
    return make_user("carla")


@pytest.fixture
def reviewer(db: None) -> User:
    return make_user("rita")


@pytest.fixture
def other(db: None) -> User:
    return make_user("otto")


@pytest.fixture
def dataset(curator: User, reviewer: User, other: User) -> Dataset:
    return make_dataset("Things", reviewer=[reviewer, other], curator=curator)


def known(dataset: Dataset, curator: User, *verdicts: str) -> list[GeneratedImage]:
    """Return images that the curator decided and chose as known answers, shown always."""
    car = dataset.classes.get(name="car")
    images = [make_reviewed_image(car, curator, verdict) for verdict in verdicts]
    gold.choose(dataset=dataset, images=[image.pk for image in images], user=curator)
    share(dataset, 0.5)
    return images


def share(dataset: Dataset, value: float) -> None:
    dataset.policy.gold_share = value
    dataset.policy.save()


def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every coin say "known answer"."""

    class Heads:
        def random(self) -> float:
            return 0.0

    monkeypatch.setattr(queue, "CHANCE", Heads())


def fill(dataset: Dataset, count: int) -> list[GeneratedImage]:
    images = [make_image(dataset) for _ in range(count)]
    for place, image in enumerate(images):
        make_score(image, value=place / 100)
        make_review(image)
    return images


def card_of(dataset: Dataset, reviewer: User) -> Card:
    card = queue.next_card(dataset=dataset, reviewer=reviewer)
    assert card
    return card


def say(dataset: Dataset, reviewer: User, verdict: str) -> Decision:
    card = card_of(dataset, reviewer)
    return services.record_decision(
        dataset=dataset, reviewer=reviewer, token=card.token, verdict=verdict
    ).decision


# --- The choice -----------------------------------------------------------------------


def test_a_curators_verdict_may_be_a_known_answer_a_reviewers_not(
    dataset: Dataset, curator: User, reviewer: User
) -> None:
    car = dataset.classes.get(name="car")
    good = make_reviewed_image(car, curator, "approve")
    bad = make_reviewed_image(car, curator, "reject")
    by_reviewer = make_reviewed_image(car, reviewer, "approve")
    listed = set(gold.candidates(dataset).values_list("image", flat=True))
    assert listed == {good.pk, bad.pk}
    with pytest.raises(GoldError, match="adjudicator or a curator"):
        gold.choose(dataset=dataset, images=[good.pk, by_reviewer.pk], user=curator)
    assert not GoldImage.objects.exists()
    assert gold.choose(dataset=dataset, images=[good.pk, bad.pk], user=curator) == 2
    assert dict(GoldImage.objects.values_list("image", "verdict")) == {
        good.pk: "approve",
        bad.pk: "reject",
    }
    ImageReview.objects.filter(image=by_reviewer).update(adjudicated="approve")
    assert by_reviewer.pk in gold.candidates(dataset).values_list("image", flat=True)


def test_a_retired_one_is_shown_no_more_and_may_come_back(
    dataset: Dataset, curator: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image,) = known(dataset, curator, "approve")
    always(monkeypatch)
    assert gold.retire(dataset=dataset, images=[image.pk]) == 1
    assert queue.next_card(dataset=dataset, reviewer=reviewer) is None
    gold.choose(dataset=dataset, images=[image.pk], user=curator)
    assert card_of(dataset, reviewer).slot.image == image
    assert GoldImage.objects.count() == 1


def test_another_datasets_images_are_out_of_reach(
    dataset: Dataset, curator: User, reviewer: User
) -> None:
    (image,) = known(dataset, curator, "approve")
    stranger = make_dataset("Others", curator=curator)
    assert gold.retire(dataset=stranger, images=[image.pk]) == 0
    with pytest.raises(GoldError):
        gold.choose(dataset=stranger, images=[image.pk], user=curator)


# --- Among the cards ---------------------------------------------------------------------


def test_known_answers_come_at_about_the_policys_share(
    dataset: Dataset, curator: User, reviewer: User
) -> None:
    known(dataset, curator, *["approve"] * 40)
    fill(dataset, 60)
    share(dataset, 0.3)
    purposes = [say(dataset, reviewer, "approve").purpose for _ in range(60)]
    assert 9 <= purposes.count("gold") <= 27


def test_each_person_is_handed_each_once_and_nobody_their_own(
    dataset: Dataset, curator: User, reviewer: User, other: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = known(dataset, curator, "approve", "reject", "approve")
    always(monkeypatch)
    for person in (reviewer, other):
        seen = {say(dataset, person, "approve").image_id for _ in images}
        assert seen == {image.pk for image in images}
        assert queue.next_card(dataset=dataset, reviewer=person) is None
    assert queue.next_card(dataset=dataset, reviewer=curator) is None


def test_what_is_said_changes_nothing_but_the_record(
    dataset: Dataset, curator: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image,) = known(dataset, curator, "approve")
    before = ImageReview.objects.values().get(image=image)
    always(monkeypatch)
    decision = say(dataset, reviewer, "reject")
    assert (decision.purpose, decision.stream) == ("gold", "queue")
    assert ImageReview.objects.values().get(image=image) == before
    assert [answer.reviewer for answer in gold.answers(dataset)] == [reviewer]
    card = services.undo(dataset=dataset, reviewer=reviewer)
    assert card
    assert card.slot.image == image
    assert ImageReview.objects.values().get(image=image) == before
    assert not gold.answers(dataset).exists()


def test_the_certificate_never_hears_of_them(
    dataset: Dataset, curator: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(dataset, curator, "reject", "reject")
    fill(dataset, 4)
    certification = certifying.start_certification(dataset=dataset)
    before = certifying.certificate_of(certification)
    always(monkeypatch)
    assert say(dataset, reviewer, "reject").purpose == "gold"
    assert say(dataset, reviewer, "approve").purpose == "gold"
    after = certifying.certificate_of(certification)
    assert (after.bound, after.handed) == (before.bound, 0)


def test_a_card_does_not_tell(
    dataset: Dataset, curator: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known answer is loaded ahead like any card, and skipped and left like any."""
    (image,) = known(dataset, curator, "approve")
    first, second, third = fill(dataset, 3)
    share(dataset, 0.01)
    card = card_of(dataset, reviewer)
    assert card.slot.image == first
    assert image in queue.upcoming(dataset=dataset, reviewer=reviewer)
    services.record_decision(
        dataset=dataset, reviewer=reviewer, token=card.token, verdict="approve"
    )
    always(monkeypatch)
    assert card_of(dataset, reviewer).slot.image == image
    assert say(dataset, reviewer, "skip").purpose == "gold"
    assert say(dataset, reviewer, "approve").image == second
    assert say(dataset, reviewer, "approve").image == third
    assert queue.next_card(dataset=dataset, reviewer=reviewer) is None
    until = services.round_of_skipped(dataset=dataset, reviewer=reviewer)
    again = queue.next_card(dataset=dataset, reviewer=reviewer, skipped_until=until)
    assert again
    assert again.slot.image == image


def test_a_skipped_one_comes_before_nobody_else(
    dataset: Dataset, curator: User, reviewer: User, other: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(dataset, curator, "approve")
    always(monkeypatch)
    say(dataset, reviewer, "skip")
    share(dataset, 0)
    assert queue.next_card(dataset=dataset, reviewer=other) is None


def test_one_that_was_left_comes_again(
    dataset: Dataset, curator: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image,) = known(dataset, curator, "approve")
    always(monkeypatch)
    card_of(dataset, reviewer)
    queue.release(dataset=dataset, reviewer=reviewer)
    assert not ReviewSlot.objects.filter(purpose=Purpose.GOLD).exists()
    assert card_of(dataset, reviewer).slot.image == image


def test_pages_of_a_grid_have_them_too(
    dataset: Dataset, curator: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = known(dataset, curator, "approve", "reject")
    fill(dataset, 12)
    always(monkeypatch)
    page = queue.claim_many(
        dataset=dataset,
        reviewer=reviewer,
        count=6,
        label_class=dataset.classes.get(name="car"),
        technique="plain",
    )
    assert page
    purposes = [card.slot.purpose for card in page.cards]
    assert (purposes.count("gold"), len(purposes)) == (2, 6)
    assert {card.slot.image for card in page.cards} >= set(images)


def test_classes_are_kept_to(
    dataset: Dataset, curator: User, reviewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(dataset, curator, "approve")
    always(monkeypatch)
    membership = Membership.objects.get(user=reviewer)
    membership.classes.set(dataset.classes.filter(name="umbrella"))
    assert queue.next_card(dataset=dataset, reviewer=reviewer) is None


def test_without_a_share_they_cost_no_query(
    dataset: Dataset, curator: User, reviewer: User
) -> None:
    fill(dataset, 4)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            say(dataset, reviewer, "approve")
        return len(queries)

    bare = cost()
    known(dataset, curator, *["approve"] * 5)
    share(dataset, 0)
    assert cost() == bare


def test_the_database_refuses(dataset: Dataset, curator: User, reviewer: User) -> None:
    (image,) = known(dataset, curator, "approve")
    with pytest.raises(IntegrityError), transaction.atomic():
        GoldImage.objects.update(verdict="skip")
    slot = ReviewSlot.of(
        image,
        number=0,
        purpose=Purpose.GOLD,
        priority=0,
        reviewer=reviewer,
        state=SlotState.WAITING,
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        slot.save()
    said = say_of(image, reviewer)
    for _ in range(2):
        slot = ReviewSlot.of(
            image, number=0, purpose=Purpose.GOLD, priority=0, reviewer=reviewer, round=_ + 7
        )
        slot.state, slot.decision = SlotState.DECIDED, said
        if _:
            slot.decision = say_of(image, reviewer)
            with pytest.raises(IntegrityError), transaction.atomic():
                slot.save()
        else:
            slot.save()


def say_of(image: GeneratedImage, reviewer: User) -> Decision:
    return Decision.objects.create(
        image=image, dataset=image.dataset, reviewer=reviewer, verdict="approve", purpose="gold"
    )


# --- What they teach about those who review -------------------------------------------------


def test_where_two_differ_the_known_answers_say_who_is_right(
    dataset: Dataset,
    curator: User,
    reviewer: User,
    other: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known(dataset, curator, *["reject"] * 8)
    for _ in range(20):
        make_review(make_image(dataset), looks=2)
    always(monkeypatch)
    for _ in range(8 + 20):  # the known answers come first
        say(dataset, reviewer, "approve")
        say(dataset, other, "reject")
    stats = review_stats(dataset)
    assert stats.images_with_several == 20
    rates = {one.user: one.model_missed for one in stats.reviewers}
    assert rates[reviewer] is not None
    assert rates[reviewer] > 0.9, "as on the known answers, so on the others"
    assert rates[other] is not None
    assert rates[other] < 0.1
