"""Questions to a vision model: whom to ask about, within the policy and the budget, and the job.

Each image's question is a paid call on record (spending.PaidWork). The policy says what share of
the images is asked about: the most doubtful by the main score, or a sample.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from PIL import Image

from synthreview.catalog.models import Dataset, QualityPolicy
from synthreview.catalog.storage import blobs
from synthreview.generation.models import GeneratedImage
from synthreview.lib.images import BadImageError, decode
from synthreview.lib.money import micro_usd
from synthreview.lib.outcomes import PermanentError
from synthreview.scoring.models import QUESTIONS, QuestionCall, Score, ScorerVersion
from synthreview.scoring.scorers.base import ScoreRequest
from synthreview.scoring.scorers.vqa import VqaScorer
from synthreview.scoring.services import scorer
from synthreview.spending.performing import perform
from synthreview.spending.services import OverBudgetError, reserve
from synthreview.work.services import enqueue_on_commit

LEASE_S = 300
SHIFT_S = 10.0  # one message asks for so long: a job per question would spend its time on forks
AHEAD = 40  # calls of one dataset that are planned at once: a change of policy is felt soon
NOTHING = Image.new("RGB", (1, 1))


# --- Planning -------------------------------------------------------------------------


def plan_questions() -> int:
    """Plan questions for every dataset whose policy asks for some; returns how many.

    Safe to repeat, and twice at once: one call per image and version.
    """
    version = ScorerVersion.objects.current(QUESTIONS)
    main = ScorerVersion.objects.current()
    if version is None or main is None or QUESTIONS not in {v.alias for v in _configured()}:
        return 0
    policies = QualityPolicy.objects.filter(asked_share__gt=0).select_related("dataset")
    return sum(_plan(policy, version, main) for policy in policies)


def _configured() -> list[ScorerVersion]:
    return ScorerVersion.objects.in_use()


def _plan(policy: QualityPolicy, version: ScorerVersion, main: ScorerVersion) -> int:
    calls = QuestionCall.objects.filter(image__dataset=policy.dataset, version=version)
    room = AHEAD - calls.open().count()
    if room <= 0:
        return 0
    asked = 0
    for image in _wanted(policy, version, main, room):
        try:
            if not _order(policy.dataset, image, version):
                continue
        except OverBudgetError:  # what is left waits until there is more
            break
        asked += 1
    return asked


def _wanted(
    policy: QualityPolicy, version: ScorerVersion, main: ScorerVersion, room: int
) -> list[GeneratedImage]:
    """Return images to ask about next, of the share that the policy says."""
    scores = Score.objects.filter(version=main, image__dataset=policy.dataset, applies=True)
    fresh = scores.filter(
        ~Exists(QuestionCall.objects.filter(image=OuterRef("image"), version=version))
    ).select_related("image__label_class", "image__prompt__label_class")
    if policy.asks_doubtful:
        place = round(policy.asked_share * scores.count()) - 1
        if place < 0:
            return []
        cut = scores.order_by("value").values_list("value", flat=True)[place]
        return [score.image for score in fresh.filter(value__lte=cut).order_by("value")[:room]]
    return _sampled(fresh, policy.asked_share, room)


def _sampled(fresh: QuerySet[Score], share: float, room: int) -> list[GeneratedImage]:
    found: list[GeneratedImage] = []
    for score in fresh.order_by("-image").iterator(chunk_size=500):
        if _chance(score.image.sha256) < share:
            found.append(score.image)
        if len(found) == room:
            break
    return found


def _chance(key: str) -> float:
    """Return a number in 0..1 that is always the same for `key` and tells nothing about it."""
    return int.from_bytes(hashlib.sha256(f"ask:{key}".encode()).digest()[:6], "big") / 2**48


@transaction.atomic
def _order(dataset: Dataset, image: GeneratedImage, version: ScorerVersion) -> bool:
    """Put one question on record; False where another planner did. Raises OverBudgetError."""
    estimate = micro_usd(asker().estimate_usd(request_of(image, NOTHING)) or 0)
    call, is_new = QuestionCall.objects.get_or_create(
        image=image, version=version, defaults={"estimated_micro_usd": estimate}
    )
    if is_new:
        reserve(dataset, estimate)
        enqueue_on_commit([call])
    return is_new


def asker() -> VqaScorer:
    """Return the judge that asks. Raises UnknownAdapterError where none is configured."""
    found: Any = scorer(QUESTIONS)
    asks: VqaScorer = found
    return asks


def request_of(image: GeneratedImage, pixels: Image.Image) -> ScoreRequest:
    return ScoreRequest(
        image=pixels,
        caption=image.caption or image.parts["object"],
        parts=image.parts,
        class_texts=[],
        class_index=None,
    )


# --- The worker side ------------------------------------------------------------------


def ask(call_pk: int) -> None:
    """Do the call, then further due calls of its dataset until the shift is over."""
    ends_at = time.monotonic() + SHIFT_S
    ask_one(call_pk)
    dataset = (
        QuestionCall.objects.filter(pk=call_pk).values_list("image__dataset", flat=True).first()
    )
    while time.monotonic() < ends_at:
        due = QuestionCall.objects.due().filter(image__dataset=dataset).order_by("pk")
        next_pk = due.values_list("pk", flat=True).first()
        if next_pk is None:
            return
        ask_one(next_pk)


def ask_one(call_pk: int) -> None:
    """Claim one call and bring it to an end, or give it back for later."""
    calls = QuestionCall.objects.select_related("image__label_class", "image__prompt__label_class")
    perform(calls, call_pk, lease_s=LEASE_S, prepare=_prepare, keep=_keep)


def _prepare(call: QuestionCall) -> Callable[[], dict[str, Any]]:
    try:
        pixels = decode(blobs().read(call.image.sha256)).pixels
    except (BadImageError, FileNotFoundError) as error:
        raise PermanentError(f"The picture cannot be shown: {error}") from error
    judge, request = asker(), request_of(call.image, pixels)

    def send() -> dict[str, Any]:
        answered = judge.ask(request)
        return {
            "cost_micro_usd": micro_usd(answered.usage.cost_usd or 0),
            "usage": {
                "tokens_in": answered.usage.tokens_in,
                "tokens_out": answered.usage.tokens_out,
                "cost_is_known": answered.usage.cost_usd is not None,
            },
            "model": answered.model,
            "is_graded": answered.is_graded,
            "match": answered.result.match,
            "parts": dict(answered.result.parts),
            "value": answered.result.value,
        }

    return send


def _keep(call: QuestionCall, answer: dict[str, Any]) -> Callable[[], None]:
    def write_rows() -> None:
        Score.objects.get_or_create(
            image=call.image,
            version=call.version,
            defaults={
                "value": answer["value"],
                "match": answer["match"],
                "parts": {slot: round(chance, 5) for slot, chance in answer["parts"].items()},
                "note": "" if answer["is_graded"] else "yes or no, without a chance",
            },
        )

    return write_rows
