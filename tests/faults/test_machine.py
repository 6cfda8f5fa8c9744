"""Whatever order things happen in: claims, sends, crashes, deliveries, decisions, undo, exports.

Hypothesis picks the order and where a worker dies, and shortens what goes wrong to the least
that does. A crash is an exception that no code of ours catches, as if the process were gone: its
lease stays, its transaction does not.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from synthreview.export.jobs import freeze, write_package
from synthreview.export.models import Export, ExportItem, Package
from synthreview.export.services import NothingApprovedError, order_export
from synthreview.export.splits import parse_wish
from synthreview.generation.jobs import draw
from synthreview.generation.models import Call, GeneratedImage
from synthreview.generation.services import orders_of, start_run
from synthreview.review.models import Decision, ImageReview, ImageState, ReviewSlot, Verdict
from synthreview.review.queue import free_expired, next_card
from synthreview.review.services import LeaseLostError, record_decision, undo
from synthreview.spending import spool
from synthreview.spending.models import Budget
from synthreview.spending.services import tidy_spool
from synthreview.work.models import OPEN_STATES, WorkState
from synthreview.work.services import take_back_overdue, work_models
from tests.factories import make_dataset, make_prompt, make_review, make_score, make_user
from tests.faults import oracle
from tests.generation.fakes import AfterCharge, scripted

LONG_AGO = "2020-01-01T00:00:00Z"


class Crash(BaseException):
    """The process is gone."""


class Installation(RuleBasedStateMachine):
    """What a team and its workers may do, one step after the other."""

    def __init__(self, generator: Any, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.generator = generator
        self.patch = patch
        self.outer = transaction.atomic()
        self.outer.__enter__()
        self.cards: list[tuple[int, uuid.UUID, int]] = []  # reviewer, token, image
        self.said: dict[uuid.UUID, tuple[int, int, str]] = {}
        self.frozen: dict[int, list[int]] = {}

    @initialize()
    def begin(self) -> None:
        self.generator.charges.clear()
        self.generator.script.clear()
        spool_folder = spool.path("x").parent
        for path in spool_folder.glob("*") if spool_folder.exists() else ():
            path.unlink()
        self.reviewers = [make_user(), make_user()]
        self.dataset = make_dataset(reviewer=self.reviewers)
        Budget.objects.create(dataset=self.dataset, limit_micro_usd=100_000_000)
        self.prompt = make_prompt(self.dataset.classes.all()[0])

    def teardown(self) -> None:
        try:
            if hasattr(self, "dataset"):
                self.rest()
        finally:
            transaction.set_rollback(True)
            self.outer.__exit__(None, None, None)

    # --- Workers ------------------------------------------------------------------------

    @rule(calls=st.integers(1, 3))
    def order(self, calls: int) -> None:
        start_run(
            dataset=self.dataset,
            orders=orders_of([self.prompt]),
            count=2 * calls,
            generator_alias="scripted",
            size_px=256,
            seed=Call.objects.count(),
        )

    def call(self, number: int) -> Call | None:
        calls = list(Call.objects.order_by("pk"))
        return calls[number % len(calls)] if calls else None

    @rule(number=st.integers(0, 5), times=st.integers(1, 3))
    def deliver(self, number: int, times: int) -> None:
        """A worker gets the key of a call, in whatever state that is, once or more often."""
        if call := self.call(number):
            for _ in range(times):
                draw(call.pk)

    @rule(number=st.integers(0, 5), point=st.sampled_from(["send", "charged", "spooled", "kept"]))
    def crash(self, number: int, point: str) -> None:
        """A worker dies before it sends, after the charge, after the spool, after the rows."""
        call = self.call(number)
        if call is None:
            return
        die = Crash()

        def dying(*args: Any, **kwargs: Any) -> Any:
            raise die

        with self.patch.context() as patch:
            if point == "send":
                self.generator.script[:] = [die]
            elif point == "charged":
                self.generator.script[:] = [AfterCharge(die)]
            elif point == "spooled":
                patch.setattr("synthreview.spending.performing._keep", dying)
            else:
                patch.setattr("synthreview.spending.spool.clear", dying)
            with contextlib.suppress(Crash):
                draw(call.pk)
        self.generator.script.clear()

    @rule()
    def vanish(self) -> None:
        """All who hold a lease are taken for dead, and their work is taken back."""
        for model in work_models():
            running = model._default_manager.filter(state=WorkState.RUNNING)
            running.update(lease_expires_at=LONG_AGO)
        take_back_overdue()
        for model in work_models():
            model._default_manager.filter(state=WorkState.READY).update(due_at=LONG_AGO)

    @rule()
    def tidy(self) -> None:
        tidy_spool()

    @rule()
    def admit(self) -> None:
        for image in GeneratedImage.objects.filter(scores=None, dataset=self.dataset):
            make_score(image)
            make_review(image)

    # --- People -------------------------------------------------------------------------

    @rule(who=st.integers(0, 1))
    def claim(self, who: int) -> None:
        card = next_card(dataset=self.dataset, reviewer=self.reviewers[who])
        if card:
            self.cards.append((who, card.token, card.slot.image_id))

    @precondition(lambda self: self.cards)
    @rule(number=st.integers(0, 9), verdict=st.sampled_from([Verdict.APPROVE, Verdict.REJECT]))
    def decide(self, number: int, verdict: str) -> None:
        """A card is answered: the newest, or one that lay there long, or one answered before."""
        who, token, image = self.cards[-1 - number % len(self.cards)]
        try:
            said = record_decision(
                dataset=self.dataset, reviewer=self.reviewers[who], token=token, verdict=verdict
            )
        except LeaseLostError:
            assert token not in self.said
            return
        assert said.is_replay == (token in self.said)
        known = self.said.setdefault(token, (who, image, verdict))
        assert (said.decision.image_id, said.decision.verdict) == known[1:], "the first word counts"

    @rule(who=st.integers(0, 1))
    def take_back(self, who: int) -> None:
        card = undo(dataset=self.dataset, reviewer=self.reviewers[who])
        if card:
            self.cards.append((who, card.token, card.slot.image_id))

    @rule()
    def close_tabs(self) -> None:
        ReviewSlot.objects.filter(lease_token__isnull=False).update(lease_expires_at=LONG_AGO)
        free_expired()

    @rule()
    def export(self) -> None:
        try:
            order = order_export(dataset=self.dataset, wish=parse_wish("80/10/10"))
        except NothingApprovedError:
            return
        approved = set(
            ImageReview.objects.approved()
            .filter(dataset=self.dataset)
            .values_list("image", flat=True)
        )
        freeze(order.pk)
        items = list(ExportItem.objects.filter(export=order).values_list("image", flat=True))
        assert set(items) == approved
        self.frozen[order.pk] = items
        for package in Package.objects.filter(export=order):
            write_package(package.pk)
            write_package(package.pk)
            package.refresh_from_db()
            assert package.state == WorkState.DONE, package.error

    # --- What always holds --------------------------------------------------------------

    @invariant()
    def nothing_is_paid_twice(self) -> None:
        if self.generator.charges:
            assert Counter(self.generator.charges).most_common(1)[0][1] == 1

    @invariant()
    def the_books_agree(self) -> None:
        found = [*oracle.leases(), *oracle.images(), *oracle.budgets()]
        assert not found, oracle.sentence(found)

    @invariant()
    def no_card_lies_before_two_people(self) -> None:
        held = ReviewSlot.objects.filter(lease_token__isnull=False)
        assert held.values("image").distinct().count() == held.count()

    @invariant()
    def every_accepted_word_is_on_record_once(self) -> None:
        rows = Decision.objects.filter(client_token__in=list(self.said))
        assert rows.count() == len(self.said)
        states = ImageReview.objects.filter(state=ImageState.APPROVED)
        assert not states.filter(approvals__lt=F("rejections")).exists()

    @invariant()
    def a_frozen_list_stays(self) -> None:
        for pk, items in self.frozen.items():
            rows = ExportItem.objects.filter(export=pk).order_by("pk")
            assert sorted(rows.values_list("image", flat=True)) == sorted(items)
            assert Export.objects.get(pk=pk).item_count == len(items)

    def rest(self) -> None:
        """Let everything come to rest: nothing is open, nothing lost, nothing overdue."""
        for _ in range(30):
            self.vanish()
            tidy_spool()
            for call in Call.objects.filter(state=WorkState.READY):
                draw(call.pk)
            if not Call.objects.filter(state__in=OPEN_STATES).exists():
                break
        assert not oracle.open_calls()
        assert not (found := oracle.everything()), oracle.sentence(found)
        charged = set(self.generator.charges)
        done = Call.objects.filter(state=WorkState.DONE)
        assert {call.spool_key for call in done} <= charged
        lost = charged - {call.spool_key for call in Call.objects.exclude(state=WorkState.FAILED)}
        assert not lost, "what was charged is an image, or declared unknown"


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("is_repeatable", [False, True], ids=["no key", "key"])
def test_whatever_happens_in_whatever_order_the_books_agree(
    settings_of_django: Any, monkeypatch: pytest.MonkeyPatch, is_repeatable: bool
) -> None:
    with scripted(settings_of_django, is_repeatable=is_repeatable) as generator:
        run_state_machine_as_test(
            lambda: Installation(generator, monkeypatch),
            settings=settings(
                max_examples=12,
                stateful_step_count=25,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.fixture
def settings_of_django(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("settings")
