"""How far datasets have come: the numbers of the home and overview pages.

Each function costs the same few queries at any number of datasets and classes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Count, OuterRef, Q, Subquery, Sum

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.generation.models import GeneratedImage, Run
from synthreview.prompting.models import Prompt, PromptState
from synthreview.review.models import ImageReview, ImageState
from synthreview.scoring.models import Score, ScorerVersion

SHOWN_ON_HOME = 4


@dataclass(slots=True)
class Tally:
    """How many images there are, and what became of them."""

    images: int = 0
    pending: int = 0
    approved: int = 0
    rejected: int = 0
    disputed: int = 0
    removed: int = 0
    target: int = 0

    def __str__(self) -> str:
        return (
            f"{self.approved} approved, {self.rejected} rejected, {self.pending} to review, "
            f"of {self.images} images"
        )

    @property
    def admitted(self) -> int:
        """Images that are, or were, in the queue."""
        return self.pending + self.approved + self.rejected + self.disputed + self.removed

    @property
    def waiting(self) -> int:
        """Images that wait for their score."""
        return max(self.images - self.admitted, 0)

    @property
    def reviewed(self) -> int:
        return self.approved + self.rejected + self.disputed

    @property
    def reviewed_percent(self) -> int:
        return 100 * self.reviewed // self.images if self.images else 0

    @property
    def approved_percent(self) -> int:
        """Approved images as a share of what is wanted, 100 at most."""
        return min(100 * self.approved // self.target, 100) if self.target else 0


@dataclass(slots=True)
class DatasetLine:
    """One dataset on the home page."""

    dataset: Dataset
    tally: Tally
    newest: list[GeneratedImage] = field(default_factory=list)
    class_count: int = 0


def dataset_lines(user: User) -> list[DatasetLine]:
    """Return every dataset that this person may see, with its progress and newest images."""
    newest = GeneratedImage.objects.filter(dataset=OuterRef("pk")).order_by("-pk").values("pk")
    shown = {
        f"newest_{place}": Subquery(newest[place : place + 1]) for place in range(SHOWN_ON_HOME)
    }
    datasets = list(Dataset.objects.visible_to(user).annotate(**shown))
    pks = [dataset.pk for dataset in datasets]
    tallies: defaultdict[int, Tally] = defaultdict(Tally)
    images = GeneratedImage.objects.filter(dataset__in=pks).order_by().values_list("dataset")
    for pk, count in images.annotate(Count("pk")):
        tallies[pk].images = count
    reviews = ImageReview.objects.filter(dataset__in=pks).values_list("dataset", "state")
    for pk, state, count in reviews.annotate(Count("pk")):
        setattr(tallies[pk], state, count)
    classes: Counter[int] = Counter()
    wanted = LabelClass.objects.filter(dataset__in=pks).order_by().values_list("dataset")
    for pk, count, target in wanted.annotate(Count("pk"), Sum("target_count")):
        classes[pk], tallies[pk].target = count, target
    wanted_pks = [[pk for name in shown if (pk := getattr(dataset, name))] for dataset in datasets]
    found = GeneratedImage.objects.in_bulk([pk for row in wanted_pks for pk in row])
    return [
        DatasetLine(dataset, tallies[dataset.pk], [found[pk] for pk in row], classes[dataset.pk])
        for dataset, row in zip(datasets, wanted_pks, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One class on a dataset's overview."""

    label_class: LabelClass
    tally: Tally


@dataclass(frozen=True, slots=True)
class Overview:
    """A dataset at a glance."""

    lines: list[ClassLine]
    total: Tally
    prompts_approved: int
    prompts_drafted: int
    scored: int
    runs_open: list[Run]

    @property
    def is_moving(self) -> bool:
        """Say whether work is open, so that the page should look again."""
        return bool(self.runs_open) or self.total.waiting > 0


def overview_of(dataset: Dataset) -> Overview:
    """Return a dataset's numbers, in all and for each class."""
    classes = list(dataset.classes.all())
    tallies = {pk: Tally(target=target) for pk, target in _targets(classes)}
    images = GeneratedImage.objects.filter(dataset=dataset).order_by().values_list("label_class")
    for pk, count in images.annotate(Count("pk")):
        tallies[pk].images = count
    reviews = ImageReview.objects.filter(dataset=dataset).values_list("image__label_class", "state")
    for pk, state, count in reviews.annotate(Count("pk")):
        setattr(tallies[pk], state, count)
    prompts = Prompt.objects.filter(dataset=dataset).aggregate(
        approved=Count("pk", filter=Q(state=PromptState.APPROVED)),
        drafted=Count("pk", filter=Q(state=PromptState.DRAFT)),
    )
    version = ScorerVersion.objects.current()
    return Overview(
        lines=[ClassLine(label_class, tallies[label_class.pk]) for label_class in classes],
        total=_sum_of(tallies.values()),
        prompts_approved=prompts["approved"],
        prompts_drafted=prompts["drafted"],
        scored=Score.objects.filter(version=version, image__dataset=dataset).count(),
        runs_open=list(Run.objects.active().filter(dataset=dataset)),
    )


def _targets(classes: Iterable[LabelClass]) -> list[tuple[int, int]]:
    return [(label_class.pk, label_class.target_count) for label_class in classes]


def _sum_of(tallies: Iterable[Tally]) -> Tally:
    names = ("images", "target", *ImageState.values)
    rows = list(tallies)
    return Tally(**{name: sum(getattr(row, name) for row in rows) for name in names})
