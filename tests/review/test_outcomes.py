"""What people decided of a prompt's images finds its way back to the prompt."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.generation.models import GeneratedImage
from synthreview.prompting.learning import Tally
from synthreview.prompting.models import Prompt, PromptOutcome
from synthreview.review.models import ImageReview, ImageState
from synthreview.review.outcomes import OutcomeTeller, tell_outcomes
from synthreview.review.queue import next_card
from synthreview.review.services import record_decision, undo
from tests.factories import make_decision, make_image, make_prompt, make_review
from tests.people import People, make_people

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> People:
    return make_people()


def tally(prompt: Prompt) -> Tally:
    outcome = PromptOutcome.objects.filter(prompt=prompt).first()
    return outcome.tally if outcome else Tally()


def drawn(people: People, *states: ImageState) -> Prompt:
    """Return a prompt with an image in each of these states."""
    prompt = make_prompt(people.label_class)
    for state in states:
        make_review(make_image(prompt=prompt), state=state)
    return prompt


def test_approved_and_rejected_images_are_counted_and_nothing_else(people: People) -> None:
    approved, rejected = ImageState.APPROVED, ImageState.REJECTED
    prompt = drawn(people, approved, approved, rejected, ImageState.PENDING, ImageState.DISPUTED)
    other = drawn(people, ImageState.PENDING)
    assert tell_outcomes() == 1
    assert tally(prompt) == Tally(2, 1)
    assert tally(other) == Tally()
    assert tell_outcomes() == 0


def test_a_decision_is_told_and_its_undo_too(people: People) -> None:
    prompt = drawn(people, ImageState.PENDING)
    reviewer = people.users["reviewer"]
    tell = OutcomeTeller()
    assert tell() == 0
    card = next_card(dataset=people.dataset, reviewer=reviewer)
    assert card is not None
    record_decision(dataset=people.dataset, reviewer=reviewer, token=card.token, verdict="approve")
    assert tell() == 1
    assert tally(prompt) == Tally(1, 0)
    undo(dataset=people.dataset, reviewer=reviewer)
    assert tell() == 1
    assert tally(prompt) == Tally()


def test_without_a_new_decision_nothing_is_counted(people: People) -> None:
    prompt = drawn(people, ImageState.APPROVED)
    make_decision(prompt_image(prompt), people.users["reviewer"])
    tell = OutcomeTeller()
    assert tell() == 1
    with CaptureQueriesContext(connection) as queries:
        assert tell() == 0
    assert len(queries) == 1


def test_what_came_without_a_decision_is_found_by_the_whole_count(people: People) -> None:
    prompt = drawn(people, ImageState.APPROVED, ImageState.APPROVED)
    tell = OutcomeTeller()
    tell()
    ImageReview.objects.filter(image=prompt_image(prompt)).update(state=ImageState.PENDING)
    assert tell() == 0
    assert tell_outcomes() == 1
    assert tally(prompt) == Tally(1, 0)


def test_images_without_a_prompt_are_no_hindrance(people: People) -> None:
    image = make_image(people.dataset)
    image.prompt = None
    image.save()
    make_review(image, state=ImageState.APPROVED)
    tell = OutcomeTeller()
    tell()
    make_decision(image, people.users["reviewer"])
    assert tell() == 0
    assert not PromptOutcome.objects.exists()


def prompt_image(prompt: Prompt) -> GeneratedImage:
    review = ImageReview.objects.filter(image__prompt=prompt).select_related("image").first()
    assert review is not None
    return review.image
