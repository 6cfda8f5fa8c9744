"""Good and bad examples beside a guideline."""

from __future__ import annotations

import pytest

from synthreview.generation.models import GeneratedImage
from synthreview.review import gold
from synthreview.review.examples import MOST, ExampleError, examples_for, make_example
from synthreview.review.models import GuidelineExample, ImageReview, ImageState, Verdict
from synthreview.trail.acts import Act
from synthreview.trail.models import Entry
from tests.factories import make_image, make_review, make_reviewed_image
from tests.people import People, make_people

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> People:
    return make_people()


def decided(people: People, verdict: str = Verdict.APPROVE) -> GeneratedImage:
    return make_reviewed_image(people.label_class, people.users["curator"], verdict)


def test_a_curator_makes_examples_and_takes_them_away(people: People) -> None:
    good, bad = decided(people), decided(people, Verdict.REJECT)
    client = people.client("curator")
    assert "Make it an example" in client.get(good.get_absolute_url()).content.decode()
    for image, note in ((bad, "cut  off"), (good, "")):
        page = client.post(f"/images/{image.pk}/example", {"note": note}, follow=True)
        assert "beside the guideline of" in page.content.decode()
    shown = [(row.image_id, row.is_good, row.note) for row in examples_for(people.label_class.pk)]
    assert shown == [(good.pk, True, ""), (bad.pk, False, "cut off")]
    assert Entry.objects.filter(act=Act.EXAMPLE_SET).count() == 2

    client.post(f"/images/{bad.pk}/example", {"remove": "1"})
    assert not GuidelineExample.objects.filter(image=bad).exists()
    assert Entry.objects.filter(act=Act.EXAMPLE_REMOVED).count() == 1


@pytest.mark.parametrize("mode", ["", "grid/", "compare/"])
def test_every_way_to_review_shows_them(people: People, mode: str) -> None:
    example = decided(people)
    make_example(image=example, user=people.users["curator"], note="the whole car")
    prompt = make_image(label_class=people.label_class).prompt
    for _ in range(2):
        make_review(make_image(label_class=people.label_class, prompt=prompt))
    page = people.client("reviewer").get(f"/d/traffic/review/{mode}").content.decode()
    assert "A good example: the whole car" in page
    assert example.thumb_url in page


def test_an_image_is_no_example_while_it_is_judged_itself(people: People) -> None:
    image = decided(people)
    make_example(image=image, user=people.users["curator"])
    assert not examples_for(people.label_class.pk, beside=image.pk)
    ImageReview.objects.filter(image=image).update(state=ImageState.PENDING)
    assert not examples_for(people.label_class.pk)


def test_what_everybody_sees_is_no_known_answer(people: People) -> None:
    curator = people.users["curator"]
    example, known, open_one = decided(people), decided(people), make_image()
    make_example(image=example, user=curator)
    with pytest.raises(gold.GoldError):
        gold.choose(dataset=people.dataset, images=[example.pk], user=curator)
    gold.choose(dataset=people.dataset, images=[known.pk], user=curator)
    with pytest.raises(ExampleError, match="known answer"):
        make_example(image=known, user=curator)
    with pytest.raises(ExampleError, match="approved or rejected"):
        make_example(image=open_one, user=curator)


def test_a_class_has_so_many_at_most(people: People) -> None:
    curator = people.users["curator"]
    rows = [make_example(image=decided(people), user=curator) for _ in range(MOST)]
    make_example(image=rows[0].image, user=curator, note="other words for one of them")
    with pytest.raises(ExampleError, match=f"{MOST} examples"):
        make_example(image=decided(people), user=curator)
