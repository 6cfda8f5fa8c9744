"""JUDGE it: each image's place in the queue, the looks it needs, and what people decided."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.review.certificate import Stream
from synthreview.scoring.models import Score

if TYPE_CHECKING:
    from synthreview.accounts.models import User


class Verdict(models.TextChoices):
    APPROVE = "approve", "approved"
    REJECT = "reject", "rejected"
    SKIP = "skip", "skipped"
    WITHDRAW = "withdraw", "undone"


class ImageState(models.TextChoices):
    PENDING = "pending", "to be reviewed"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"
    DISPUTED = "disputed", "reviewers disagree"


class Certification(models.Model):
    """One run of the certificate: a population frozen at its start, and what it aims at.

    Ends when a person ends it; a dataset has one open at most. Images that come into the queue
    after its start join the next one. What it certifies is computed from the rows each time.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    target_error = models.FloatField()
    confidence = models.FloatField()
    population = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["dataset", "number"], name="review_certification_number"
            ),
            models.UniqueConstraint(
                fields=["dataset"],
                condition=Q(ended_at__isnull=True),
                name="review_certification_one_open",
            ),
            models.CheckConstraint(
                name="review_certification_target_in_range",
                condition=Q(target_error__gt=0, target_error__lte=0.5),
            ),
            models.CheckConstraint(
                name="review_certification_confidence_in_range",
                condition=Q(confidence__gte=0.5, confidence__lt=1),
            ),
            models.CheckConstraint(
                name="review_certification_ends_after_start",
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset} certificate {self.number}"


class ImageReviewQuerySet(models.QuerySet["ImageReview"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(dataset__in=Dataset.objects.visible_to(user))

    def approved(self) -> Self:
        return self.filter(state=ImageState.APPROVED)


class ImageReview(models.Model):
    """What people made of one image so far; it exists from the moment it may be reviewed.

    `score` is the one that ordered it; null where the order is random because no score applies.
    """

    image = models.OneToOneField(GeneratedImage, on_delete=models.CASCADE, related_name="review")
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=10, choices=ImageState, default=ImageState.PENDING)
    score = models.ForeignKey(Score, null=True, on_delete=models.SET_NULL, related_name="+")

    certification = models.ForeignKey(
        Certification, null=True, on_delete=models.PROTECT, related_name="reviews"
    )

    objects = ImageReviewQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="review_image_state_known", condition=Q(state__in=ImageState.values)
            )
        ]
        indexes = [models.Index(fields=["dataset", "state"], name="review_image_by_state")]

    def __str__(self) -> str:
        return f"review of {self.image_id}"


STREAMS = [stream.value for stream in Stream]


class SlotState(models.TextChoices):
    WAITING = "waiting", "waiting"
    SKIPPED = "skipped", "skipped, for another look"
    LEASED = "leased", "before a reviewer"
    DECIDED = "decided", "decided"


class ReviewSlot(models.Model):
    """One look that an image needs from one person; it carries its own lease.

    A lease is minutes long and ends by decision, by the reviewer's leaving, or by the
    sweeper. The lease token is minted with the card and makes a double click harmless.

    `handed_at` is the first time that it came before anybody. `lottery` is its place in the draw
    of audits, random and blind to content; a skip moves it before all that nobody was handed.
    `stream` says whether the draw or the queue's order chose it, and is never taken back.
    """

    image = models.ForeignKey(GeneratedImage, on_delete=models.CASCADE, related_name="slots")
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveSmallIntegerField(default=1)
    priority = models.FloatField()  # lowest first
    state = models.CharField(max_length=10, choices=SlotState, default=SlotState.WAITING)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    lease_token = models.UUIDField(null=True, unique=True)
    lease_expires_at = models.DateTimeField(null=True)
    decision = models.OneToOneField(
        "review.Decision", null=True, on_delete=models.PROTECT, related_name="slot_of"
    )
    lottery = models.FloatField(null=True)
    handed_at = models.DateTimeField(null=True)
    stream = models.CharField(max_length=10, default=Stream.TARGETED.value)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["image", "number"], name="review_slot_number"),
            models.UniqueConstraint(
                fields=["image", "reviewer"],
                condition=Q(state__in=[SlotState.LEASED, SlotState.DECIDED]),
                name="review_slot_different_people",
            ),
            models.CheckConstraint(
                name="review_slot_state_known", condition=Q(state__in=SlotState.values)
            ),
            models.CheckConstraint(
                name="review_slot_lease_iff_leased",
                condition=Q(
                    state=SlotState.LEASED,
                    lease_token__isnull=False,
                    lease_expires_at__isnull=False,
                    decision__isnull=True,
                )
                | (
                    ~Q(state=SlotState.LEASED)
                    & Q(lease_token__isnull=True, lease_expires_at__isnull=True)
                ),
            ),
            models.CheckConstraint(
                name="review_slot_decision_iff_decided",
                condition=Q(
                    state__in=[SlotState.DECIDED, SlotState.SKIPPED], decision__isnull=False
                )
                | (~Q(state__in=[SlotState.DECIDED, SlotState.SKIPPED]) & Q(decision__isnull=True)),
            ),
            models.CheckConstraint(
                name="review_slot_stream_known", condition=Q(stream__in=STREAMS)
            ),
            models.CheckConstraint(
                name="review_slot_audit_was_drawn",
                condition=Q(stream=Stream.TARGETED.value) | Q(lottery__isnull=False),
            ),
        ]
        indexes = [
            # Serves the claim: one step down the index, at any size of the queue.
            models.Index(
                fields=["dataset", "priority", "id"],
                name="review_slot_waiting",
                condition=Q(state=SlotState.WAITING),
            ),
            models.Index(
                fields=["dataset", "priority", "id"],
                name="review_slot_skipped",
                condition=Q(state=SlotState.SKIPPED),
            ),
            # Serves the draw of audits: those that are owed first, then the next by lot.
            models.Index(
                fields=["dataset", "lottery", "id"],
                name="review_slot_draw",
                condition=Q(lottery__isnull=False) & ~Q(state=SlotState.DECIDED),
            ),
            # Serves the sweeper and the reviewer's own open card.
            models.Index(
                fields=["reviewer", "dataset", "lease_expires_at"],
                name="review_slot_leased",
                condition=Q(state=SlotState.LEASED),
            ),
        ]

    def __str__(self) -> str:
        return f"look {self.number} at {self.image_id}"


class Decision(models.Model):
    """What one person said at one moment; never changed, only superseded by a later row."""

    image = models.ForeignKey(GeneratedImage, on_delete=models.PROTECT, related_name="decisions")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    verdict = models.CharField(max_length=10, choices=Verdict)
    reasons = models.JSONField(default=list, blank=True)
    note = models.CharField(
        max_length=500, blank=True, validators=[ProhibitNullCharactersValidator()]
    )
    stream = models.CharField(max_length=10, default=Stream.TARGETED.value)
    seconds = models.FloatField(default=0)
    guideline_version = models.PositiveIntegerField(default=1)
    client_token = models.UUIDField(unique=True, default=uuid.uuid4)
    supersedes = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="superseded_by"
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="review_decision_verdict_known", condition=Q(verdict__in=Verdict.values)
            ),
            models.CheckConstraint(
                name="review_decision_seconds_positive", condition=Q(seconds__gte=0)
            ),
            models.CheckConstraint(
                name="review_decision_stream_known", condition=Q(stream__in=STREAMS)
            ),
            models.CheckConstraint(
                name="review_decision_withdraw_supersedes",
                condition=~Q(verdict=Verdict.WITHDRAW) | Q(supersedes__isnull=False),
            ),
        ]
        indexes = [
            # Serves undo and the strip of one's last decisions.
            models.Index(fields=["reviewer", "dataset", "-id"], name="review_decision_own")
        ]

    def __str__(self) -> str:
        return f"{self.verdict} of {self.image_id} by {self.reviewer_id}"
