"""WHAT is wanted: datasets, their members, classes, axes of variety and quality policy."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.core.validators import (
    MaxValueValidator,
    MinValueValidator,
    ProhibitNullCharactersValidator,
)
from django.db import connection, models
from django.db.models import F, Q
from django.db.models.expressions import RawSQL
from django.urls import reverse

from synthreview.catalog.permissions import Role
from synthreview.lib.images import THUMB, VIEW

if TYPE_CHECKING:
    from synthreview.accounts.models import User

no_null = ProhibitNullCharactersValidator()


class DatasetQuerySet(models.QuerySet["Dataset"]):
    def visible_to(self, user: User) -> Self:
        """Return the datasets this person may know of: the door to every other object."""
        if user.is_superuser:
            return self
        return self.filter(memberships__user=user)


class Dataset(models.Model):
    """One set of classes that is being filled with reviewed images.

    `licence` is what its exports say, a key of lib.licences.KNOWN or the curator's own words.
    """

    name = models.CharField(max_length=120, unique=True, validators=[no_null])
    slug = models.SlugField(max_length=60, unique=True)
    description = models.TextField(blank=True, max_length=4000, validators=[no_null])
    licence = models.CharField(blank=True, max_length=200, validators=[no_null])
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("dataset", args=[self.slug])

    def membership_of(self, user: User) -> Membership | None:
        """Return what this person is here; one query, none where it came with the dataset."""
        whose, kept = getattr(self, "_kept_membership", (None, None))
        if whose is not None and whose == user.pk:
            return kept
        return self.memberships.filter(user=user).first()

    def keep_membership(self, user: User, membership: Membership | None) -> None:
        """Keep a membership that was read together with this object, for one request's time."""
        self._kept_membership = (user.pk, membership)


class Membership(models.Model):
    """One person's role in one dataset, and what a curator asks of them as a reviewer.

    `classes` are those that they review; none named means all. `daily_limit` is how many
    images they are handed in a day, null for no limit. `may_adjudicate` lets a reviewer settle
    what others disagree about; curators and admins may anyway.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=10, choices=Role)
    may_adjudicate = models.BooleanField(default=False)
    daily_limit = models.PositiveIntegerField(null=True, blank=True)
    classes = models.ManyToManyField("catalog.LabelClass", blank=True, related_name="+")

    class Meta:
        ordering = ["user__username"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "user"], name="catalog_membership_one_role"),
            models.CheckConstraint(
                name="catalog_membership_role_known", condition=Q(role__in=Role.values)
            ),
            models.CheckConstraint(
                name="catalog_membership_limit_positive",
                condition=Q(daily_limit__isnull=True) | Q(daily_limit__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"

    @property
    def class_ids(self) -> tuple[int, ...]:
        """Return the classes that this person reviews, () for all; no query where they are kept."""
        kept: tuple[int, ...] | None = getattr(self, "_class_ids", None)
        if kept is not None:
            return kept
        return tuple(sorted(self.classes.values_list("pk", flat=True)))

    def keep_classes(self, found: str | list[int] | None) -> None:
        """Keep the classes that were read together with this row: a JSON list, or none."""
        numbers = json.loads(found) if isinstance(found, str) else found or ()
        self._class_ids = tuple(sorted(numbers))


class Invitation(models.Model):
    """A link that gives who opens it a role, once and for a while; ends accepted or withdrawn.

    Of its token only the hash is kept.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10, choices=Role)
    note = models.CharField(max_length=120, blank=True, validators=[no_null])
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="catalog_invitation_role_known", condition=Q(role__in=Role.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role}{f' for {self.note}' if self.note else ''}"


def own_classes_as_json() -> RawSQL:
    """Return the keys of a membership's classes as a JSON list, to be selected beside it."""
    aggregate = "json_agg" if connection.vendor == "postgresql" else "json_group_array"
    words = (
        f"(SELECT {aggregate}(own.labelclass_id) FROM catalog_membership_classes AS own "  # noqa: S608
        "WHERE own.membership_id = catalog_membership.id)"
    )
    return RawSQL(words, (), output_field=models.TextField())  # noqa: S611 - no text of a user


class LabelClass(models.Model):
    """One label of the dataset, with what reviewers must know to recognise it.

    `guideline_version` counts up whenever definition or guideline change, and each
    decision remembers which one its reviewer had before them.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="classes")
    name = models.CharField(max_length=120, validators=[no_null])
    slug = models.SlugField(max_length=60)
    synonyms = models.JSONField(default=list, blank=True)
    definition = models.TextField(blank=True, max_length=2000, validators=[no_null])
    guideline = models.TextField(blank=True, max_length=4000, validators=[no_null])
    guideline_version = models.PositiveIntegerField(default=1)
    target_count = models.PositiveIntegerField(default=100)
    is_none_of_these = models.BooleanField(default=False)
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "name"]
        verbose_name = "class"
        verbose_name_plural = "classes"
        constraints = [
            models.UniqueConstraint(fields=["dataset", "name"], name="catalog_labelclass_name"),
            models.UniqueConstraint(fields=["dataset", "slug"], name="catalog_labelclass_slug"),
            models.UniqueConstraint(
                fields=["dataset"],
                condition=Q(is_none_of_these=True),
                name="catalog_labelclass_one_none_of_these",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Axis(models.Model):
    """One way in which images shall vary: environment, style, action, colour and so on."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="axes")
    name = models.SlugField(max_length=40)
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "name"]
        verbose_name_plural = "axes"
        constraints = [
            models.UniqueConstraint(fields=["dataset", "name"], name="catalog_axis_name")
        ]

    def __str__(self) -> str:
        return self.name


class AxisValue(models.Model):
    """One value of an axis and the words that state it in a caption ("on the beach").

    A value with classes belongs to those alone (a boat floats, a dog runs).
    """

    axis = models.ForeignKey(Axis, on_delete=models.CASCADE, related_name="values")
    name = models.CharField(max_length=80, validators=[no_null])
    phrase = models.CharField(max_length=120, blank=True, validators=[no_null])
    classes = models.ManyToManyField(LabelClass, blank=True, related_name="+")
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "name"]
        constraints = [
            models.UniqueConstraint(fields=["axis", "name"], name="catalog_axisvalue_name")
        ]

    def __str__(self) -> str:
        return self.name


class ForbiddenPair(models.Model):
    """What must not meet in one caption: two values of different axes, or a value and a class.

    With two values and a class it holds for that class alone. It ends with any of them.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="forbidden_pairs")
    first = models.ForeignKey(AxisValue, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(
        AxisValue, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    label_class = models.ForeignKey(
        LabelClass, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="catalog_forbiddenpair_is_a_pair",
                condition=Q(second__isnull=False) | Q(label_class__isnull=False),
            ),
            # One order for each pair, so that it cannot stand there twice.
            models.CheckConstraint(
                name="catalog_forbiddenpair_in_order",
                condition=Q(second__isnull=True) | Q(first__lt=F("second")),
            ),
            models.UniqueConstraint(
                fields=["first", "second"],
                condition=Q(label_class__isnull=True),
                name="catalog_forbiddenpair_values",
            ),
            models.UniqueConstraint(
                fields=["first", "label_class"],
                condition=Q(second__isnull=True),
                name="catalog_forbiddenpair_value_of_class",
            ),
            models.UniqueConstraint(
                fields=["first", "second", "label_class"], name="catalog_forbiddenpair_of_class"
            ),
        ]

    def __str__(self) -> str:
        return " and ".join(
            str(part) for part in (self.first, self.second, self.label_class) if part
        )


class ReferenceUse(models.TextChoices):
    """What a real image is for; TEST and TRAIN never become the source of a synthetic one."""

    SOURCE = "source", "source for variations"
    TRAIN = "train", "real training set"
    TEST = "test", "held-out test set"


class ReferenceImageQuerySet(models.QuerySet["ReferenceImage"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(dataset__in=Dataset.objects.visible_to(user))


class ReferenceImage(models.Model):
    """One of the user's own real images: what synthetic ones start from or are measured by.

    Its bytes lie under `sha256`. One use only, for ever: a test image that trains or seeds
    anything measures nothing any more.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="references")
    label_class = models.ForeignKey(LabelClass, on_delete=models.PROTECT, related_name="+")
    use = models.CharField(max_length=10, choices=ReferenceUse, default=ReferenceUse.SOURCE)
    source_name = models.CharField(max_length=400, blank=True)
    sha256 = models.CharField(max_length=64)
    media_type = models.CharField(max_length=20)
    byte_count = models.PositiveBigIntegerField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    family = models.UUIDField(default=uuid.uuid4, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ReferenceImageQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "sha256"], name="catalog_reference_once"),
            models.CheckConstraint(
                name="catalog_reference_use_known", condition=Q(use__in=ReferenceUse.values)
            ),
        ]
        indexes = [models.Index(fields=["dataset", "use", "id"], name="catalog_reference_by_use")]

    def __str__(self) -> str:
        return f"reference {self.pk}"

    @property
    def thumb_url(self) -> str:
        return reverse("reference-rendition", args=[self.pk, THUMB])

    @property
    def view_url(self) -> str:
        return reverse("reference-rendition", args=[self.pk, VIEW])


class QualityPolicy(models.Model):
    """What a dataset promises and how it is judged; one row per dataset."""

    dataset = models.OneToOneField(Dataset, on_delete=models.CASCADE, related_name="policy")
    target_error = models.FloatField(
        default=0.02, validators=[MinValueValidator(0.0001), MaxValueValidator(0.5)]
    )
    confidence = models.FloatField(
        default=0.95, validators=[MinValueValidator(0.5), MaxValueValidator(0.9999)]
    )
    reviews_per_image = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(5)]
    )
    blind_scores = models.BooleanField(
        default=True, help_text="Hide the scores from reviewers until they have decided."
    )
    lease_minutes = models.PositiveSmallIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(120)],
        help_text="How long an image stays with a reviewer who does not answer.",
    )

    audit_share = models.FloatField(
        default=0.2, validators=[MinValueValidator(0), MaxValueValidator(1)]
    )
    adapts_audit_share = models.BooleanField(default=True)
    gold_share = models.FloatField(
        default=0, validators=[MinValueValidator(0), MaxValueValidator(0.5)]
    )
    # What share of the images the `vqa` judge is asked about, which may cost money.
    asked_share = models.FloatField(
        default=0, validators=[MinValueValidator(0), MaxValueValidator(1)]
    )
    asks_doubtful = models.BooleanField(default=True)
    accepts_unseen = models.BooleanField(default=False)
    is_high_risk = models.BooleanField(default=False)
    # What a running certificate asks for now; null where none runs or the share is fixed. It lies
    # here because every claim reads this row anyway.
    steered_audit_share = models.FloatField(null=True, editable=False)

    class Meta:
        verbose_name_plural = "quality policies"
        constraints = [
            models.CheckConstraint(
                name="catalog_policy_error_in_range",
                condition=Q(target_error__gt=0, target_error__lte=0.5),
            ),
            models.CheckConstraint(
                name="catalog_policy_confidence_in_range",
                condition=Q(confidence__gte=0.5, confidence__lt=1),
            ),
            models.CheckConstraint(
                name="catalog_policy_reviews_in_range",
                condition=Q(reviews_per_image__gte=1, reviews_per_image__lte=5),
            ),
            models.CheckConstraint(
                name="catalog_policy_audit_share_in_range",
                condition=Q(audit_share__gte=0, audit_share__lte=1),
            ),
            models.CheckConstraint(
                name="catalog_policy_asked_share_in_range",
                condition=Q(asked_share__gte=0, asked_share__lte=1),
            ),
            models.CheckConstraint(
                name="catalog_policy_gold_share_in_range",
                condition=Q(gold_share__gte=0, gold_share__lte=0.5),
            ),
            models.CheckConstraint(
                name="catalog_policy_steered_share_in_range",
                condition=Q(steered_audit_share__isnull=True)
                | Q(steered_audit_share__gte=0, steered_audit_share__lte=1),
            ),
            models.CheckConstraint(
                name="catalog_policy_high_risk_takes_two",
                condition=Q(is_high_risk=False) | Q(reviews_per_image__gte=2),
                violation_error_message=(
                    "A high-risk dataset needs two reviews per image or more, by different people."
                ),
            ),
            models.CheckConstraint(
                name="catalog_policy_high_risk_is_all_seen",
                condition=Q(accepts_unseen=False) | Q(is_high_risk=False),
                violation_error_message=(
                    "A high-risk dataset exports nothing unreviewed: choose one of both."
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"policy of {self.dataset}"

    @property
    def current_audit_share(self) -> float:
        """Return the share of cards that are drawn by lot at this moment; 0..1."""
        if self.adapts_audit_share and self.steered_audit_share is not None:
            return self.steered_audit_share
        return self.audit_share
