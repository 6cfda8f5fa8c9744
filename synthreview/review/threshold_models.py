"""Which thresholds hold now, and which held before: rows that are ended, never changed.

`models.py` imports this file; the statistics are thresholds.py's, the verbs threshold_rules.py's.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from synthreview.catalog.models import LabelClass
from synthreview.scoring.models import ScorerVersion


class Thresholds(models.Model):
    """How one certification accepts by score: by which model's, and whether it does at all.

    Made with the certification's first sweep, before its audits can matter, because the model
    must be fixed beforehand. `suspended_because` holds the alarm that took everything back to
    review; `acknowledged` the alarms that a curator has seen and gone on after.
    """

    certification = models.OneToOneField(
        "review.Certification", on_delete=models.CASCADE, related_name="thresholds"
    )
    version = models.ForeignKey(ScorerVersion, on_delete=models.PROTECT, related_name="+")
    is_on = models.BooleanField(default=False)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    changed_at = models.DateTimeField(null=True)
    suspended_because = models.CharField(max_length=300, blank=True)
    suspended_at = models.DateTimeField(null=True)
    acknowledged = models.JSONField(default=list, blank=True)

    class Meta:
        verbose_name_plural = "thresholds"
        constraints = [
            models.CheckConstraint(
                name="review_thresholds_suspended_because_of_something",
                condition=Q(suspended_because="", suspended_at__isnull=True)
                | (~Q(suspended_because="") & Q(suspended_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"thresholds of {self.certification}"

    @property
    def is_active(self) -> bool:
        return self.is_on and not self.suspended_because


class AcceptanceRule(models.Model):
    """Images of one class and technique, in one cohort, are accepted from a score on.

    Of the `population` images with such a score, `audits` were drawn by lot when it was chosen;
    with the certification's confidence at most `left` bad ones are among those not found. It ends
    when a larger set is certain, when evidence is taken back, or by an alarm.
    """

    thresholds = models.ForeignKey(Thresholds, on_delete=models.CASCADE, related_name="rules")
    cohort = models.ForeignKey("review.Cohort", on_delete=models.CASCADE, related_name="+")
    label_class = models.ForeignKey(LabelClass, on_delete=models.CASCADE, related_name="+")
    technique = models.CharField(max_length=20)
    share = models.FloatField()
    cut = models.FloatField()
    population = models.PositiveIntegerField()
    audits = models.PositiveIntegerField()
    left = models.PositiveIntegerField()
    guideline_version = models.PositiveIntegerField(default=1)
    chosen_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    ended_because = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["cohort", "label_class", "technique"],
                condition=Q(ended_at__isnull=True),
                name="review_rule_one_open",
            ),
            models.CheckConstraint(
                name="review_rule_share_in_range", condition=Q(share__gt=0, share__lte=1)
            ),
            models.CheckConstraint(
                name="review_rule_counts_fit",
                condition=Q(audits__lte=F("population"), left__lte=F("population")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label_class} by {self.technique} from {self.cut:.3f} on"
