"""JUDGE it: each image's place in the queue, the looks it needs, and what people decided."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.generation.models import GeneratedImage
from synthreview.prompting.models import Prompt
from synthreview.review.certificate import Stream
from synthreview.scoring.models import Score

if TYPE_CHECKING:
    from synthreview.accounts.models import User


class Verdict(models.TextChoices):
    """SKIP and UNSURE leave the image to somebody else; UNSURE says that they did look."""

    APPROVE = "approve", "approved"
    REJECT = "reject", "rejected"
    SKIP = "skip", "skipped"
    UNSURE = "unsure", "left undecided"
    WITHDRAW = "withdraw", "undone"


FINAL_VERDICTS = (Verdict.APPROVE, Verdict.REJECT)
SAYABLE = (Verdict.APPROVE, Verdict.REJECT, Verdict.SKIP, Verdict.UNSURE)


class ImageState(models.TextChoices):
    PENDING = "pending", "to be reviewed"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"
    DISPUTED = "disputed", "waits for an adjudicator"
    REMOVED = "removed", "put aside unseen"


DECIDED_STATES = (ImageState.APPROVED, ImageState.REJECTED)


class Purpose(models.TextChoices):
    """Why somebody looks: to judge, to settle what others judged, or at a known answer."""

    LOOK = "look", "review"
    ADJUDICATION = "settle", "adjudication"
    GOLD = "gold", "known answer"


AT_THE_QUEUE = (Purpose.LOOK, Purpose.GOLD)  # what a reviewer is handed, without telling which


class Surface(models.TextChoices):
    """Where a decision was made: several images at once are judged less closely than one."""

    FOCUS = "focus", "one by one"
    GRID = "grid", "in a grid"
    COMPARE = "compare", "side by side"
    STRIP = "strip", "changed afterwards"
    API = "api", "by another program"


class Certification(models.Model):
    """One round of the certificate: what it aims at, over the cohorts of images frozen in it.

    Ends when a person ends it; a dataset has one open at most. What it certifies is computed
    from the rows each time; `closed_with` keeps what it said in the moment of its end.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    target_error = models.FloatField()
    confidence = models.FloatField()
    started_at = models.DateTimeField(db_default=Now())
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    ended_at = models.DateTimeField(null=True)
    closed_with = models.JSONField(null=True)

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

    @property
    def population(self) -> int:
        """Return how many images its cohorts had when they were frozen; one query."""
        return sum(self.cohorts.values_list("population", flat=True))


class Cohort(models.Model):
    """Images that were frozen into a certification together: the population of one draw.

    The first is made at the start. Images that come later, and those that a changed guideline
    puts back into the queue, form further ones. `population` counts the images at the moment of
    freezing; those that leave it afterwards have a Departure.
    """

    certification = models.ForeignKey(
        Certification, on_delete=models.CASCADE, related_name="cohorts"
    )
    number = models.PositiveIntegerField()
    population = models.PositiveIntegerField()
    strata = models.JSONField(default=list)  # [[class, technique, images], …] when it was frozen
    reason = models.CharField(max_length=120, blank=True)
    frozen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["certification", "number"]
        constraints = [
            models.UniqueConstraint(fields=["certification", "number"], name="review_cohort_number")
        ]

    def __str__(self) -> str:
        return f"{self.certification}, cohort {self.number}"


class AsideKind(models.TextChoices):
    """Why images left the queue unseen.

    The first three by a person; the others are the auto-reject floor.
    """

    PROMPT = "prompt", "the rest of a prompt of which so much was rejected"
    SIMILAR = "similar", "like an image that was rejected"
    LOOKALIKE = "lookalike", "all but copies of earlier images"
    UNREADABLE = "unreadable", "the file cannot be read"
    BLANK = "blank", "blank: nothing to see"
    COPY = "copy", "the same file as an earlier image of its class"


class PutAside(models.Model):
    """Images taken out of the queue unseen, as one event.

    The rest of one prompt because so much of it was rejected (`decided` and `rejected` are what
    was known then), what is like a rejected image, or what is all but a copy of another, all by a
    person; or images with a fault that needs no eye. `removed` is how many left. It ends when
    somebody withdraws it: its images return to the queue, but not to a certificate that they left.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=12, choices=AsideKind, default=AsideKind.PROMPT)
    prompt = models.ForeignKey(Prompt, null=True, on_delete=models.PROTECT, related_name="+")
    like = models.ForeignKey(GeneratedImage, null=True, on_delete=models.PROTECT, related_name="+")
    decided = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="review_putaside_rejected_of_decided",
                condition=Q(rejected__lte=F("decided")),
            ),
            models.CheckConstraint(
                name="review_putaside_kind_known", condition=Q(kind__in=AsideKind.values)
            ),
            models.CheckConstraint(
                name="review_putaside_names_its_ground",
                condition=Q(kind=AsideKind.PROMPT, prompt__isnull=False, like__isnull=True)
                | Q(kind=AsideKind.SIMILAR, prompt__isnull=True, like__isnull=False)
                | Q(
                    ~Q(kind__in=[AsideKind.PROMPT, AsideKind.SIMILAR]),
                    prompt__isnull=True,
                    like__isnull=True,
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.removed} images put aside: {self.get_kind_display()}"


class ImageReviewQuerySet(models.QuerySet["ImageReview"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(dataset__in=Dataset.objects.visible_to(user))

    def approved(self) -> Self:
        return self.filter(state=ImageState.APPROVED)

    def judged_by_older_guideline(self) -> Self:
        """Return images that somebody decided by a guideline which has changed since."""
        older = ReviewSlot.objects.filter(
            image=OuterRef("image"),
            round=OuterRef("round"),
            state=SlotState.DECIDED,
            decision__guideline_version__lt=OuterRef("image__label_class__guideline_version"),
        )
        return self.filter(Exists(older)).exclude(state__in=[ImageState.PENDING])


class ImageReview(models.Model):
    """What people made of one image so far; it exists from the moment it may be reviewed.

    `score` is the one that ordered it; null where the order is random because no score applies.
    `state` follows from `looks` wanted, `approvals` and `rejections` of the present `round`; a
    later round begins when its guideline changed. An adjudicator's word stands above the count.
    `put_aside` names what took it out of the queue unseen, and stays when that is taken back.
    `adjudicated` is that word, empty until it was said. `wants_adjudicator`: also where the
    reviewers agree that it is good (high-risk datasets). `cohort`: where a certificate counts it.
    """

    image = models.OneToOneField(GeneratedImage, on_delete=models.CASCADE, related_name="review")
    dataset = models.ForeignKey(
        Dataset, on_delete=models.CASCADE, related_name="+", db_index=False
    )  # review_image_by_state begins with it
    state = models.CharField(max_length=10, choices=ImageState, default=ImageState.PENDING)
    score = models.ForeignKey(Score, null=True, on_delete=models.SET_NULL, related_name="+")
    round = models.PositiveSmallIntegerField(default=1)
    looks = models.PositiveSmallIntegerField(default=1)
    approvals = models.PositiveSmallIntegerField(default=0)
    rejections = models.PositiveSmallIntegerField(default=0)
    wants_adjudicator = models.BooleanField(default=False)
    adjudicated = models.CharField(max_length=10, blank=True, choices=Verdict)
    cohort = models.ForeignKey(Cohort, null=True, on_delete=models.PROTECT, related_name="reviews")
    put_aside = models.ForeignKey(
        PutAside, null=True, on_delete=models.PROTECT, related_name="reviews"
    )

    objects = ImageReviewQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="review_image_state_known", condition=Q(state__in=ImageState.values)
            ),
            models.CheckConstraint(
                name="review_image_removed_by_something",
                condition=~Q(state=ImageState.REMOVED) | Q(put_aside__isnull=False),
            ),
            models.CheckConstraint(
                name="review_image_adjudicated_is_an_answer",
                condition=Q(adjudicated__in=["", *FINAL_VERDICTS]),
            ),
        ]
        indexes = [models.Index(fields=["dataset", "state"], name="review_image_by_state")]

    def __str__(self) -> str:
        return f"review of {self.image_id}"


STREAMS = [stream.value for stream in Stream]


class Departure(models.Model):
    """An image that left its cohort before the certification ended; never changed.

    `handed_at` is null where nobody had been handed it: it left unseen, with the rest of its
    prompt or for another round, and nobody knows whether it was bad. Where it had been handed
    out, `stream` says how, and `is_bad` what came of it: null if nothing had.
    """

    cohort = models.ForeignKey(Cohort, on_delete=models.CASCADE, related_name="departures")
    image = models.ForeignKey(GeneratedImage, on_delete=models.CASCADE, related_name="+")
    left_at = models.DateTimeField(db_default=Now())
    handed_at = models.DateTimeField(null=True)
    lottery = models.FloatField(null=True)
    stream = models.CharField(max_length=10, default=Stream.TARGETED.value)
    is_bad = models.BooleanField(null=True)
    reason = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["cohort", "image"], name="review_departure_once"),
            models.CheckConstraint(
                name="review_departure_stream_known", condition=Q(stream__in=STREAMS)
            ),
            models.CheckConstraint(
                name="review_departure_unseen_is_unknown",
                condition=Q(handed_at__isnull=False)
                | Q(is_bad__isnull=True, stream=Stream.TARGETED.value),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.image_id} left {self.cohort_id}"


class SlotState(models.TextChoices):
    WAITING = "waiting", "waiting"
    SKIPPED = "skipped", "left to another look"
    LEASED = "leased", "before a reviewer"
    DECIDED = "decided", "decided"
    REMOVED = "removed", "put aside unseen"


FREE = (SlotState.WAITING, SlotState.SKIPPED)


class Lane(models.IntegerChoices):
    """Within a lane the priority orders; a lower lane comes first."""

    OWED = 0, "a running certificate waits for it"
    NORMAL = 1, "in its turn"
    ASIDE = 2, "skipped, after all that waits"
    ACCEPTED = 3, "accepted by its score, after all else; audits still fall on it"


class ReviewSlot(models.Model):
    """One look that an image needs from one person; it carries its own lease.

    A lease is minutes long and ends by decision, by the reviewer's leaving, or by the
    sweeper. The lease token is minted with the card and makes a double click harmless; where the
    lease ran out it stays, with its reviewer, until somebody else is handed the look, so that a
    late answer still counts. `batch` names the page of several cards that it lies on.

    `handed_at` is the first time that it came before anybody. `lottery` is its place in the draw
    of audits, random and blind to content, `class_lottery` that in the draws of its class: one
    number for both would make what a class's draw passed over rarer in the other. `stream` says
    whether a draw or the queue's order chose it, and is never taken back.

    A row of another purpose than a look is made when it is handed out and deleted when it is
    given back, so that it never waits: one adjudication (number 0) per image and round, and one
    known answer per image and person.

    `priority` (lowest first) may be rewritten at any time: see `intake.set_priorities`. Class,
    technique and prompt are the image's own and never change; they stand here because a claim
    must find its row by one index.
    """

    image = models.ForeignKey(GeneratedImage, on_delete=models.CASCADE, related_name="slots")
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+", db_index=False)
    label_class = models.ForeignKey(
        LabelClass, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    technique = models.CharField(max_length=20)
    prompt = models.ForeignKey(Prompt, null=True, on_delete=models.PROTECT, related_name="+")
    round = models.PositiveSmallIntegerField(default=1)
    number = models.PositiveSmallIntegerField(default=1)
    purpose = models.CharField(max_length=8, choices=Purpose, default=Purpose.LOOK)
    lane = models.PositiveSmallIntegerField(choices=Lane, default=Lane.NORMAL)
    priority = models.FloatField()
    state = models.CharField(max_length=10, choices=SlotState, default=SlotState.WAITING)
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    lease_token = models.UUIDField(null=True, unique=True)
    lease_expires_at = models.DateTimeField(null=True)
    batch = models.UUIDField(null=True)
    guideline_version = models.PositiveIntegerField(default=1)
    # By its token, so that the look and its decision are written without reading either.
    decision = models.OneToOneField(
        "review.Decision",
        to_field="client_token",
        null=True,
        on_delete=models.PROTECT,
        related_name="slot_of",
    )
    lottery = models.FloatField(null=True)
    class_lottery = models.FloatField(null=True)
    handed_at = models.DateTimeField(null=True)
    stream = models.CharField(max_length=10, default=Stream.TARGETED.value)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["image", "reviewer"],
                condition=Q(purpose=Purpose.GOLD),
                name="review_slot_gold_once",
            ),
            models.CheckConstraint(
                name="review_slot_only_looks_wait",
                condition=Q(purpose=Purpose.LOOK)
                | ~Q(state__in=[SlotState.WAITING, SlotState.REMOVED]),
            ),
            models.CheckConstraint(
                name="review_slot_only_looks_are_drawn",
                condition=Q(purpose=Purpose.LOOK)
                | Q(stream=Stream.TARGETED.value, lottery__isnull=True),
            ),
            models.UniqueConstraint(
                fields=["image", "round", "number"],
                condition=~Q(purpose=Purpose.GOLD),
                name="review_slot_number",
            ),
            models.UniqueConstraint(
                fields=["image", "round", "reviewer"],
                condition=Q(state__in=[SlotState.LEASED, SlotState.DECIDED]),
                name="review_slot_different_people",
            ),
            models.CheckConstraint(
                name="review_slot_state_known", condition=Q(state__in=SlotState.values)
            ),
            models.CheckConstraint(
                name="review_slot_purpose_known", condition=Q(purpose__in=Purpose.values)
            ),
            models.CheckConstraint(
                name="review_slot_lane_known", condition=Q(lane__in=Lane.values)
            ),
            models.CheckConstraint(
                name="review_slot_lease_iff_leased",
                condition=Q(
                    state=SlotState.LEASED,
                    lease_token__isnull=False,
                    lease_expires_at__isnull=False,
                    decision__isnull=True,
                )
                | Q(state=SlotState.WAITING, lease_expires_at__isnull=True)
                | (
                    ~Q(state__in=[SlotState.LEASED, SlotState.WAITING])
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
                fields=["dataset", "lane", "priority", "id"],
                name="review_slot_free",
                condition=Q(state__in=FREE),
            ),
            # Serves the claim of a page of one class and one question.
            models.Index(
                fields=["label_class", "technique", "lane", "priority", "id"],
                name="review_slot_free_of_class",
                condition=Q(state__in=FREE),
            ),
            # Serve the draw of audits: the next by lot, of all and of one class and question.
            models.Index(
                fields=["dataset", "lottery", "id"],
                name="review_slot_draw",
                condition=Q(lottery__isnull=False, handed_at__isnull=True, state=SlotState.WAITING),
            ),
            models.Index(
                fields=["label_class", "technique", "class_lottery", "id"],
                name="review_slot_draw_of_class",
                condition=Q(lottery__isnull=False, handed_at__isnull=True, state=SlotState.WAITING),
            ),
            # Serves the sweeper and the reviewer's own open cards.
            models.Index(
                fields=["reviewer", "dataset", "lease_expires_at"],
                name="review_slot_leased",
                condition=Q(state=SlotState.LEASED),
            ),
            # Serves a reviewer's own skipped ones.
            models.Index(
                fields=["reviewer", "dataset"],
                name="review_slot_own_skipped",
                condition=Q(state=SlotState.SKIPPED),
            ),
        ]

    def __str__(self) -> str:
        return f"look {self.number} at {self.image_id}"

    @classmethod
    def of(cls, image: GeneratedImage, **fields: Any) -> ReviewSlot:
        """Return a look at `image`, not yet saved, with what it copies from the image."""
        return cls(
            image=image,
            dataset_id=image.dataset_id,
            label_class_id=image.label_class_id,
            technique=image.technique,
            prompt_id=image.prompt_id,
            **fields,
        )


class Decision(models.Model):
    """What one person said at one moment; never changed, only superseded by a later row.

    `round` is the image's at that moment; `batch` and `surface` say how it was shown.
    """

    image = models.ForeignKey(GeneratedImage, on_delete=models.PROTECT, related_name="decisions")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )  # review_decision_own begins with it
    verdict = models.CharField(max_length=10, choices=Verdict)
    reasons = models.JSONField(default=list, blank=True)
    wrong_slots = models.JSONField(default=list, blank=True)  # of the caption, ticked as wrong
    note = models.CharField(
        max_length=500, blank=True, validators=[ProhibitNullCharactersValidator()]
    )
    stream = models.CharField(max_length=10, default=Stream.TARGETED.value)
    purpose = models.CharField(max_length=8, choices=Purpose, default=Purpose.LOOK)
    surface = models.CharField(max_length=10, choices=Surface, default=Surface.FOCUS)
    batch = models.UUIDField(null=True)  # the page of several cards that it was sent with
    round = models.PositiveSmallIntegerField(default=1)
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
                name="review_decision_surface_known", condition=Q(surface__in=Surface.values)
            ),
            models.CheckConstraint(
                name="review_decision_purpose_known", condition=Q(purpose__in=Purpose.values)
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


class GoldImage(models.Model):
    """An image with a known answer, shown among the others to measure its reviewers.

    A curator chooses it among decided images and may retire it; what was said of it stays. It
    is mixed in at the policy's share, and those decisions change nothing but the statistics.
    """

    image = models.OneToOneField(GeneratedImage, on_delete=models.CASCADE, related_name="gold")
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    verdict = models.CharField(
        max_length=10, choices=[(v.value, v.label) for v in (Verdict.APPROVE, Verdict.REJECT)]
    )
    is_retired = models.BooleanField(default=False)
    chosen_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    chosen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="review_gold_verdict_is_an_answer",
                condition=Q(verdict__in=[Verdict.APPROVE, Verdict.REJECT]),
            ),
        ]
        indexes = [models.Index(fields=["dataset", "is_retired"], name="review_gold_in_use")]

    def __str__(self) -> str:
        return f"known answer of {self.image_id}"


class GuidelineExample(models.Model):
    """A decided image that stands beside its class's guideline, as it should be or should not.

    A curator chooses it and may take it away; it goes with its image or class.
    """

    image = models.OneToOneField(GeneratedImage, on_delete=models.CASCADE, related_name="example")
    label_class = models.ForeignKey(LabelClass, on_delete=models.CASCADE, related_name="+")
    is_good = models.BooleanField()
    note = models.CharField(
        max_length=120, blank=True, validators=[ProhibitNullCharactersValidator()]
    )
    chosen_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    chosen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{'good' if self.is_good else 'bad'} example {self.image_id}"

    @property
    def thumb_url(self) -> str:
        return GeneratedImage(pk=self.image_id).thumb_url


class Signature(models.Model):
    """One person's signed statement about what may leave a dataset; never changed.

    It covers exactly the images whose list `digest` was made from; it lapses by itself as soon
    as another list would leave. `name` is as the person typed it, beside the account.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    signed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    name = models.CharField(max_length=120, validators=[ProhibitNullCharactersValidator()])
    statement = models.TextField(max_length=2000)
    image_count = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    seal = models.CharField(max_length=64)
    signed_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["dataset", "-id"], name="review_signature_last")]
        constraints = [
            models.CheckConstraint(
                name="review_signature_is_named", condition=~Q(name="") & ~Q(statement="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} for {self.dataset}"


# At the end, because it stands on nothing above: Django finds an app's rows through this module.
from synthreview.review.ranking_models import Ranking as Ranking  # noqa: E402
from synthreview.review.ranking_models import Replay as Replay  # noqa: E402
from synthreview.review.threshold_models import AcceptanceRule as AcceptanceRule  # noqa: E402
from synthreview.review.threshold_models import Thresholds as Thresholds  # noqa: E402
