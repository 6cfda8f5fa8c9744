"""DRAW it: runs, their calls to a generator, and the images that came of them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, OuterRef, Q
from django.urls import reverse

from synthreview.catalog.models import Dataset, LabelClass, ReferenceImage
from synthreview.lib.images import THUMB, VIEW
from synthreview.lib.text import with_article
from synthreview.prompting.models import Prompt
from synthreview.prompting.techniques import TECHNIQUE_CHOICES, TECHNIQUES
from synthreview.spending.limits import Limits
from synthreview.spending.models import PaidWork
from synthreview.work.models import OPEN_STATES, WorkState

if TYPE_CHECKING:
    from synthreview.accounts.models import User


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(dataset__in=Dataset.objects.visible_to(user))

    def active(self) -> Self:
        """Return runs with calls still open."""
        return self.filter(Exists(Call.objects.open().filter(run=OuterRef("pk"))))

    def with_unknown(self) -> Self:
        """Return runs with calls whose outcome a person has to decide."""
        unknown = Call.objects.filter(run=OuterRef("pk"), state=WorkState.UNKNOWN)
        return self.filter(Exists(unknown))


class Run(models.Model):
    """One order of images: which prompts, how many, by which generator.

    It has ended when none of its calls is open.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    generator = models.CharField(max_length=60)
    options = models.JSONField(default=dict, blank=True)
    negative_prompt = models.CharField(max_length=1000, blank=True)
    emulation = models.CharField(max_length=200, blank=True)
    size_px = models.PositiveIntegerField(default=512)
    is_batched = models.BooleanField(default=False)
    seed = models.BigIntegerField(default=0)
    image_count = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="generation_run_number")
        ]

    def __str__(self) -> str:
        return f"{self.dataset} run {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("run", args=[self.dataset.slug, self.number])

    def counts(self) -> dict[str, int]:
        """Return calls and images by state: {"ready": 3, …, "images": 20}."""
        by_state = dict.fromkeys(WorkState.values, 0)
        images = dict.fromkeys(WorkState.values, 0)
        rows = self.calls.order_by().values("state")
        for row in rows.annotate(calls=Count("pk"), wanted=models.Sum("count")):
            by_state[row["state"]] = row["calls"]
            images[row["state"]] = row["wanted"]
        return {
            **by_state,
            "open": sum(by_state[state] for state in OPEN_STATES),
            "images": GeneratedImage.objects.filter(run=self).count(),
            "lost": images[WorkState.FAILED] + images[WorkState.UNKNOWN],
        }


SERVICE = "generator:"


def service_of(alias: str) -> str:
    """Return the name of a generator's gate."""
    return f"{SERVICE}{alias}"


class Call(PaidWork):
    """One request to a generator: its prompt, and for derivations its inputs.

    With a `batch` it is sent by that, and due only once its answer lies in the spool.

    Steps are told by generators that can be watched; all others leave them 0.
    """

    QUEUE = "generation"
    JOB = "synthreview.generation.jobs.draw"
    ONE_JOB = "synthreview.generation.jobs.draw_call"

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="calls")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="+")
    count = models.PositiveSmallIntegerField(default=1)
    seed = models.BigIntegerField(null=True)
    mask_sha256 = models.CharField(max_length=64, blank=True)
    subject = models.CharField(
        max_length=120, blank=True, help_text="What a segmenter finds and the mask keeps."
    )
    batch = models.ForeignKey(
        "generation.CallBatch",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="calls",
    )
    steps_done = models.PositiveIntegerField(default=0)
    steps_total = models.PositiveIntegerField(default=0)

    class Meta(PaidWork.Meta):
        constraints = [
            *PaidWork.Meta.constraints,
            models.CheckConstraint(name="generation_call_count", condition=Q(count__gte=1)),
        ]

    def __str__(self) -> str:
        return f"call {self.pk} of {self.run_id}"

    @property
    def payer_id(self) -> int:
        return self.run.dataset_id

    @property
    def asked_for(self) -> str:
        return f"{self.count} × {self.prompt.text}"

    @property
    def service(self) -> str:
        return service_of(self.run.generator)

    @property
    def limits(self) -> Limits:
        return Limits.of(settings.GENERATORS.get(self.run.generator))

    @classmethod
    def running_for(cls, service: str) -> int:
        alias = service.removeprefix(SERVICE)
        return cls.objects.filter(state=WorkState.RUNNING, run__generator=alias).count()


class InputRole(models.TextChoices):
    SOURCE = "source", "source"
    SUBJECT = "subject", "subject"
    SETTING = "setting", "setting"


class CallInput(models.Model):
    """One image that goes into a call: a parent of every image that comes out.

    It is one of ours or one of the user's own, and ends with neither: it is evidence.
    """

    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="inputs")
    position = models.PositiveSmallIntegerField(default=0)
    role = models.CharField(max_length=10, choices=InputRole, default=InputRole.SOURCE)
    image = models.ForeignKey(
        "GeneratedImage", null=True, on_delete=models.PROTECT, related_name="children_calls"
    )
    reference = models.ForeignKey(
        ReferenceImage, null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["call", "position"], name="generation_input_position"),
            models.CheckConstraint(
                name="generation_input_is_one_image",
                condition=Q(image__isnull=False, reference__isnull=True)
                | Q(image__isnull=True, reference__isnull=False),
            ),
            models.CheckConstraint(
                name="generation_input_role_known", condition=Q(role__in=InputRole.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} of call {self.call_id}"

    @property
    def source(self) -> GeneratedImage | ReferenceImage:
        """The image itself."""
        found = self.image or self.reference
        assert found is not None, "a constraint holds that it is one of both"
        return found


class GeneratedImageQuerySet(models.QuerySet["GeneratedImage"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(dataset__in=Dataset.objects.visible_to(user))


class GeneratedImage(models.Model):
    """One picture, drawn or brought in, with the label it is meant to have.

    Its bytes lie under `sha256`; images of one `family` never part in a split.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+")
    call = models.ForeignKey(Call, null=True, on_delete=models.PROTECT, related_name="images")
    position = models.PositiveSmallIntegerField(default=0)
    label_class = models.ForeignKey(LabelClass, on_delete=models.PROTECT, related_name="+")
    prompt = models.ForeignKey(Prompt, null=True, on_delete=models.PROTECT, related_name="+")
    technique = models.CharField(max_length=20, choices=TECHNIQUE_CHOICES, default="plain")
    caption = models.TextField(blank=True)
    generator = models.CharField(max_length=60)
    model = models.CharField(max_length=120, blank=True)
    model_version = models.CharField(max_length=120, blank=True)
    seed = models.BigIntegerField(null=True)
    revised_prompt = models.TextField(blank=True)
    facts = models.JSONField(default=dict, blank=True)
    source_name = models.CharField(max_length=400, blank=True)
    sha256 = models.CharField(max_length=64)
    media_type = models.CharField(max_length=20)
    byte_count = models.PositiveBigIntegerField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    family = models.UUIDField(default=uuid.uuid4, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = GeneratedImageQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["call", "position"], name="generation_image_once"),
            # An import that is run twice brings in nothing twice.
            models.UniqueConstraint(
                fields=["dataset", "sha256"],
                condition=Q(call__isnull=True),
                name="generation_image_imported_once",
            ),
            models.CheckConstraint(
                name="generation_image_technique_known",
                condition=Q(technique__in=list(TECHNIQUES)),
            ),
        ]
        indexes = [
            # Serves the gallery: newest first, of a dataset and of one of its classes.
            models.Index(fields=["dataset", "-id"], name="generation_image_newest"),
            models.Index(fields=["label_class", "-id"], name="generation_image_of_class"),
            # Serves the search for the same file twice.
            models.Index(fields=["sha256", "label_class"], name="generation_image_of_bytes"),
        ]

    def __str__(self) -> str:
        return f"image {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("image", args=[self.pk])

    @property
    def thumb_url(self) -> str:
        return reverse("rendition", args=[self.pk, THUMB])

    @property
    def view_url(self) -> str:
        return reverse("rendition", args=[self.pk, VIEW])

    @property
    def inputs(self) -> models.QuerySet[CallInput]:
        """What it was made of, in order: its parents with their roles; none for a text image."""
        return CallInput.objects.filter(call=self.call_id).select_related("image", "reference")

    @property
    def parts(self) -> dict[str, str]:
        """What a scorer can judge alone; the object only, where there is no prompt."""
        if self.prompt:
            return self.prompt.parts
        return {"object": with_article(self.label_class.name)}


class ImageTruth(models.Model):
    """What the embedded generator really drew: for benchmarks and tests only.

    Nothing that reviewers, scorers or exports see may read this row.
    """

    image = models.OneToOneField(GeneratedImage, on_delete=models.CASCADE, related_name="+")
    facts = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"truth of {self.image_id}"


# A file of its own for what is a subject of its own; Django looks for models in this one.
from synthreview.generation.batch_models import CallBatch as CallBatch  # noqa: E402
