"""The claims in the database's own words: how a look becomes somebody's.

Each is one UPDATE that finds its rows by one index and returns them. Django's expressions have
neither UPDATE … FROM nor RETURNING, and SQLite no SKIP LOCKED: so the words are here, all of
them, and nothing a person wrote is ever part of them. Called by queue.py, inside a transaction.

PostgreSQL: reviewers step over a row that somebody else is being handed; the draw of audits waits
for it instead, so that it is uniform. SQLite has one writer at a time and needs neither.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Case, Value, When

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.catalog.prepared import planned_cursor
from synthreview.review.certificate import Stream
from synthreview.review.models import (
    FINAL_VERDICTS,
    Decision,
    Lane,
    ReviewSlot,
    SlotState,
    Verdict,
)

PROMPTS_AHEAD = 64
GIVEN = ("id", "created_at")  # of a decision, by the database


@dataclass(frozen=True, slots=True)
class Pool:
    """Whose next look it is, and of what: a dataset, or one class and technique of it.

    `classes` are those that the reviewer was given; none named means all of them.
    """

    dataset: Dataset
    reviewer: User
    label_class: int | None = None
    technique: str | None = None
    classes: tuple[int, ...] = ()

    @property
    def params(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset.pk,
            "me": self.reviewer.pk,
            "label_class": self.label_class,
            "technique": self.technique,
        }

    @property
    def scope(self) -> str:
        """Return the condition that the beginning of an index serves."""
        if self.label_class is None:
            return f"slot.dataset_id = %(dataset)s{self.own_classes}"
        return "slot.label_class_id = %(label_class)s AND slot.technique = %(technique)s"

    @property
    def own_classes(self) -> str:
        if not self.classes:
            return ""
        return f" AND slot.label_class_id IN ({_numbers(self.classes)})"


@dataclass(frozen=True, slots=True)
class Claim:
    """A look that was leased."""

    slot: int
    image: int
    token: uuid.UUID
    is_audit: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A look that could be leased. `kin`: what makes two images alike, its prompt and family."""

    slot: int
    image: int
    kin: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Sibling:
    """A look of one prompt that could be leased."""

    slot: int
    image: int
    prompt: int


# Others than looks never wait, and skipped they are their own reviewer's alone.
FREE = "slot.state IN ('waiting', 'skipped') AND slot.purpose = 'look'"
# What this person holds, decided or skipped is not theirs again in this round.
UNSEEN = """NOT EXISTS (
    SELECT 1 FROM review_reviewslot AS own
    WHERE own.image_id = slot.image_id AND own.round = slot.round
    AND own.reviewer_id = %(me)s AND own.state <> 'waiting'
)"""
IN_ORDER = "slot.lane, slot.priority, slot.id"
UNDRAWN = "slot.lottery IS NOT NULL AND slot.handed_at IS NULL AND slot.state = 'waiting'"


def _is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def _locked(*, waits: bool = False) -> str:
    if not _is_postgresql():
        return ""
    return "FOR UPDATE OF slot" if waits else "FOR UPDATE OF slot SKIP LOCKED"


def _first(where: str, order: str, *, is_draw: bool = False) -> str:
    """Return the words that pick one row."""
    return f"""SELECT * FROM (
        SELECT slot.id, {int(is_draw)} AS is_draw FROM review_reviewslot AS slot
        WHERE {where} ORDER BY {order} LIMIT 1 {_locked(waits=is_draw)}
    ) AS {"drawn" if is_draw else "queued"}"""


def _lease(picked: str, *, stream: Stream) -> str:
    """Return the words that lease the rows that `picked` (id, is_draw) gives.

    Without a value for `token` each row gets a new one.
    """
    if _is_postgresql():
        # A draw counts from before it chose, another look from after: so no draw seems to come
        # after a look whose choice could have seen it (docs/certificate.md).
        now = "CASE WHEN picked.is_draw = 1 THEN statement_timestamp() ELSE clock_timestamp() END"
        expires = "statement_timestamp() + %(minutes)s * interval '1 minute'"
        fresh = "gen_random_uuid()"
    else:
        now = "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')"
        expires = "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', '+' || %(minutes)s || ' minutes')"
        fresh = "lower(hex(randomblob(16)))"
    return f"""
        WITH picked AS ({picked})
        UPDATE review_reviewslot SET
            state = 'leased', reviewer_id = %(me)s, lease_token = COALESCE(%(token)s, {fresh}),
            lease_expires_at = {expires}, batch = %(batch)s, decision_id = NULL,
            handed_at = COALESCE(handed_at, {now}),
            stream = CASE WHEN picked.is_draw = 1 THEN '{stream.value}' ELSE stream END,
            guideline_version = (
                SELECT guideline_version FROM catalog_labelclass
                WHERE catalog_labelclass.id = review_reviewslot.label_class_id
            )
        FROM picked WHERE review_reviewslot.id = picked.id
        RETURNING review_reviewslot.id, image_id, stream
    """


def _leasing(pool: Pool) -> dict[str, Any]:
    return {**pool.params, "minutes": pool.dataset.policy.lease_minutes}


def _run(words: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    with planned_cursor() as cursor:
        cursor.execute(words, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _uuid(value: uuid.UUID | None) -> str | None:
    """Return a UUID as this database stores it."""
    if value is None:
        return None
    return str(value) if _is_postgresql() else value.hex


# --- One look -------------------------------------------------------------------


def claim(pool: Pool, *, is_by_lot: bool = False) -> Claim | None:
    """Lease the next look; None where none is left. One query.

    What is owed comes first, in a lane of its own; then, if `is_by_lot`, the lowest lot that
    nobody was handed; then the queue in its order.
    """
    free = f"{pool.scope} AND {FREE} AND {UNSEEN}"
    picks = [_first(free, IN_ORDER)]
    if is_by_lot and pool.classes and _owe_foreign_draw(pool):
        is_by_lot = False
    if is_by_lot:
        owed = _first(f"{free} AND slot.lane = {Lane.OWED.value}", IN_ORDER)
        drawn = _first(
            f"{pool.scope} AND {UNDRAWN} AND {UNSEEN}", "slot.lottery, slot.id", is_draw=True
        )
        picks = [owed, drawn, *picks]
    return _one(pool, f"{' UNION ALL '.join(picks)} LIMIT 1")


def _owe_foreign_draw(pool: Pool) -> bool:
    """Draw by lot for a reviewer of some classes; return whether it fell on another class.

    The draw is made from all images, or it would not be uniform: what falls on a class that is
    not theirs is drawn all the same, and owed by those who may judge it.
    """
    now = "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')"
    if _is_postgresql():
        now = "statement_timestamp()"
    picked = _first(
        f"slot.dataset_id = %(dataset)s AND {UNDRAWN}", "slot.lottery, slot.id", is_draw=True
    )
    words = f"""
        WITH picked AS ({picked})
        UPDATE review_reviewslot
        SET handed_at = {now}, stream = '{Stream.AUDIT.value}', lane = {Lane.OWED.value}
        FROM picked WHERE review_reviewslot.id = picked.id
        AND label_class_id NOT IN ({_numbers(pool.classes)})
        RETURNING review_reviewslot.id
    """
    return bool(_run(words, pool.params))


def claim_own_skipped(pool: Pool, until: int) -> Claim | None:
    """Lease what the reviewer skipped first, up to the decision `until`; None if none is left."""
    picked = f"""
        SELECT slot.id, 0 AS is_draw FROM review_reviewslot AS slot
        JOIN review_decision AS skip ON skip.client_token = slot.decision_id
        WHERE slot.reviewer_id = %(me)s AND slot.dataset_id = %(dataset)s
        AND slot.state = 'skipped' AND slot.purpose <> 'settle' AND skip.id <= {until:d}
        ORDER BY skip.id LIMIT 1 {_locked()}
    """
    return _one(pool, picked)


def _one(pool: Pool, picked: str) -> Claim | None:
    token = uuid.uuid4()
    words = _lease(picked, stream=Stream.AUDIT)
    rows = _run(words, {**_leasing(pool), "token": _uuid(token), "batch": None})
    if not rows:
        return None
    slot, image, stream = rows[0]
    return Claim(slot, image, token, is_audit=stream == Stream.AUDIT.value)


def peek(pool: Pool, *, shown: int) -> set[int]:
    """Return the images which will most likely come. One query; nothing is locked or reserved.

    The next in the queue, and the next two by lot, so that an audit loads no slower than others.
    """
    free = f"{pool.scope} AND {FREE} AND {UNSEEN}"
    drawn = f"{pool.scope} AND {UNDRAWN} AND {UNSEEN}"
    words = f"""
        SELECT * FROM (SELECT slot.image_id FROM review_reviewslot AS slot
            WHERE {free} ORDER BY {IN_ORDER} LIMIT {shown:d}) AS queued
        UNION ALL
        SELECT * FROM (SELECT slot.image_id FROM review_reviewslot AS slot
            WHERE {drawn} ORDER BY slot.lottery, slot.id LIMIT 2) AS drawn
    """
    return {image for (image,) in _run(words, pool.params)}


# --- Answers --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """A look that a reviewer has just answered, with what its decision copies from it."""

    token: uuid.UUID
    image: int
    round: int
    stream: str
    purpose: str
    batch: uuid.UUID | None
    guideline_version: int


def answer(
    dataset: Dataset, reviewer: User, tokens: Sequence[uuid.UUID], *, is_final: bool
) -> list[Answered]:
    """Close the looks that carry `tokens` and are this person's; return them. One query.

    A look is theirs while they hold it, and after its lease ran out until somebody else is
    handed it. The caller writes the decisions, whose tokens stand in the looks by then.
    """
    state, lane = "decided", "lane"
    if not is_final:
        state = "skipped"
        lane = f"CASE WHEN lottery IS NULL THEN {Lane.ASIDE.value} ELSE {Lane.OWED.value} END"
    names = [f"token_{number}" for number in range(len(tokens))]
    words = f"""
        UPDATE review_reviewslot SET
            state = '{state}', decision_id = lease_token, lane = {lane},
            lease_token = NULL, lease_expires_at = NULL
        WHERE lease_token IN ({", ".join(f"%({name})s" for name in names)})
        AND reviewer_id = %(me)s AND dataset_id = %(dataset)s
        AND state IN ('leased', 'waiting')
        RETURNING decision_id, image_id, round, stream, purpose, batch, guideline_version
    """
    values = dict(zip(names, map(_uuid, tokens), strict=True))
    rows = _run(words, {"me": reviewer.pk, "dataset": dataset.pk, **values})
    return [
        Answered(_as_uuid(token), image, turn, stream, purpose, batch and _as_uuid(batch), version)
        for token, image, turn, stream, purpose, batch, version in rows
    ]


def write_decisions(decisions: Sequence[Decision]) -> None:
    """Write new decisions and give them their keys. One query.

    What bulk_create does, without turning the model into SQL each time: this is the hot path.
    """
    if not decisions:
        return
    fields = [field for field in Decision._meta.concrete_fields if field.name not in GIVEN]
    names = ", ".join(str(field.column) for field in fields)
    row = f"({_gaps(fields)})"
    values = [
        field.get_db_prep_save(getattr(decision, field.attname), connection)
        for decision in decisions
        for field in fields
    ]
    words = f"""
        INSERT INTO review_decision ({names})
        VALUES {", ".join([row] * len(decisions))} RETURNING id
    """
    with planned_cursor() as cursor:
        cursor.execute(words, values)
        for decision, (pk,) in zip(decisions, cursor.fetchall(), strict=True):
            decision.pk = pk
            decision._state.adding = False
            decision._state.db = connection.alias


def _as_uuid(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)


def replace_answer(slot: int, old: Decision, new: Decision) -> bool:
    """Let `new` stand in the look in the place of `old`; False where `old` stands no more."""
    changes: dict[str, Any] = {"state": SlotState.DECIDED, "decision_id": new.client_token}
    if new.verdict not in FINAL_VERDICTS:
        changes["state"] = SlotState.SKIPPED
        changes["lane"] = Case(
            When(lottery__isnull=False, then=Value(Lane.OWED.value)),
            default=Value(Lane.ASIDE.value),
        )
    return bool(
        ReviewSlot.objects.filter(pk=slot, decision=old, reviewer=old.reviewer_id).update(**changes)
    )


def count_verdict(images: Sequence[int], verdict: str, *, by: int) -> None:
    """Count one verdict more or less for each image, and derive its state. One query.

    It reads the image's own row only, so that of two people who answer at once the second sees
    what the first said. What was put aside stays so.
    """
    approvals, rejections = (by, 0) if verdict == Verdict.APPROVE else (0, by)
    _run_silently(
        f"""
        UPDATE review_imagereview SET
            approvals = approvals + {approvals:d}, rejections = rejections + {rejections:d},
            state = {_state(f"approvals + {approvals:d}", f"rejections + {rejections:d}")}
        WHERE image_id IN ({_gaps(images)})
        """,
        images,
    )


def _state(approvals: str, rejections: str, adjudicated: str = "adjudicated") -> str:
    """Return the words for an image's state, from what will stand in its row.

    An adjudicator's word stands above the count, once all looks are in.
    """
    return f"""CASE
        WHEN state = 'removed' THEN state
        WHEN {approvals} + {rejections} < looks THEN 'pending'
        WHEN {adjudicated} = 'approve' THEN 'approved'
        WHEN {adjudicated} = 'reject' THEN 'rejected'
        WHEN {approvals} = 0 THEN 'rejected'
        WHEN {rejections} = 0 AND NOT wants_adjudicator THEN 'approved'
        ELSE 'disputed'
    END"""


def adjudicate(images: Sequence[int], verdict: str) -> None:
    """Let an adjudicator's word stand on each image; an empty one takes it back. One query."""
    word = f"'{Verdict(verdict).value}'" if verdict else "''"
    _run_silently(
        f"""
        UPDATE review_imagereview SET adjudicated = {word},
            state = {_state("approvals", "rejections", word)}
        WHERE image_id IN ({_gaps(images)})
        """,
        images,
    )


def _run_silently(words: str, values: Sequence[Any]) -> None:
    with planned_cursor() as cursor:
        cursor.execute(words, values)


# --- Several looks ----------------------------------------------------------------


def claim_draws(pool: Pool, count: int, batch: uuid.UUID) -> int:
    """Lease the `count` lowest lots of one class and technique; returns how many there were."""
    picked = f"""
        SELECT slot.id, 1 AS is_draw FROM review_reviewslot AS slot
        WHERE {pool.scope} AND {UNDRAWN} AND {UNSEEN}
        ORDER BY slot.class_lottery, slot.id LIMIT {count:d} {_locked(waits=True)}
    """
    return _several(pool, picked, batch, Stream.CLASS_AUDIT)


def claim_these(pool: Pool, slots: Sequence[int], batch: uuid.UUID) -> int:
    """Lease those of `slots` that are still free; returns how many."""
    if not slots:
        return 0
    picked = f"""
        SELECT slot.id, 0 AS is_draw FROM review_reviewslot AS slot
        WHERE slot.id IN ({_numbers(slots)}) AND {FREE} AND {UNSEEN}
        ORDER BY slot.id {_locked()}
    """
    return _several(pool, picked, batch, Stream.TARGETED)


def _several(pool: Pool, picked: str, batch: uuid.UUID, stream: Stream) -> int:
    words = _lease(picked, stream=stream)
    return len(_run(words, {**_leasing(pool), "token": None, "batch": _uuid(batch)}))


def candidates(pool: Pool, *, limit: int) -> list[Candidate]:
    """Return the next looks of the pool in the queue's order, with what makes them alike.

    Until the transaction ends others step over them: two pages at once are two pages.
    """
    words = f"""
        SELECT slot.id, slot.image_id, slot.prompt_id, image.family
        FROM (
            SELECT slot.* FROM review_reviewslot AS slot
            WHERE {pool.scope} AND {FREE} AND {UNSEEN}
            ORDER BY {IN_ORDER} LIMIT {limit:d} {_locked()}
        ) AS slot
        JOIN generation_generatedimage AS image ON image.id = slot.image_id
        ORDER BY {IN_ORDER}
    """
    return [
        Candidate(slot, image, tuple(kin for kin in (prompt, family) if kin is not None))
        for slot, image, prompt, family in _run(words, pool.params)
    ]


def first_prompts(pool: Pool) -> list[int]:
    """Return the prompts of the next looks, in the queue's order, each once."""
    words = f"""
        SELECT slot.prompt_id FROM review_reviewslot AS slot
        WHERE {pool.scope} AND {FREE} AND {UNSEEN} ORDER BY {IN_ORDER} LIMIT {PROMPTS_AHEAD}
    """
    return list(dict.fromkeys(row[0] for row in _run(words, pool.params) if row[0]))


def of_prompts(pool: Pool, prompts: Sequence[int]) -> list[Sibling]:
    """Return the free looks of some prompts, in the queue's order."""
    if not prompts:
        return []
    words = f"""
        SELECT slot.id, slot.image_id, slot.prompt_id FROM review_reviewslot AS slot
        WHERE slot.prompt_id IN ({_numbers(prompts)}) AND slot.dataset_id = %(dataset)s
        AND {FREE} AND {UNSEEN} ORDER BY {IN_ORDER}
    """
    return [Sibling(*row) for row in _run(words, pool.params)]


def _gaps(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(f"{number:d}" for number in numbers)
