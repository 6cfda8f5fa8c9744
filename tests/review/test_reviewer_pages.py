"""Pages and commands about those who review: who may, what they show, what they change."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command

from synthreview.catalog.models import Membership
from synthreview.review import certifying, gold, queue, services, signing
from synthreview.review.models import Decision, GoldImage, ImageReview, Signature
from synthreview.review.reviewers import review_stats
from tests.factories import (
    make_dataset,
    make_image,
    make_review,
    make_reviewed_image,
    make_score,
    make_user,
)
from tests.people import People, make_people

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> People:
    people = make_people()
    people.dataset.policy.reviews_per_image = 2
    people.dataset.policy.save()
    second = make_user("second")
    Membership.objects.create(dataset=people.dataset, user=second, role="reviewer")
    people.users["second"] = second
    return people


def disagree(people: People) -> None:
    image = make_image(people.dataset)
    make_score(image)
    make_review(image, looks=2)
    for who, verdict in (("reviewer", "approve"), ("second", "reject")):
        card = queue.next_card(dataset=people.dataset, reviewer=people.users[who])
        assert card
        services.record_decision(
            dataset=people.dataset,
            reviewer=people.users[who],
            token=card.token,
            verdict=verdict,
            note="a bus" if verdict == "reject" else "",
        )


def test_an_adjudicator_sees_both_verdicts_and_no_names_and_settles(people: People) -> None:
    disagree(people)
    client = people.client("curator")
    page = client.get("/d/traffic/adjudicate/")
    text = page.content.decode()
    assert "Reviewer A" in text
    assert "a bus" in text
    assert "second" not in text[: text.index("review-help")], "no names"
    token = page.context["card"].token
    answer = {"token": token, "verdict": "reject", "reasons": "wrong_object"}
    after = client.post("/d/traffic/adjudicate/", answer, follow=True).content.decode()
    assert "Nothing waits for you" in after
    assert ImageReview.objects.get().state == "rejected"
    client.post("/d/traffic/adjudicate/undo")
    assert ImageReview.objects.get().state == "disputed"


def test_who_may_see_which_page(people: People) -> None:
    for path, allowed in {
        "/d/traffic/adjudicate/": {"admin", "curator"},
        "/d/traffic/reviewers/": {"admin", "curator"},
        "/d/traffic/reviewers/me": {"admin", "curator", "reviewer", "second"},
    }.items():
        for who in people.users:
            status = people.client(who).get(path).status_code
            wanted = 404 if who == "stranger" else (200 if who in allowed else 403)
            assert status == wanted, (path, who)
    Membership.objects.filter(user=people.users["reviewer"]).update(may_adjudicate=True)
    assert people.client("reviewer").get("/d/traffic/adjudicate/").status_code == 200


def test_bad_answers_are_refused_kindly(people: People) -> None:
    disagree(people)
    client = people.client("curator")
    for answer in ({}, {"token": "x", "verdict": "reject"}, {"token": "", "verdict": "maybe"}):
        text = client.post("/d/traffic/adjudicate/", answer, follow=True).content.decode()
        assert "The answer was not taken" in text
    assert ImageReview.objects.get().state == "disputed"


def test_a_curator_sets_classes_and_load(people: People) -> None:
    member = Membership.objects.get(user=people.users["reviewer"])
    path = f"/d/traffic/reviewers/assign/{member.pk}"
    car = people.label_class
    form = {f"m{member.pk}-daily_limit": "50", f"m{member.pk}-classes": [car.pk]}
    assert people.client("reviewer").post(path, form).status_code == 403
    people.client("curator").post(path, form)
    member.refresh_from_db()
    assert (member.daily_limit, list(member.classes.all())) == (50, [car])
    for wrong in ("0", "-1", "many"):
        bad = people.client("curator").post(
            path, form | {f"m{member.pk}-daily_limit": wrong}, follow=True
        )
        assert "Not saved" in bad.content.decode()
    member.refresh_from_db()
    assert (member.daily_limit, member.role) == (50, "reviewer")


def test_a_curator_chooses_and_retires_known_answers(people: People) -> None:
    image = make_reviewed_image(people.label_class, people.users["curator"], "reject")
    client = people.client("curator")
    client.post("/d/traffic/reviewers/gold", {"image": [image.pk]})
    assert GoldImage.objects.get().verdict == "reject"
    assert f"image {image.pk}" in client.get("/d/traffic/reviewers/").content.decode()
    client.post("/d/traffic/reviewers/gold", {"image": [image.pk], "retire": "1"})
    assert GoldImage.objects.get().is_retired
    by_reviewer = make_reviewed_image(people.label_class, people.users["reviewer"])
    wrong = client.post("/d/traffic/reviewers/gold", {"image": by_reviewer.pk}, follow=True)
    assert "choose among those" in wrong.content.decode()


@pytest.mark.parametrize("foreign", ["x", "theirs"])
def test_one_foreign_image_among_known_answers_changes_nothing(
    people: People, foreign: str
) -> None:
    curator = people.users["curator"]
    image = make_reviewed_image(people.label_class, curator)
    gold.choose(dataset=people.dataset, images=[image.pk], user=curator)
    theirs = make_image(make_dataset("Others"))
    wanted = [image.pk, {"theirs": theirs.pk}.get(foreign, foreign)]
    for form in ({"image": wanted, "retire": "1"}, {"image": wanted}):
        answer = people.client("curator").post("/d/traffic/reviewers/gold", form)
        assert answer.status_code == 404
    assert not GoldImage.objects.get().is_retired


def test_a_changed_guideline_is_told_and_asked_again(people: People) -> None:
    seen = make_reviewed_image(people.label_class, people.users["curator"])
    people.label_class.guideline_version += 1
    people.dataset.classes.update(guideline_version=2)
    client = people.client("curator")
    assert "a guideline that has changed" in client.get("/d/traffic/reviewers/").content.decode()
    listed = client.get("/d/traffic/images/", {"state": "older"}).context["images"]
    assert [image.pk for image in listed] == [seen.pk]
    client.post("/d/traffic/reviewers/round")
    assert ImageReview.objects.get().state == "pending"
    assert "has changed since" not in client.get("/d/traffic/reviewers/").content.decode()


def test_the_figures_by_hand(people: People) -> None:
    disagree(people)
    stats = review_stats(people.dataset)
    assert [one.user.username for one in stats.reviewers] == ["reviewer", "second"]
    assert [(one.agreement.count, one.agreement.of) for one in stats.reviewers] == [(0, 1), (0, 1)]
    assert stats.cohen == {("reviewer", "second"): pytest.approx(0.0)}
    out = StringIO()
    call_command("review_stats", "traffic", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert told["images_with_several_looks"] == 1
    assert told["reviewers"][0]["decisions"] == 1
    assert told["reviewers"][0]["agreement"]["of"] == 1


def test_ones_own_page_names_nobody_else(people: People) -> None:
    disagree(people)
    text = people.client("second").get("/d/traffic/reviewers/me").content.decode()
    assert "0 of 1" in text
    assert ">reviewer<" not in text


def test_later_images_are_taken_into_the_certificate(people: People) -> None:
    people.dataset.policy.reviews_per_image = 1
    people.dataset.policy.save()
    for _ in range(3):
        make_review(make_image(people.dataset))
    certification = certifying.start_certification(dataset=people.dataset)
    for _ in range(2):
        make_review(make_image(people.dataset))
    client = people.client("admin")
    assert "2 images came later" in client.get("/d/traffic/certificate/").content.decode()
    assert people.client("curator").post("/d/traffic/certificate/extend").status_code == 403
    client.post("/d/traffic/certificate/extend")
    assert [cohort.population for cohort in certification.cohorts.all()] == [3, 2]
    assert certifying.certificate_of(certification).bound.remaining_bad == 5
    out = StringIO()
    call_command("certify", "traffic", "--log", stdout=out)
    assert json.loads(out.getvalue().splitlines()[0])["populations"] == {"1": 3, "2": 2}


def test_a_signature_covers_exactly_what_may_leave(people: People) -> None:
    with pytest.raises(signing.SigningError, match="No image is approved"):
        signing.sign(dataset=people.dataset, user=people.users["curator"], name="Carla Curie")
    make_reviewed_image(people.label_class, people.users["curator"])
    with pytest.raises(PermissionDenied):
        signing.sign(dataset=people.dataset, user=people.users["reviewer"], name="Rita")
    with pytest.raises(signing.SigningError, match="full name"):
        signing.sign(dataset=people.dataset, user=people.users["curator"], name="  ")
    signing.sign(dataset=people.dataset, user=people.users["curator"], name="Carla  Curie")
    standing = signing.standing_signature(people.dataset)
    assert standing
    assert (standing.name, standing.image_count) == ("Carla Curie", 1)
    make_reviewed_image(people.label_class, people.users["curator"])
    assert signing.standing_signature(people.dataset) is None, "another list would leave"
    signing.sign(dataset=people.dataset, user=people.users["curator"], name="Carla Curie")
    assert signing.standing_signature(people.dataset)
    Signature.objects.update(name="Somebody Else")
    assert signing.standing_signature(people.dataset) is None, "the row was changed"
    assert Decision.objects.count() == 2
