"""RANK it: what each scorer says of each image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q

from synthreview.catalog.models import Dataset, ReferenceImage
from synthreview.generation.models import GeneratedImage
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.techniques import WRITTEN
from synthreview.spending.limits import Limits
from synthreview.spending.models import PaidWork
from synthreview.work.models import OPEN_STATES, DurableWork, WorkState

MAIN_SCORER = "clip"  # the alias whose score orders the queue
QUESTIONS = "vqa"  # the alias of the judge that asks, at a price
UNREADABLE = "The file cannot be read"  # how the note of such an image begins


class ScorerVersionQuerySet(models.QuerySet["ScorerVersion"]):
    def current(self, alias: str = MAIN_SCORER) -> ScorerVersion | None:
        """Return the version that a worker registered last, or None before the first."""
        return self.filter(alias=alias).order_by("-registered_at", "-pk").first()

    def in_force(self, dataset: int, alias: str = MAIN_SCORER) -> ScorerVersion | None:
        """Return the newest version that has gone over the whole dataset once.

        While a new model is still at work there, the one before it stays; before any, the newest.
        """
        passes = ScoringPass.objects.filter(
            dataset=dataset, version=OuterRef("pk"), state=WorkState.DONE
        )
        versions = self.filter(alias=alias).order_by("-registered_at", "-pk")
        return versions.filter(Exists(passes)).first() or versions.first()

    def in_use(self) -> list[ScorerVersion]:
        """Return the current version of every judge that is configured, the main one first.

        A judge that was taken out of SCORERS gets no new images; its scores stay.
        """
        newest: dict[str, ScorerVersion] = {}
        configured = self.filter(alias__in=settings.SCORERS)
        for version in configured.order_by("-registered_at", "-pk"):
            newest.setdefault(version.alias, version)
        return sorted(
            newest.values(), key=lambda version: (version.alias != MAIN_SCORER, version.alias)
        )


class ScorerVersion(models.Model):
    """One model that gives scores, told apart by its weights and its preprocessing.

    A worker registers it when it loads the model; the web process only reads it.
    """

    alias = models.CharField(max_length=60)
    name = models.CharField(max_length=120)
    model = models.CharField(max_length=200)
    tag = models.CharField(max_length=200, blank=True)
    weights_sha256 = models.CharField(max_length=64)
    preprocessing = models.CharField(max_length=200)
    applies_to = models.JSONField(default=list, blank=True)
    registered_at = models.DateTimeField()

    objects = ScorerVersionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["alias", "model", "tag", "weights_sha256", "preprocessing"],
                name="scoring_version_once",
            )
        ]

    def __str__(self) -> str:
        model = f"{self.model} {self.tag}".strip()
        return model if model.startswith(self.name) else f"{self.name} ({model})"

    def applies(self, image: GeneratedImage) -> bool:
        """Say whether this scorer knows such images at all."""
        return not self.applies_to or image.generator in self.applies_to


class Score(models.Model):
    """One scorer's word on one image.

    Where `applies` is false nothing was measured, `note` says why, and no order or
    acceptance may rest on it. `value` orders the queue, low = doubtful.
    """

    image = models.ForeignKey(GeneratedImage, on_delete=models.CASCADE, related_name="scores")
    version = models.ForeignKey(ScorerVersion, on_delete=models.PROTECT, related_name="+")
    applies = models.BooleanField(default=True)
    note = models.CharField(max_length=300, blank=True)
    value = models.FloatField(null=True)
    similarity = models.FloatField(null=True)
    match = models.FloatField(null=True)
    parts = models.JSONField(default=dict)
    class_probability = models.FloatField(null=True)
    class_margin = models.FloatField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["image", "version"], name="scoring_score_once"),
            models.CheckConstraint(
                name="scoring_score_value_iff_applies",
                condition=Q(applies=True, value__isnull=False)
                | Q(applies=False, value__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"score of {self.image_id}"

    @property
    def weakest_part(self) -> str:
        """The slot that fits worst: what a reviewer should look at first."""
        return min(self.parts, key=self.parts.__getitem__) if self.parts else ""


class Embedding(models.Model):
    """An image's place in a scorer's space: float16, little-endian, length 1."""

    image = models.ForeignKey(GeneratedImage, on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey(ScorerVersion, on_delete=models.CASCADE, related_name="+")
    vector = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["image", "version"], name="scoring_embedding_once")
        ]

    def __str__(self) -> str:
        return f"embedding of {self.image_id}"


class Misreading(models.Model):
    """What a scorer took a picture for before and after a word was put on it.

    `class_…` is one of the dataset's classes or the word itself; `is_fooled` says that the word
    moved it to what is neither what it was taken for before nor its label.
    """

    image = models.ForeignKey(GeneratedImage, on_delete=models.CASCADE, related_name="misreadings")
    version = models.ForeignKey(ScorerVersion, on_delete=models.PROTECT, related_name="+")
    word = models.CharField(max_length=40)
    class_before = models.CharField(max_length=120)
    chance_before = models.FloatField()
    class_after = models.CharField(max_length=120)
    chance_after = models.FloatField()
    is_fooled = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["image", "version"], name="scoring_misreading_once"),
            models.CheckConstraint(
                name="scoring_misreading_chances",
                condition=Q(
                    chance_before__gte=0,
                    chance_before__lte=1,
                    chance_after__gte=0,
                    chance_after__lte=1,
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"misreading of {self.image_id}"

    @property
    def is_read(self) -> bool:
        """It was taken for the very word: read, and not merely disturbed."""
        return self.class_after.casefold() == self.word.casefold()


class Fingerprint(models.Model):
    """The perceptual hash of a stored original, computed once; null: it has too little contrast.

    Sixty-four bits as a signed number, because databases know no other.
    """

    sha256 = models.CharField(max_length=64, primary_key=True)
    bits = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"fingerprint of {self.sha256[:12]}"


class LookalikeKind(models.TextChoices):
    """How a picture was told to be all but a copy; NONE: it was compared, and is like no other."""

    NONE = "none", "like no other"
    COPY = "copy", "the same file"
    LOOK = "look", "hardly to be told apart"
    CLIP = "clip", "much alike, to CLIP too"


class LookalikeQuerySet(models.QuerySet["Lookalike"]):
    def found(self) -> Self:
        """Return the rows that say of what a picture is all but a copy."""
        return self.exclude(kind=LookalikeKind.NONE)

    def ends(self) -> Iterator[tuple[tuple[bool, int], tuple[bool, int]]]:
        """Yield both pictures of each row as (is a reference, primary key)."""
        rows = self.order_by("pk").values_list("image", "reference", "of_image", "of_reference")
        for image, reference, of_image, of_reference in rows.iterator(chunk_size=5_000):
            yield (image is None, image or reference), (of_image is None, of_image or of_reference)


class Lookalike(models.Model):
    """What a picture of a dataset is all but a copy of, told when it arrived.

    Every picture that was compared has a row; one that is near several groups of older ones has a
    row for each, so that the rows connect all that belongs together, and no more. `hash` is the
    perceptual hash of the picture itself, `bits` how many of it differ.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    image = models.ForeignKey(
        GeneratedImage, null=True, on_delete=models.CASCADE, related_name="lookalikes"
    )
    reference = models.ForeignKey(
        ReferenceImage, null=True, on_delete=models.CASCADE, related_name="+"
    )
    of_image = models.ForeignKey(
        GeneratedImage, null=True, on_delete=models.CASCADE, related_name="+"
    )
    of_reference = models.ForeignKey(
        ReferenceImage, null=True, on_delete=models.CASCADE, related_name="+"
    )
    kind = models.CharField(max_length=8, choices=LookalikeKind)
    hash = models.BigIntegerField(null=True)
    bits = models.PositiveSmallIntegerField(null=True)
    cosine = models.FloatField(null=True)

    objects = LookalikeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["image", "of_image"], name="scoring_lookalike_images_once"
            ),
            models.UniqueConstraint(
                fields=["image", "of_reference"], name="scoring_lookalike_reference_once"
            ),
            models.CheckConstraint(
                name="scoring_lookalike_of_one_picture",
                condition=Q(image__isnull=False, reference__isnull=True)
                | Q(image__isnull=True, reference__isnull=False),
            ),
            models.CheckConstraint(
                name="scoring_lookalike_names_the_other",
                condition=Q(
                    kind=LookalikeKind.NONE, of_image__isnull=True, of_reference__isnull=True
                )
                | Q(~Q(kind=LookalikeKind.NONE), of_image__isnull=False, of_reference__isnull=True)
                | Q(~Q(kind=LookalikeKind.NONE), of_image__isnull=True, of_reference__isnull=False),
            ),
            models.CheckConstraint(
                name="scoring_lookalike_kind_known", condition=Q(kind__in=LookalikeKind.values)
            ),
        ]
        indexes = [
            # Serves the worker that reads what others have compared since.
            models.Index(fields=["dataset", "id"], name="scoring_lookalike_new"),
            # Serves the page of a dataset's lookalikes.
            models.Index(
                fields=["dataset", "-image"],
                name="scoring_lookalike_found",
                condition=~Q(kind=LookalikeKind.NONE),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.image_id or self.reference_id}: {self.get_kind_display()}"


class ScoringPass(DurableWork):
    """One walk over a dataset's images that the current model has not scored yet."""

    QUEUE = "scoring"
    JOB = "synthreview.scoring.jobs.score"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey(ScorerVersion, on_delete=models.CASCADE, related_name="+")
    scored_count = models.PositiveIntegerField(default=0)

    class Meta(DurableWork.Meta):
        constraints = [
            *DurableWork.Meta.constraints,
            # Two planners at once plan once.
            models.UniqueConstraint(
                fields=["dataset", "version"],
                condition=Q(state__in=OPEN_STATES),
                name="scoring_pass_one_open",
            ),
        ]

    def __str__(self) -> str:
        return f"scoring of {self.dataset}"


class CaptionVector(models.Model):
    """A caption's place in a scorer's space: float16, little-endian, length 1.

    None where the scorer does not know all its words. `text_key` tells whether it was changed.
    """

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey(ScorerVersion, on_delete=models.CASCADE, related_name="+")
    text_key = models.CharField(max_length=4000)
    vector = models.BinaryField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["prompt", "version"], name="scoring_captionvector_once")
        ]

    def __str__(self) -> str:
        return f"caption vector of {self.prompt_id}"


class CaptionPass(DurableWork):
    """One walk over captions of a dataset that were not compared by meaning yet."""

    QUEUE = "scoring"
    JOB = "synthreview.scoring.caption_jobs.compare"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey(ScorerVersion, on_delete=models.CASCADE, related_name="+")
    compared_count = models.PositiveIntegerField(default=0)

    class Meta(DurableWork.Meta):
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(
                fields=["dataset", "version"],
                condition=Q(state__in=OPEN_STATES),
                name="scoring_captionpass_one_open",
            ),
        ]

    def __str__(self) -> str:
        return f"comparison of captions of {self.dataset}"


def uncompared(version: ScorerVersion) -> models.QuerySet[Prompt]:
    """Return the captions to be drawn that this version has not compared as they are now."""
    there = CaptionVector.objects.filter(
        prompt=OuterRef("pk"), version=version, text_key=OuterRef("text_key")
    )
    rows = Prompt.objects.filter(technique__in=WRITTEN).exclude(state=PromptState.RETIRED)
    return rows.filter(~Exists(there))


def unscored(version: ScorerVersion) -> models.QuerySet[GeneratedImage]:
    """Return the images that generation left and this version has not scored."""
    scores = Score.objects.filter(image=OuterRef("pk"), version=version)
    return GeneratedImage.objects.filter(~Exists(scores))


class QuestionCall(PaidWork):
    """One image that a vision model is asked about, on record before the question leaves.

    Ends DONE with a Score. One per image and version: nothing is asked, or paid, twice.
    """

    QUEUE = "prompting"  # whose workers talk to language models
    JOB = "synthreview.scoring.questioning.ask"
    ONE_JOB = "synthreview.scoring.questioning.ask_one"

    image = models.ForeignKey(GeneratedImage, on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey(ScorerVersion, on_delete=models.PROTECT, related_name="+")

    class Meta(PaidWork.Meta):
        constraints = [
            *PaidWork.Meta.constraints,
            models.UniqueConstraint(fields=["image", "version"], name="scoring_question_once"),
        ]

    def __str__(self) -> str:
        return f"question about {self.image_id}"

    @property
    def payer_id(self) -> int:
        return self.image.dataset_id

    @property
    def asked_for(self) -> str:
        return f"Image {self.image_id}: {self.image.caption}"

    @property
    def service(self) -> str:
        return f"scorer:{self.version.alias}"

    @property
    def limits(self) -> Limits:
        return Limits.of(settings.SCORERS.get(self.version.alias))

    @classmethod
    def running_for(cls, service: str) -> int:
        alias = service.removeprefix("scorer:")
        return cls.objects.filter(state=WorkState.RUNNING, version__alias=alias).count()


# At the end, because it stands on nothing above: Django finds an app's rows through this module.
from synthreview.scoring.probe_models import Probe as Probe  # noqa: E402
from synthreview.scoring.probe_models import ProbeGroup as ProbeGroup  # noqa: E402
from synthreview.scoring.probe_models import ProbeLabel as ProbeLabel  # noqa: E402
from synthreview.scoring.probe_models import ProbePass as ProbePass  # noqa: E402
from synthreview.scoring.probe_models import ProbeReading as ProbeReading  # noqa: E402
