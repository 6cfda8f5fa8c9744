"""The page of near-duplicates: who sees it, and what its button takes out of the queue."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.generation.models import GeneratedImage
from synthreview.review.models import AsideKind, ImageReview, ImageState, PutAside
from synthreview.scoring.models import Lookalike, LookalikeKind
from tests.people import People, make_people
from tests.review.ranking.rows import decide, make_queue

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/near-duplicates/"


@pytest.fixture
def people() -> People:
    return make_people()


def pairs(people: People, count: int) -> list[GeneratedImage]:
    """Return an image and `count` that are all but copies of it."""
    images = make_queue(people.dataset, [0.5] * (count + 1))
    for image in images[1:]:
        Lookalike.objects.create(
            dataset=people.dataset, image=image, of_image=images[0], kind=LookalikeKind.LOOK, bits=3
        )
    return images


@pytest.mark.parametrize(
    ("who", "status"),
    [("admin", 200), ("curator", 200), ("reviewer", 403), ("viewer", 403), ("stranger", 404)],
)
def test_curators_see_them_and_may_set_them_aside(people: People, who: str, status: int) -> None:
    images = pairs(people, 1)
    client = people.client(who)
    assert client.get(PAGE).status_code == status
    assert client.get(f"{PAGE}aside").status_code == 405
    done = client.post(f"{PAGE}aside", {"image": [images[1].pk]})
    assert done.status_code == (302 if status == 200 else status)
    assert PutAside.objects.exists() == (status == 200)


def test_what_nobody_saw_leaves_together_and_comes_back(people: People) -> None:
    images = pairs(people, 3)
    decide(images[1:2], people.users["reviewer"], [True])
    client = people.client("curator")
    text = client.get(PAGE).content.decode()
    shown = [image.pk for image in images if f'name="image" value="{image.pk}"' in text]
    assert shown == [images[2].pk, images[3].pk]
    assert "3 of 64 bits differ" in text
    said = client.post(f"{PAGE}aside", {"image": shown}, follow=True).content.decode()
    assert "2 images are set aside unseen" in said
    event = PutAside.objects.get()
    assert (event.kind, event.removed) == (AsideKind.LOOKALIKE, 2)
    states = dict(ImageReview.objects.values_list("image", "state"))
    assert [states[image.pk] for image in images[2:]] == [ImageState.REMOVED] * 2
    client.post(f"/d/traffic/set-aside/{event.pk}/back")
    assert ImageReview.objects.filter(state=ImageState.PENDING).count() == 3


def test_other_images_refuse_the_whole_request(people: People) -> None:
    images = pairs(people, 1)
    client = people.client("curator")
    for wanted in ([images[0].pk, images[1].pk], ["x"], ["9" * 30]):
        assert client.post(f"{PAGE}aside", {"image": wanted}).status_code == 404
    assert not PutAside.objects.exists()


def test_with_nothing_left_it_says_so(people: People) -> None:
    client = people.client("curator")
    assert "No near-duplicates" in client.get(PAGE).content.decode()
    images = pairs(people, 1)
    decide(images[1:], people.users["reviewer"], [True])
    said = client.post(f"{PAGE}aside", {"image": [images[1].pk]}, follow=True).content.decode()
    assert "nobody has seen" in said


def test_an_images_page_names_its_near_duplicates(people: People) -> None:
    images = pairs(people, 1)
    for image, other in (images, reversed(images)):
        text = people.client("viewer").get(image.get_absolute_url()).content.decode()
        assert "All but a copy" in text
        assert f"image {other.pk}</a>" in text


def test_the_page_costs_the_same_for_2_and_for_20(people: People) -> None:
    pairs(people, 2)
    client = people.client("curator")
    client.get(PAGE)
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(PAGE)
    pairs(people, 18)
    with CaptureQueriesContext(connection) as many:
        client.get(PAGE)
    assert len(many) == len(few)
