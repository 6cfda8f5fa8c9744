"""The certificate's page and command: who may, what they show, and what they cost."""

from __future__ import annotations

import json
import time
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import Dataset
from synthreview.review import queue, services
from synthreview.review.certifying import start_certification
from synthreview.review.models import Certification, Verdict
from tests.factories import make_image, make_review, make_score
from tests.people import People, make_people

PAGE = "/d/traffic/certificate/"


@pytest.fixture
def people(db: None) -> People:
    return make_people()


def fill(dataset: Dataset, count: int) -> None:
    for place in range(count):
        image = make_image(dataset)
        make_score(image, value=place / 1000)
        make_review(image)


def review(people: People, count: int, verdict: str = Verdict.APPROVE) -> None:
    dataset, reviewer = people.dataset, people.users["reviewer"]
    for _ in range(count):
        card = queue.next_card(dataset=dataset, reviewer=reviewer)
        assert card
        services.record_decision(
            dataset=dataset, reviewer=reviewer, token=card.token, verdict=verdict
        )


def test_an_admin_starts_and_ends_it(people: People) -> None:
    fill(people.dataset, 3)
    admin = people.client("admin")
    assert "Start a certificate" in admin.get(PAGE).content.decode()
    response = admin.post(f"{PAGE}start", follow=True)
    assert "The certificate runs, over 3 images." in response.content.decode()
    assert Certification.objects.get().started_by == people.users["admin"]
    again = admin.post(f"{PAGE}start", follow=True)
    assert "end it first" in again.content.decode()
    admin.post(f"{PAGE}end")
    admin.post(f"{PAGE}end")
    assert Certification.objects.get().ended_at


def test_an_ended_one_stays_on_record_as_it_stood(people: People) -> None:
    fill(people.dataset, 3)
    admin = people.client("admin")
    admin.post(f"{PAGE}start")
    review(people, 2)
    admin.post(f"{PAGE}end")
    review(people, 1, Verdict.REJECT)
    ended = Certification.objects.get()
    assert ended.closed_with["population"] == 3
    assert ended.closed_with["reviewed"] == 2
    assert ended.closed_with["found_bad"] == 0
    text = admin.get(PAGE).content.decode()
    assert "Earlier certificates" in text
    assert "2 % at 95 %: not met" in text
    services.undo(dataset=people.dataset, reviewer=people.users["reviewer"])
    admin.post(f"{PAGE}end")
    assert Certification.objects.get().closed_with == ended.closed_with


def test_the_page_says_what_is_known_of_the_reviewers_own_mistakes(people: People) -> None:
    fill(people.dataset, 3)
    people.client("admin").post(f"{PAGE}start")
    text = people.client("viewer").get(PAGE).content.decode()
    assert "Mistakes of the reviewers themselves are not included." in text


@pytest.mark.parametrize("who", ["curator", "reviewer", "viewer"])
def test_others_look_and_start_nothing(people: People, who: str) -> None:
    fill(people.dataset, 1)
    page = people.client(who).get(PAGE)
    assert page.status_code == 200
    assert "Start a certificate" not in page.content.decode()
    for verb in ("start", "end"):
        assert people.client(who).post(f"{PAGE}{verb}").status_code == 403
    assert not Certification.objects.exists()


def test_a_stranger_knows_of_nothing(people: People) -> None:
    stranger = people.client("stranger")
    assert stranger.get(PAGE).status_code == 404
    for verb in ("start", "end"):
        assert stranger.post(f"{PAGE}{verb}").status_code == 404
        assert people.client("admin").get(f"{PAGE}{verb}").status_code == 405


def test_the_page_tells_the_bound_and_the_way_to_the_target(people: People) -> None:
    fill(people.dataset, 40)
    policy = people.dataset.policy
    policy.audit_share, policy.target_error = 1, 0.1
    policy.save()
    start_certification(dataset=people.dataset)
    client = people.client("viewer")
    page = client.get(PAGE)
    assert "100 %" in page.content.decode()
    assert "more audits" in page.content.decode()
    review(people, 30)
    page = client.get(PAGE)
    assert page.context["certificate"].is_met
    text = page.content.decode()
    assert "This meets the target of 10 %, with confidence 95 %." in text
    assert "at most" in page.context["promise"].sentence
    assert page.context["promise"].sentence in text
    assert "style=" not in text


def test_a_rate_above_the_target_is_said_kindly(people: People) -> None:
    fill(people.dataset, 30)
    people.dataset.policy.audit_share = 1
    start_certification(dataset=people.dataset)
    review(people, 4, Verdict.REJECT)
    page = people.client("viewer").get(PAGE).content.decode()
    assert "it cannot be reached at this rate" in page


def test_the_page_costs_the_same_whatever_was_reviewed(people: People) -> None:
    fill(people.dataset, 30)
    start_certification(dataset=people.dataset)
    client = people.client("viewer")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(PAGE).status_code == 200
        return len(queries)

    review(people, 2)
    small = cost()
    review(people, 20)
    assert cost() == small


def test_nothing_on_a_card_tells_an_audit(people: People) -> None:
    fill(people.dataset, 12)
    start_certification(dataset=people.dataset)
    client = people.client("reviewer")
    for share in (0, 1):
        people.dataset.policy.audit_share = share
        people.dataset.policy.save()
        page = client.get("/d/traffic/review/").content.decode().lower()
        card = page[page.index('class="review-card"') :]
        for word in ("audit", "lottery", "stream", "handed"):
            assert word not in card
        review(people, 1)


def certify(*arguments: str) -> str:
    out = StringIO()
    call_command("certify", "traffic", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_starts_and_tells(people: People) -> None:
    with pytest.raises(CommandError, match="--start begins one"):
        certify()
    fill(people.dataset, 12)
    said = json.loads(certify("--start", "--json"))
    assert (said["population"], said["error_at_most"], said["is_met"]) == (12, 1.0, False)
    assert said["more_audits"] > 0
    review(people, 12)
    assert "which meets the target of 2 %" in certify()
    with pytest.raises(CommandError, match="runs already"):
        certify("--start")


def test_the_whole_computation_is_quick() -> None:
    """2,000 looks of 10,000 images: bound, forecast and history (40 to 60 ms on one core)."""
    from synthreview.review.certificate import Look, Stream, audits_until, running_bound

    looks = [
        Look(Stream.AUDIT if n % 5 == 0 else Stream.TARGETED, n % 90 == 1) for n in range(2000)
    ]
    began = time.process_time()
    for step in range(80, 2001, 80):
        bound = running_bound(looks[:step], population=10_000, target=0.02)
    audits_until(bound, looks, target=0.02, rate=0.01)
    assert time.process_time() - began < 0.5  # a wide margin for slow machines
