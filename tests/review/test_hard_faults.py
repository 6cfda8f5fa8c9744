"""The auto-reject floor: hard faults alone, listed, and back at a click."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from synthreview.generation.models import GeneratedImage
from synthreview.prompting.models import Prompt
from synthreview.review.certifying import certificate_of, start_certification
from synthreview.review.hard_faults import FaultFinder
from synthreview.review.models import (
    AsideKind,
    ImageReview,
    ImageState,
    PutAside,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.review.putting_aside import take_back
from synthreview.review.queue import claim_next
from synthreview.scoring.models import UNREADABLE, Score
from tests.factories import (
    make_call,
    make_dataset,
    make_decision,
    make_image,
    make_prompt,
    make_review,
    make_version,
)
from tests.people import People, make_people
from tests.review.ranking.rows import make_queue

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/set-aside/"


@pytest.fixture
def people() -> People:
    return make_people()


def queue(people: People, count: int = 6) -> list[GeneratedImage]:
    return make_queue(people.dataset, [0.1 * n for n in range(1, count + 1)])


def make_blank(image: GeneratedImage, *, contrast: float = 0.0, value: float = 0.0) -> None:
    version = make_version(alias="quality", name="Quality")
    parts = {"contrast": contrast, "sharpness": 0.0, "borders": 1.0}
    Score.objects.create(image=image, version=version, value=value, parts=parts)


def states(images: list[GeneratedImage]) -> list[str]:
    found = dict(ImageReview.objects.filter(image__in=images).values_list("image", "state"))
    return [found[image.pk] for image in images]


def test_a_blank_image_is_put_aside_and_no_other(people: People) -> None:
    images = queue(people)
    make_blank(images[0])
    make_blank(images[1], contrast=0.3)  # blurred to nothing, but there is something to see
    assert FaultFinder()() == 1
    assert states(images) == [ImageState.REMOVED, *[ImageState.PENDING] * 5]
    event = PutAside.objects.get()
    assert (event.kind, event.removed, event.created_by) == (AsideKind.BLANK, 1, None)
    assert ReviewSlot.objects.get(image=images[0]).state == SlotState.REMOVED


def test_an_unreadable_file_is_put_aside(people: People) -> None:
    images = make_queue(people.dataset, [None, None, 0.5])
    Score.objects.filter(image=images[0]).update(note=f"{UNREADABLE}: damaged image")
    Score.objects.filter(image=images[1]).update(note="Test scorer does not apply")
    assert FaultFinder()() == 1
    assert states(images)[0] == ImageState.REMOVED
    assert PutAside.objects.get().kind == AsideKind.UNREADABLE


def test_of_the_same_file_in_a_class_the_first_one_stays(people: People) -> None:
    images = queue(people, 4)  # classes in turn
    for image in images:  # imported twice it would be refused: these were drawn
        assert image.prompt is not None
        call = make_call(image.run, image.prompt)
        GeneratedImage.objects.filter(pk=image.pk).update(call=call, sha256="a" * 64)
    assert FaultFinder()() == 2
    assert states(images) == [ImageState.PENDING] * 2 + [ImageState.REMOVED] * 2
    assert PutAside.objects.get().kind == AsideKind.COPY


def test_what_was_told_blank_before_it_came_into_the_queue_is_found(people: People) -> None:
    [image] = make_queue(people.dataset, [0.5])
    main = Score.objects.get()
    main.delete()
    make_blank(image)
    find = FaultFinder()
    ImageReview.objects.update(state=ImageState.APPROVED)  # as good as not in the queue
    assert find() == 0
    ImageReview.objects.update(state=ImageState.PENDING)
    Score.objects.create(image=image, version=main.version, value=0.5)
    assert find() == 1


def test_what_came_back_stays(people: People) -> None:
    images = queue(people)
    make_blank(images[0])
    find = FaultFinder()
    find()
    assert take_back(PutAside.objects.get()) == 1
    assert find() == 0
    assert FaultFinder()() == 0
    assert states(images) == [ImageState.PENDING] * 6


def test_what_somebody_holds_is_theirs(people: People) -> None:
    images = queue(people)
    claim = claim_next(dataset=people.dataset, reviewer=people.users["reviewer"])
    assert claim is not None
    make_blank(next(image for image in images if image.pk == claim.image))
    assert FaultFinder()() == 0
    assert not PutAside.objects.exists()


def test_the_next_sweep_looks_at_new_scores_alone(people: People) -> None:
    images = queue(people)
    make_blank(images[0])
    find = FaultFinder()
    find()
    with CaptureQueriesContext(connection) as queries:
        assert find() == 0
    assert len(queries) <= 2
    make_blank_more = Score.objects.get(version__alias="quality")
    make_blank_more.pk, make_blank_more.image = None, images[1]
    make_blank_more.save()
    assert find() == 1


def test_a_running_certificate_counts_it_as_left_unseen(people: People) -> None:
    images = queue(people)
    certification = start_certification(dataset=people.dataset)
    make_blank(images[0])
    FaultFinder()()
    assert certificate_of(certification).bound.removed == 1


@pytest.mark.parametrize(
    "fields", [{"kind": "ugly"}, {"kind": AsideKind.PROMPT}, {"kind": AsideKind.SIMILAR}]
)
def test_the_database_refuses_an_event_without_its_ground(
    people: People, fields: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        PutAside.objects.create(dataset=people.dataset, **fields)


# --- The page -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "status"),
    [("admin", 200), ("curator", 200), ("reviewer", 403), ("viewer", 403), ("stranger", 404)],
)
def test_curators_see_what_was_put_aside_and_take_it_back(
    people: People, who: str, status: int
) -> None:
    images = queue(people)
    make_blank(images[0])
    FaultFinder()()
    client = people.client(who)
    event = PutAside.objects.get()
    page = client.get(PAGE)
    assert page.status_code == status
    assert client.get(f"{PAGE}{event.pk}/back").status_code == 405
    back = client.post(f"{PAGE}{event.pk}/back")
    assert back.status_code == (302 if status == 200 else status)
    assert ImageReview.objects.filter(state=ImageState.REMOVED).exists() == (status != 200)
    if status == 200:
        assert "blank: nothing to see" in page.content.decode()
        again = client.post(f"{PAGE}{event.pk}/back", follow=True).content.decode()
        assert "back in the queue already" in again


def test_another_datasets_event_is_not_there(people: People) -> None:
    other = PutAside.objects.create(dataset=make_dataset("Other"), kind=AsideKind.BLANK, removed=1)
    assert people.client("admin").post(f"{PAGE}{other.pk}/back").status_code == 404
    assert "Nothing is set aside" in people.client("admin").get(PAGE).content.decode()


def test_the_page_costs_the_same_for_few_and_many(people: People) -> None:
    client = people.client("curator")
    counts = []
    for _ in range(2):
        for image in queue(people, 3):
            event = PutAside.objects.create(dataset=people.dataset, kind=AsideKind.COPY, removed=1)
            ImageReview.objects.filter(image=image).update(
                state=ImageState.REMOVED, put_aside=event
            )
        with CaptureQueriesContext(connection) as queries:
            client.get(PAGE)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Whole prompts ----------------------------------------------------------------------


def prompt_gone_wrong(people: People, *, rejected: int = 5, unseen: int = 2) -> Prompt:
    prompt = make_prompt(people.dataset.classes.get(name="car"))
    curator = people.users["curator"]
    for _ in range(rejected):
        make_decision(make_image(prompt=prompt), curator, Verdict.REJECT)
    for _ in range(unseen):
        make_review(make_image(prompt=prompt))
    return prompt


def test_the_rest_of_a_prompt_that_goes_wrong_leaves_at_one_click(people: People) -> None:
    prompt = prompt_gone_wrong(people)
    make_queue(people.dataset, [0.5])
    client = people.client("curator")
    page = client.get(PAGE).content.decode()
    assert "5 of 5 of this prompt were rejected, and 2 wait unseen." in page

    done = client.post(f"{PAGE}prompt/{prompt.pk}", follow=True).content.decode()
    assert "2 images are set aside unseen" in done
    assert "Set the rest aside?" not in done
    left = ImageReview.objects.filter(state=ImageState.REMOVED)
    assert set(left.values_list("image__prompt", flat=True)) == {prompt.pk}
    again = client.post(f"{PAGE}prompt/{prompt.pk}", follow=True).content.decode()
    assert "Nothing is left of this prompt" in again


def test_prompts_that_go_wrong_cost_the_same_for_few_and_many(people: People) -> None:
    client = people.client("curator")
    counts = []
    for count in (1, 3):
        for _ in range(count):
            prompt_gone_wrong(people)
        with CaptureQueriesContext(connection) as queries:
            client.get(PAGE)
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("who", "is_told"), [("curator", True), ("reviewer", False)])
def test_a_curator_who_reviews_is_told_where_a_prompt_goes_wrong(
    people: People, who: str, is_told: bool
) -> None:
    prompt_gone_wrong(people)
    client = people.client(who)
    page = client.post("/d/traffic/review/heartbeat", {}, headers={"HX-Request": "true"})
    assert ("5 of 5 rejected" in page.content.decode()) == is_told
