"""Questions within the policy and the budget: planned, paid, kept, and asked once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, Membership
from synthreview.catalog.permissions import Role
from synthreview.generation.models import GeneratedImage
from synthreview.overview.costs import question_costs
from synthreview.scoring import questioning
from synthreview.scoring.models import QUESTIONS, QuestionCall, Score
from synthreview.scoring.questioning import ask, plan_questions
from synthreview.scoring.services import plan_scoring, register, scorer
from synthreview.spending.models import Budget
from synthreview.spending.services import budget_of, set_budget
from synthreview.work.models import WorkState
from tests.factories import (
    make_dataset,
    make_image,
    make_prompt,
    make_score,
    make_user,
    make_version,
)
from tests.people import make_people
from tests.servers_fake import openai_server as fake
from tests.servers_fake.openai_server import FakeOpenAI

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        settings.SCORERS = {
            **settings.SCORERS,
            QUESTIONS: {
                "BACKEND": "synthreview.scoring.scorers.vqa.VqaScorer",
                "OPTIONS": {
                    "model": "test-model",
                    "base_url": running.base_url,
                    "timeout_s": 5,
                    "prices": {"*": {"input": 1, "output": 2}},
                },
            },
        }
        scorer.cache_clear()
        register.cache_clear()
        monkeypatch.setattr(questioning, "enqueue_on_commit", lambda rows: None)
        yield running
        scorer.cache_clear()
        register.cache_clear()


@pytest.fixture
def images() -> list[GeneratedImage]:
    """Return ten scored images, the most doubtful first."""
    dataset = make_dataset()
    prompt = make_prompt(dataset.classes.get(name="car"), "A car")
    version = make_version()
    found = [make_image(prompt=prompt) for _ in range(10)]
    for number, image in enumerate(found):
        make_score(image, number / 10, version=version)
    return found


def allow(dataset: Dataset, share: float, *, doubtful: bool = True, cents: int = 100) -> None:
    policy = dataset.policy
    policy.asked_share, policy.asks_doubtful = share, doubtful
    policy.save()
    set_budget(dataset, limit_micro_usd=cents * 10_000)


def asked() -> list[int]:
    return list(QuestionCall.objects.order_by("image").values_list("image", flat=True))


def test_the_policy_says_how_many_and_which(
    server: FakeOpenAI, images: list[GeneratedImage]
) -> None:
    register(QUESTIONS)
    assert plan_questions() == 0
    allow(images[0].dataset, 0.3)
    assert plan_questions() == 3
    assert asked() == [image.pk for image in images[:3]]
    assert plan_questions() == 0


def test_a_sample_is_blind_to_the_score(server: FakeOpenAI, images: list[GeneratedImage]) -> None:
    register(QUESTIONS)
    allow(images[0].dataset, 1.0, doubtful=False)
    assert plan_questions() == 10


def test_paid_questions_are_never_part_of_a_scoring_pass(
    server: FakeOpenAI, images: list[GeneratedImage]
) -> None:
    register(QUESTIONS)
    assert not any(new.version.alias == QUESTIONS for new in plan_scoring())


def test_an_answer_becomes_a_score_and_a_charge(
    server: FakeOpenAI, images: list[GeneratedImage]
) -> None:
    register(QUESTIONS)
    dataset = images[0].dataset
    allow(dataset, 0.2)
    plan_questions()
    reserved = budget_of(dataset).reserved_micro_usd
    assert reserved > 0
    ask(QuestionCall.objects.earliest("pk").pk)  # and the others that are due
    calls = list(QuestionCall.objects.all())
    assert {call.state for call in calls} == {WorkState.DONE}, [call.error for call in calls]
    budget = Budget.objects.get(dataset=dataset)
    assert budget.reserved_micro_usd == 0
    assert budget.spent_micro_usd == sum(call.billed_micro_usd for call in calls) > 0
    score = Score.objects.get(version__alias=QUESTIONS, image=images[0])
    assert score.match is not None
    assert score.value == pytest.approx(min(score.match, *score.parts.values()), abs=1e-4)
    assert len(server.chats) == 2
    [cost] = question_costs(dataset)
    assert (cost.model, cost.asked, cost.waiting) == ("test-model", 2, 0)
    assert cost.billed == budget.spent_micro_usd


def test_without_a_budget_nothing_is_asked(
    server: FakeOpenAI, images: list[GeneratedImage]
) -> None:
    register(QUESTIONS)
    allow(images[0].dataset, 1.0, cents=0)
    assert plan_questions() == 0
    assert not QuestionCall.objects.exists()


def test_the_budget_ends_the_asking_and_not_the_policy(
    server: FakeOpenAI, images: list[GeneratedImage]
) -> None:
    register(QUESTIONS)
    dataset = images[0].dataset
    allow(dataset, 1.0)
    each = questioning.asker().estimate_usd(questioning.request_of(images[0], questioning.NOTHING))
    assert each is not None
    set_budget(dataset, limit_micro_usd=int(each * 1_000_000) * 2 + 1)
    assert plan_questions() == 2


def test_what_was_charged_for_nothing_is_on_the_ledger(
    server: FakeOpenAI, images: list[GeneratedImage]
) -> None:
    register(QUESTIONS)
    dataset = images[0].dataset
    allow(dataset, 0.1)
    plan_questions()
    server.script(fake.says("I cannot tell."))
    call = QuestionCall.objects.get()
    ask(call.pk)
    call.refresh_from_db()
    assert call.state == WorkState.FAILED
    assert call.billed_micro_usd > 0
    assert budget_of(dataset).spent_micro_usd == call.billed_micro_usd
    assert plan_questions() == 0  # a useless answer is not paid for twice


def test_a_lost_answer_is_unknown_and_not_asked_again(
    server: FakeOpenAI, images: list[GeneratedImage]
) -> None:
    register(QUESTIONS)
    allow(images[0].dataset, 0.1)
    plan_questions()
    server.script(fake.breaks_off())
    call = QuestionCall.objects.get()
    for _ in range(2):
        ask(call.pk)
    call.refresh_from_db()
    assert call.state == WorkState.UNKNOWN
    assert len(server.chats) == 1


@pytest.mark.parametrize(
    ("outcome", "state", "is_charged"),
    [("free", "failed", False), ("charged", "failed", True), ("again", "ready", True)],
)
def test_a_question_of_unknown_outcome_is_decided_by_a_person(
    server: FakeOpenAI,
    images: list[GeneratedImage],
    outcome: str,
    state: str,
    is_charged: bool,
    client: Client,
) -> None:
    dataset = images[0].dataset
    Membership.objects.create(dataset=dataset, user=make_user("cora"), role=Role.CURATOR)
    register(QUESTIONS)
    allow(dataset, 0.1)
    plan_questions()
    server.script(fake.breaks_off())
    call = QuestionCall.objects.get()
    ask(call.pk)
    client.force_login(User.objects.get(username="cora"))
    page = f"/d/{dataset.slug}/questions/unknown"
    assert page in client.get(f"/d/{dataset.slug}/costs/").content.decode()
    assert f"Image {images[0].pk}" in client.get(page).content.decode()
    assert "Tick one call" in client.post(page, {"outcome": outcome}, follow=True).content.decode()
    client.post(page, {"call": [call.pk], "outcome": outcome})
    call.refresh_from_db()
    budget = budget_of(dataset)
    assert call.state == state
    assert budget.spent_micro_usd == (call.estimated_micro_usd if is_charged else 0)
    assert budget.reserved_micro_usd == (call.estimated_micro_usd if state == "ready" else 0)
    assert "Nothing is unknown" in client.get(page).content.decode()


@pytest.mark.parametrize(("who", "status"), [("viewer", 403), ("reviewer", 403), ("stranger", 404)])
def test_only_curators_decide_questions(who: str, status: int) -> None:
    people = make_people()
    page = f"/d/{people.dataset.slug}/questions/unknown"
    assert people.client(who).get(page).status_code == status
    assert people.client(who).post(page).status_code == status
    assert people.client("curator").put(page).status_code == 405


def test_a_missing_picture_is_no_charge(server: FakeOpenAI, images: list[GeneratedImage]) -> None:
    register(QUESTIONS)
    dataset = images[0].dataset
    allow(dataset, 0.1)
    plan_questions()
    GeneratedImage.objects.filter(pk=images[0].pk).update(sha256="0" * 64)
    call = QuestionCall.objects.get()
    ask(call.pk)
    call.refresh_from_db()
    assert call.state == WorkState.FAILED
    assert "cannot be shown" in call.error
    assert budget_of(dataset).spent_micro_usd == 0
    assert budget_of(dataset).reserved_micro_usd == 0


def test_one_question_per_image_and_version(
    server: FakeOpenAI, images: list[GeneratedImage]
) -> None:
    version = register(QUESTIONS)
    QuestionCall.objects.create(image=images[0], version=version)
    with pytest.raises(IntegrityError), transaction.atomic():
        QuestionCall.objects.create(image=images[0], version=version)
