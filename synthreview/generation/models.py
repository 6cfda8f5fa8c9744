"""DRAW it: runs, their calls to a generator, and the images that came of them."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, F, OuterRef, Q
from django.db.models.functions import Greatest, Round
from django.urls import reverse

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.generation import storage
from synthreview.lib.images import THUMB, VIEW
from synthreview.lib.text import with_article
from synthreview.prompting.models import Prompt
from synthreview.prompting.techniques import TECHNIQUE_CHOICES, TECHNIQUES
from synthreview.work.models import OPEN_STATES, DurableWork, WorkState

if TYPE_CHECKING:
    from synthreview.accounts.models import User

IMPORTED = "import"  # stands in `generator` for images that somebody already had


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(dataset__in=Dataset.objects.visible_to(user))

    def active(self) -> Self:
        """Return runs with calls still open."""
        return self.filter(Exists(Call.objects.open().filter(run=OuterRef("pk"))))


class Run(models.Model):
    """One order of images: which prompts, how many, by which generator.

    It has ended when none of its calls is open.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    generator = models.CharField(max_length=60)
    options = models.JSONField(default=dict, blank=True)
    size_px = models.PositiveIntegerField(default=512)
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


class Call(DurableWork):
    """One request to a generator, on record before its bytes leave.

    UNKNOWN: it was sent and no outcome is proven; it is never resent by itself except
    where the generator takes an idempotency key.
    """

    QUEUE = "generation"
    JOB = "synthreview.generation.jobs.draw"

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="calls")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="+")
    count = models.PositiveSmallIntegerField(default=1)
    seed = models.BigIntegerField(null=True)
    idempotency_key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    is_repeatable = models.BooleanField(
        default=False, help_text="The generator takes the idempotency key: sending again is safe."
    )
    estimated_usd = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))
    billed_usd = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta(DurableWork.Meta):
        constraints = [
            *DurableWork.Meta.constraints,
            models.CheckConstraint(name="generation_call_count", condition=Q(count__gte=1)),
            models.CheckConstraint(
                name="generation_call_money",
                condition=Q(estimated_usd__gte=0, billed_usd__gte=0),
            ),
        ]

    def __str__(self) -> str:
        return f"call {self.pk} of {self.run_id}"

    def lease_lost_state(self) -> WorkState:
        """A paid call that was sent and never answered is not sent again by itself."""
        spooled = storage.read_spool(str(self.idempotency_key)) is not None
        if self.sent_at and not spooled and not self.is_repeatable:
            return WorkState.UNKNOWN
        return super().lease_lost_state()

    def set_aside(self) -> None:
        """Free what the call reserved; what is spooled stays, and a retry reads it."""
        Budget.objects.settle(
            self.run.dataset_id, estimated_usd=self.estimated_usd, billed_usd=Decimal(0)
        )


class BudgetQuerySet(models.QuerySet["Budget"]):
    def settle(self, dataset_id: int, *, estimated_usd: Decimal, billed_usd: Decimal) -> None:
        """Turn a call's reservation into what it really cost.

        A bill above its estimate lifts the limit with it: the images are paid for and must not
        be lost, and nothing more can be reserved. SQLite counts in floating point, so sums are
        rounded to the columns' six places.
        """
        if not (estimated_usd or billed_usd):
            return
        zero = models.Value(Decimal(0), models.DecimalField(max_digits=12, decimal_places=6))
        reserved = Greatest(Round(F("reserved_usd") - estimated_usd, 6), zero)
        spent = Round(F("spent_usd") + billed_usd, 6)
        self.filter(dataset_id=dataset_id).update(
            reserved_usd=reserved,
            spent_usd=spent,
            limit_usd=Greatest(F("limit_usd"), Round(reserved + spent, 6)),
        )


class Budget(models.Model):
    """What a dataset may spend on paid generators: one row, so that its check is atomic."""

    dataset = models.OneToOneField(Dataset, on_delete=models.CASCADE, related_name="+")
    limit_usd = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))
    reserved_usd = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))
    spent_usd = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))

    objects = BudgetQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="generation_budget_kept",
                # Half of the last place: in SQLite's floating point 0.1 + 0.2 is above 0.3.
                condition=Q(
                    reserved_usd__gte=0,
                    spent_usd__gte=0,
                    limit_usd__gte=F("reserved_usd") + F("spent_usd") - Decimal("0.0000005"),
                ),
            )
        ]

    def __str__(self) -> str:
        return f"budget of {self.dataset}"


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
