"""Accepting by score: with consent alone, open to audits, taken back by an alarm, in exports."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from synthreview.catalog.models import LabelClass
from synthreview.export.collecting import collect
from synthreview.generation.models import GeneratedImage
from synthreview.review import threshold_rules
from synthreview.review.certificate import Stream
from synthreview.review.certifying import end_certification, start_certification
from synthreview.review.models import (
    AcceptanceRule,
    ImageReview,
    ImageState,
    Lane,
    ReviewSlot,
    SlotState,
    Thresholds,
)
from synthreview.review.queue import claim_next
from synthreview.review.threshold_rules import (
    ThresholdError,
    accepted_by_rule,
    keep_thresholds,
    keep_thresholds_of,
    switch_off,
    switch_on,
)
from synthreview.scoring.models import Score
from tests.factories import make_prompt, make_version
from tests.people import People, make_people
from tests.review.ranking.rows import decide, make_queue

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/thresholds/"
COUNT = 400


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold_rules, "_seen", {})


@pytest.fixture
def people() -> People:
    return make_people()


def allow(people: People) -> None:
    policy = people.dataset.policy
    policy.accepts_unseen, policy.target_error = True, 0.05
    policy.save()


def freeze(people: People) -> list[GeneratedImage]:
    """Freeze images of one class with evenly spread scores."""
    version = make_version()
    car = make_prompt(people.dataset.classes.get(name="car"), "A car")
    scores = np.random.default_rng(0).permutation(np.linspace(0, 1, COUNT)).tolist()
    images = make_queue(people.dataset, scores, prompts=[car], version=version)
    start_certification(dataset=people.dataset)
    return images


def audit(people: People, count: int, *, bad_below: float = 0.3) -> None:
    """Have the next images by lot decided, those of a low score rejected."""
    drawn = list(
        ReviewSlot.objects.filter(dataset=people.dataset, handed_at__isnull=True)
        .exclude(lottery=None)
        .order_by("lottery")
        .select_related("image__review__score")[:count]
    )
    ReviewSlot.objects.filter(pk__in=[slot.pk for slot in drawn]).update(
        stream=Stream.AUDIT.value, handed_at=timezone.now()
    )
    bad = [slot.image.review.score.value < bad_below for slot in drawn]  # type: ignore[union-attr]
    decide([slot.image for slot in drawn], people.users["reviewer"], bad)


def chosen(people: People, audits: int = 200) -> AcceptanceRule:
    """Freeze, audit, switch on; return the rule that came of it."""
    allow(people)
    freeze(people)
    audit(people, audits)
    keep_thresholds_of(switch_on(dataset=people.dataset, user=people.users["admin"]))
    return AcceptanceRule.objects.get(ended_at__isnull=True)


def lanes(people: People) -> dict[int, int]:
    waiting = ReviewSlot.objects.filter(dataset=people.dataset, state=SlotState.WAITING)
    return dict(waiting.values_list("image", "lane"))


# --- What is accepted -----------------------------------------------------------------


def test_the_largest_set_that_audits_allow_is_accepted(people: People) -> None:
    rule = chosen(people)
    assert 0.5 <= rule.share <= 0.75  # the lowest 30 % are bad
    assert rule.cut >= 0.25
    assert rule.audits > 50
    certification = rule.thresholds.certification
    accepted = accepted_by_rule(certification)
    assert accepted
    assert all(review.score.value >= rule.cut for review in accepted.select_related("score"))  # type: ignore[union-attr]
    assert not accepted.exclude(state=ImageState.PENDING).exists()


def test_with_few_audits_nothing_is_accepted(people: People) -> None:
    allow(people)
    freeze(people)
    audit(people, 30)
    keep_thresholds_of(switch_on(dataset=people.dataset, user=people.users["admin"]))
    assert not AcceptanceRule.objects.exists()


def test_more_is_accepted_as_audits_arrive(people: People) -> None:
    first = chosen(people, 160)
    audit(people, 150)
    keep_thresholds()
    now = AcceptanceRule.objects.get(ended_at__isnull=True)
    assert now.share >= first.share
    assert now.audits > first.audits


def test_the_sweeper_rests_where_nobody_decided(people: People) -> None:
    chosen(people)
    keep_thresholds()
    with CaptureQueriesContext(connection) as queries:
        assert keep_thresholds() == 0
    assert not any("generation_generatedimage" in query["sql"] for query in queries)


def test_without_the_switch_nothing_is_accepted(people: People) -> None:
    allow(people)
    freeze(people)
    audit(people, 200)
    assert keep_thresholds() == 0
    assert Thresholds.objects.get().is_on is False
    assert set(lanes(people).values()) == {Lane.NORMAL}


def test_classes_are_judged_apart(people: People) -> None:
    """One class is clean, the other bad throughout: only the first is accepted."""
    allow(people)
    version = make_version()
    prompts = [make_prompt(one, f"A {one.name}") for one in people.dataset.classes.order_by("name")]
    rng = np.random.default_rng(0)
    make_queue(people.dataset, rng.random(800).tolist(), prompts=prompts[:2], version=version)
    start_certification(dataset=people.dataset)
    drawn = list(
        ReviewSlot.objects.filter(dataset=people.dataset)
        .order_by("lottery")[:500]
        .select_related("image")
    )
    ReviewSlot.objects.filter(pk__in=[slot.pk for slot in drawn]).update(
        stream=Stream.AUDIT.value, handed_at=timezone.now()
    )
    bad_class = prompts[1].label_class_id
    bad = [slot.label_class_id == bad_class and slot.pk % 5 == 0 for slot in drawn]
    decide([slot.image for slot in drawn], people.users["reviewer"], bad)
    keep_thresholds_of(switch_on(dataset=people.dataset, user=people.users["admin"]))
    [rule] = AcceptanceRule.objects.filter(ended_at__isnull=True)
    assert rule.label_class_id == prompts[0].label_class_id


# --- Consent --------------------------------------------------------------------------


def test_only_with_the_policys_consent(people: People) -> None:
    freeze(people)
    with pytest.raises(ThresholdError, match="accepts nothing that nobody looked at"):
        switch_on(dataset=people.dataset, user=people.users["admin"])


def test_never_for_a_high_risk_dataset(people: People) -> None:
    freeze(people)
    policy = people.dataset.policy
    policy.is_high_risk, policy.reviews_per_image = True, 2
    policy.save()
    with pytest.raises(ThresholdError, match="high risk"):
        switch_on(dataset=people.dataset, user=people.users["admin"])


def test_only_on_a_running_certificate(people: People) -> None:
    allow(people)
    with pytest.raises(ThresholdError, match="No certificate runs"):
        switch_on(dataset=people.dataset, user=people.users["admin"])


def test_a_withdrawn_consent_puts_all_back(people: People) -> None:
    chosen(people)
    assert Lane.ACCEPTED in lanes(people).values()
    people.dataset.policy.accepts_unseen = False
    people.dataset.policy.save()
    keep_thresholds()
    assert not AcceptanceRule.objects.filter(ended_at__isnull=True).exists()
    assert set(lanes(people).values()) == {Lane.NORMAL}


def test_switching_off_and_ending_the_certificate_put_all_back(people: People) -> None:
    rule = chosen(people)
    switch_off(dataset=people.dataset, user=people.users["curator"])
    keep_thresholds()
    assert set(lanes(people).values()) == {Lane.NORMAL}
    keep_thresholds_of(switch_on(dataset=people.dataset, user=people.users["admin"]))
    assert Lane.ACCEPTED in lanes(people).values()
    end_certification(rule.thresholds.certification)
    keep_thresholds()
    assert set(lanes(people).values()) == {Lane.NORMAL}


# --- Open to audits -------------------------------------------------------------------


def test_what_is_accepted_comes_after_all_else_and_by_lot(people: People) -> None:
    rule = chosen(people)
    accepted = set(accepted_by_rule(rule.thresholds.certification).values_list("image", flat=True))
    behind = {image for image, lane in lanes(people).items() if lane == Lane.ACCEPTED}
    assert behind == accepted
    drawable = ReviewSlot.objects.filter(
        image__in=accepted, lottery__isnull=False, handed_at__isnull=True
    )
    assert drawable.count() == len(accepted)
    policy = people.dataset.policy
    policy.audit_share, policy.adapts_audit_share = 0.0, False
    policy.save()
    claim = claim_next(dataset=people.dataset, reviewer=people.users["reviewer"])
    assert claim is not None
    assert claim.image not in accepted


def test_an_accepted_image_that_is_rejected_is_accepted_no_more(people: People) -> None:
    rule = chosen(people)
    certification = rule.thresholds.certification
    one = accepted_by_rule(certification).select_related("image").first()
    assert one is not None
    decide([one.image], people.users["reviewer"], [True])
    assert not accepted_by_rule(certification).filter(pk=one.pk).exists()


# --- Alarms ---------------------------------------------------------------------------


def back_to_review(people: People) -> str:
    """Sweep; return the alarm, once it is certain that everything went back."""
    keep_thresholds()
    assert set(lanes(people).values()) == {Lane.NORMAL}
    assert not AcceptanceRule.objects.filter(ended_at__isnull=True).exists()
    return Thresholds.objects.get().suspended_because


def test_a_changed_guideline_is_an_alarm(people: People) -> None:
    chosen(people)
    LabelClass.objects.filter(name="car").update(guideline_version=2)
    assert "The guideline of car changed" in back_to_review(people)


def test_another_scoring_model_is_an_alarm(people: People) -> None:
    chosen(people)
    make_version(model="another", registered_at=timezone.now() + dt.timedelta(minutes=1))
    assert "Images are scored by" in back_to_review(people)


@pytest.mark.parametrize(("lowest", "is_alarm"), [(0.7, True), (0.0, False)])
def test_a_generator_whose_images_score_otherwise_is_an_alarm(
    people: People, lowest: float, *, is_alarm: bool
) -> None:
    rule = chosen(people)
    scores = np.linspace(lowest, 1, 80).tolist()
    car = make_prompt(people.dataset.classes.get(name="car"), "A car, once more")
    make_queue(
        people.dataset, scores, prompts=[car], version=rule.thresholds.version, generator="newcomer"
    )
    keep_thresholds()
    said = Thresholds.objects.get().suspended_because
    assert ("by newcomer score otherwise" in said) is is_alarm


def test_a_curator_goes_on_after_an_alarm_and_hears_it_once(people: People) -> None:
    chosen(people)
    make_version(model="another", registered_at=timezone.now() + dt.timedelta(minutes=1))
    back_to_review(people)
    keep_thresholds_of(switch_on(dataset=people.dataset, user=people.users["admin"]))
    keep_thresholds()
    assert AcceptanceRule.objects.filter(ended_at__isnull=True).exists()
    assert Thresholds.objects.get().suspended_because == ""


# --- What leaves ----------------------------------------------------------------------


def test_an_export_takes_what_is_accepted_and_says_so(people: People) -> None:
    rule = chosen(people)
    accepted = set(accepted_by_rule(rule.thresholds.certification).values_list("image", flat=True))
    approved = set(ImageReview.objects.approved().values_list("image", flat=True))
    rows, promised = collect(people.dataset)
    assert {row.image for row in rows} == accepted | approved
    assert promised is not None
    assert promised.error <= 0.05
    assert f"{len(accepted):,} accepted unseen by 1 threshold on the score" in promised.sentence
    low = Score.objects.filter(image__in=accepted, value__lt=rule.cut)
    assert not low.exists()


def test_an_export_takes_nothing_unseen_after_an_alarm(people: People) -> None:
    chosen(people)
    LabelClass.objects.filter(name="car").update(guideline_version=2)
    keep_thresholds()
    rows, promised = collect(people.dataset)
    assert promised is None
    assert all(row.looks for row in rows)


# --- Rows -----------------------------------------------------------------------------


def test_the_database_refuses_a_rule_that_cannot_be(people: People) -> None:
    rule = chosen(people)
    impossible: list[dict[str, float]] = [
        {"share": 0.0}, {"share": 1.1}, {"audits": 500}, {"left": 500}
    ]  # fmt: skip
    for fields in impossible:
        with pytest.raises(IntegrityError), transaction.atomic():
            AcceptanceRule.objects.filter(pk=rule.pk).update(**fields)
    rule.pk = None  # two that are open
    with pytest.raises(IntegrityError), transaction.atomic():
        rule.save()
    with pytest.raises(IntegrityError), transaction.atomic():
        Thresholds.objects.update(suspended_because="something")


# --- The page -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "status"),
    [("admin", 200), ("curator", 200), ("reviewer", 403), ("viewer", 403), ("stranger", 404)],
)
def test_curators_see_the_page_and_admins_switch_it_on(
    people: People, who: str, status: int
) -> None:
    allow(people)
    freeze(people)
    audit(people, 200)
    client = people.client(who)
    assert client.get(PAGE).status_code == status
    assert client.post(PAGE).status_code == 405
    for action, allowed in (("start", who == "admin"), ("stop", status == 200)):
        assert client.get(f"{PAGE}{action}").status_code == 405
        wanted = 302 if allowed else (404 if status == 404 else 403)
        assert client.post(f"{PAGE}{action}").status_code == wanted
        if action == "start":
            assert Thresholds.objects.filter(is_on=True).exists() == allowed


def test_the_page_says_what_a_cut_would_accept_and_what_is_certain_of_it(people: People) -> None:
    rule = chosen(people)
    client = people.client("curator")
    text = client.get(PAGE).content.decode()
    assert "meets the target of 5 %" in text
    assert "In force" in text
    assert "<svg" in text
    all_of_them = client.get(f"{PAGE}?accept=20").content.decode()
    assert "The highest <strong>100 %</strong>" in all_of_them
    assert "the target is 5 %" in all_of_them
    none = client.get(f"{PAGE}?accept=0").content.decode()
    assert "Nothing is accepted unseen here" in none
    part = client.get(f"{PAGE}?accept=5", headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div id="threshold-cell"')
    assert rule.label_class.name in text


def test_an_odd_address_is_no_fault(people: People) -> None:
    freeze(people)
    client = people.client("curator")
    for query in ("cell=9.9.plain", "cell=<b>", "accept=-1", "accept=x", "accept=999"):
        wanted = 404 if query.startswith("cell") else 200
        assert client.get(f"{PAGE}?{query}").status_code == wanted


def test_the_page_before_anything_is_there(people: People) -> None:
    text = people.client("admin").get(PAGE).content.decode()
    assert "No images yet" in text


def test_without_a_certificate_the_scores_are_shown_without_a_bound(people: People) -> None:
    allow(people)
    images = make_queue(people.dataset, np.linspace(0, 1, 60).tolist(), version=make_version())
    decide(images[:4], people.users["reviewer"], [True, False, True, False])
    text = people.client("admin").get(f"{PAGE}?accept=10").content.decode()
    assert "No error bound: no certificate runs" in text
    assert "threshold-bar is-rejected" in text


def test_the_page_costs_the_same_for_few_and_many(people: People) -> None:
    chosen(people)
    client = people.client("curator")
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get(PAGE)
        counts.append(len(queries))
        audit(people, 40)
    assert counts[0] == counts[1]
