"""What images cost, by class, technique and generator; and what their captions cost, by author."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Count, Q, Sum

from synthreview.catalog.models import Dataset
from synthreview.generation.models import Call, GeneratedImage
from synthreview.generation.services import generator
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.prompting.models import Prompt, WritingCall
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.review.models import ImageState
from synthreview.scoring.models import QuestionCall
from synthreview.work.models import OPEN_STATES, WorkState


@dataclass(slots=True)
class Cost:
    """What one class, technique or generator cost. Money in millionths of a dollar."""

    name: str
    billed: int = 0
    unknown: int = 0
    images: int = 0
    approved: int = 0

    @property
    def per_image(self) -> int | None:
        return round(self.billed / self.images) if self.images else None

    @property
    def per_approved(self) -> int | None:
        return round(self.billed / self.approved) if self.approved else None


BY = {
    "Class": ("prompt__label_class__name", "label_class__name"),
    "Technique": ("prompt__technique", "technique"),
    "Generator": ("run__generator", "run__generator"),
}


def costs_of(dataset: Dataset) -> dict[str, list[Cost]]:
    """Return the costs by class, technique and generator, the dearest first.

    Two queries each, whatever the size. Imported images cost nothing and are left out.
    """
    return {title: _by(dataset, *fields, NAMES[title]) for title, fields in BY.items()}


def _generator_name(alias: str) -> str:
    try:
        return generator(alias).title
    except UnknownAdapterError:  # one that was removed since
        return alias


NAMES: dict[str, Callable[[str], str]] = {
    "Class": str,
    "Technique": lambda key: TECHNIQUES[key].title,
    "Generator": _generator_name,
}


@dataclass(frozen=True, slots=True)
class CaptionCost:
    """What one author's captions cost; money in millionths of a dollar.

    `cost_is_known` is false where tokens were used and no price was known.
    """

    author: str
    billed: int
    unknown: int
    tokens: int
    captions: int
    cost_is_known: bool

    @property
    def per_caption(self) -> int | None:
        return round(self.billed / self.captions) if self.captions else None


def caption_costs(dataset: Dataset) -> list[CaptionCost]:
    """Return what language models' captions cost, the dearest first; two queries."""
    captions = Prompt.objects.filter(writing__dataset=dataset, writing__calls__isnull=False)
    kept = dict(
        captions.order_by().values_list("writing__author").annotate(Count("pk", distinct=True))
    )
    rows = WritingCall.objects.filter(writing__dataset=dataset).order_by()
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    priceless = set()
    for author, state, billed, estimated, usage in rows.values_list(
        "writing__author", "state", "billed_micro_usd", "estimated_micro_usd", "usage"
    ).iterator():
        sums = found[author]
        sums[0] += billed
        sums[1] += estimated if state == WorkState.UNKNOWN else 0
        sums[2] += usage.get("tokens_in", 0) + usage.get("tokens_out", 0)
        if not usage.get("cost_is_known", True):
            priceless.add(author)
    costs = [
        CaptionCost(author, billed, unknown, tokens, kept.get(author, 0), author not in priceless)
        for author, (billed, unknown, tokens) in found.items()
    ]
    return sorted(costs, key=lambda cost: (-cost.billed, cost.author))


@dataclass(frozen=True, slots=True)
class QuestionCost:
    """What asking one vision model about images cost; money in millionths of a dollar."""

    model: str
    asked: int
    billed: int
    unknown: int
    waiting: int

    @property
    def per_image(self) -> int | None:
        return round(self.billed / self.asked) if self.asked else None


def question_costs(dataset: Dataset) -> list[QuestionCost]:
    """Return what questions to vision models cost, by model; one query."""
    rows = (
        QuestionCall.objects.filter(image__dataset=dataset)
        .order_by("version__model")
        .values("version__model")
        .annotate(
            asked=Count("pk", filter=Q(state=WorkState.DONE)),
            billed=Sum("billed_micro_usd"),
            unknown=Sum("estimated_micro_usd", filter=Q(state=WorkState.UNKNOWN), default=0),
            waiting=Count("pk", filter=Q(state__in=OPEN_STATES)),
        )
    )
    return [QuestionCost(row.pop("version__model"), **row) for row in rows]


def _by(dataset: Dataset, of_call: str, of_image: str, name: Callable[[str], str]) -> list[Cost]:
    found: dict[str, Cost] = defaultdict(lambda: Cost(""))
    calls = Call.objects.filter(run__dataset=dataset).order_by().values(of_call)
    for row in calls.annotate(
        billed=Sum("billed_micro_usd"),
        unknown=Sum("estimated_micro_usd", filter=Q(state=WorkState.UNKNOWN), default=0),
    ):
        found[row[of_call]].billed = row["billed"]
        found[row[of_call]].unknown = row["unknown"]
    images = GeneratedImage.objects.filter(dataset=dataset, call__isnull=False)
    for row in (
        images.order_by()
        .values(of_image)
        .annotate(
            number=Count("pk"), approved=Count("pk", filter=Q(review__state=ImageState.APPROVED))
        )
    ):
        found[row[of_image]].images = row["number"]
        found[row[of_image]].approved = row["approved"]
    for key, cost in found.items():
        cost.name = name(key)
    return sorted(found.values(), key=lambda cost: (-cost.billed, cost.name))
