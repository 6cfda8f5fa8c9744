"""More like this: who sees it, and how all that is like a rejected image is set aside."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.generation.models import GeneratedImage
from synthreview.review import like_views
from synthreview.review.models import AsideKind, ImageReview, ImageState, PutAside
from synthreview.review.queue import claim_next
from tests.factories import make_dataset
from tests.people import People, make_people
from tests.review.ranking.rows import decide, make_queue

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> People:
    return make_people()


def alike(people: People, angles: list[float]) -> list[GeneratedImage]:
    """Return images whose vectors turn away from the first one by so many degrees."""
    turned = np.radians(angles)
    vectors = np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float16)
    return make_queue(people.dataset, [0.5] * len(angles), vectors=vectors)


def rejected(people: People, angles: list[float]) -> list[GeneratedImage]:
    images = alike(people, angles)
    decide(images[:1], people.users["reviewer"], [True])
    return images


def page(image: GeneratedImage) -> str:
    return f"/images/{image.pk}/like"


@pytest.mark.parametrize(
    ("who", "status"),
    [("admin", 200), ("curator", 200), ("reviewer", 200), ("viewer", 200), ("stranger", 404)],
)
def test_members_see_what_is_like_it_and_curators_may_set_it_aside(
    people: People, who: str, status: int
) -> None:
    images = rejected(people, [0, 3, 60])
    client = people.client(who)
    shown = client.get(page(images[0]))
    assert shown.status_code == status
    assert ("Reject all like this" in shown.content.decode()) == (who in ("admin", "curator"))
    assert client.get(f"{page(images[0])}/aside").status_code == 405
    said = client.post(f"{page(images[0])}/aside", {"image": [images[1].pk]})
    wanted = 302 if who in ("admin", "curator") else 403 if status == 200 else 404
    assert said.status_code == wanted
    assert PutAside.objects.exists() == (wanted == 302)


def test_the_preview_is_what_is_set_aside(people: People) -> None:
    images = rejected(people, [0, 3, 10, 60])
    client = people.client("curator")
    text = client.get(f"{page(images[0])}?at_least=98").content.decode()
    chosen = [image.pk for image in images if f'name="image" value="{image.pk}"' in text]
    assert chosen == [images[1].pk, images[2].pk]
    done = client.post(f"{page(images[0])}/aside", {"image": chosen}, follow=True)
    assert "2 images are set aside unseen" in done.content.decode()
    event = PutAside.objects.get()
    assert (event.kind, event.like, event.removed) == (AsideKind.SIMILAR, images[0], 2)
    assert event.created_by == people.users["curator"]
    states = dict(ImageReview.objects.values_list("image", "state"))
    assert [states[image.pk] for image in images] == [
        ImageState.REJECTED, ImageState.REMOVED, ImageState.REMOVED, ImageState.PENDING,
    ]  # fmt: skip


def test_all_that_is_like_it_goes_part_by_part(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What left already must not stand in the way of what is alike behind it."""
    monkeypatch.setattr(like_views, "SHOWN", 2)
    monkeypatch.setattr(like_views, "AT_ONCE", 3)
    images = rejected(people, [0, 1, 2, 3, 4, 5])
    client = people.client("curator")
    for left, there in ((2, images[1:4]), (0, images[4:])):
        text = client.get(page(images[0])).content.decode()
        chosen = [image.pk for image in images if f'name="image" value="{image.pk}"' in text]
        assert chosen == [image.pk for image in there]
        assert all(f'alt="Image {pk}"' in text for pk in chosen)
        assert (f"{left} more are as much alike" in text) == (left > 0)
        client.post(f"{page(images[0])}/aside", {"image": chosen})
    assert ImageReview.objects.filter(state=ImageState.REMOVED).count() == 5


def test_what_is_not_like_it_refuses_all(people: People) -> None:
    images = rejected(people, [0, 3])
    [foreign] = make_queue(make_dataset("Other"), [0.5], vectors=np.ones((1, 2), np.float16))
    for keys in ([images[1].pk, foreign.pk], [images[1].pk, "x"], [images[1].pk, "9" * 30]):
        said = people.client("curator").post(f"{page(images[0])}/aside", {"image": keys})
        assert said.status_code == 404
    assert not PutAside.objects.exists()


def test_only_what_is_like_a_rejected_image(people: People) -> None:
    images = alike(people, [0, 3])
    client = people.client("curator")
    assert "this one is not rejected" in client.get(page(images[0])).content.decode()
    done = client.post(f"{page(images[0])}/aside", {"image": [images[1].pk]}, follow=True)
    assert "not rejected: there is no ground" in done.content.decode()
    assert not PutAside.objects.exists()


def test_what_somebody_holds_or_decided_is_not_marked(people: People) -> None:
    images = rejected(people, [0, 2, 3, 4])
    decide(images[1:2], people.users["reviewer"], [False])
    claim = claim_next(dataset=people.dataset, reviewer=people.users["curator"])
    assert claim is not None
    text = people.client("curator").get(page(images[0])).content.decode()
    marked = {image.pk for image in images if f'name="image" value="{image.pk}"' in text}
    assert marked == {images[2].pk, images[3].pk} - {claim.image}


@pytest.mark.parametrize("level", ["", "7", "-1", "x", "100"])
def test_an_odd_level_is_the_usual_one(people: People, level: str) -> None:
    [image, _] = rejected(people, [0, 3])
    text = people.client("curator").get(f"{page(image)}?at_least={level}").content.decode()
    assert '<option value="95" selected>' in text


def test_before_it_is_scored_the_page_says_so(people: People) -> None:
    [image] = make_queue(people.dataset, [0.5])
    assert "Nothing to compare yet" in people.client("viewer").get(page(image)).content.decode()


def test_the_page_costs_the_same_for_few_and_many(people: People) -> None:
    image = rejected(people, [0, 3])[0]
    client = people.client("curator")
    counts = []
    for _ in range(2):
        client.get(page(image))
        with CaptureQueriesContext(connection) as queries:
            client.get(page(image))
        counts.append(len(queries))
        alike(people, [float(n) for n in range(1, 20)])
    assert counts[0] == counts[1]
