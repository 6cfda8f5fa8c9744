"""Groups that a curator watches for, and what a scorer and people see of them.

`models.py` imports this file; the statistics are in `probe_shares.py`.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from synthreview.catalog.models import Dataset, LabelClass, no_null
from synthreview.generation.models import GeneratedImage
from synthreview.work.models import OPEN_STATES, DurableWork


class Probe(models.Model):
    """A question of what images show, with two groups or more as its answers.

    Without classes it is asked of all images. `revision` counts up whenever the words change, and
    what was read by older words goes. `alarms` are the sentences about groups under their floor,
    as of `checked_at`; `checked_of` says of which state of the rows.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=80, validators=[no_null])
    classes = models.ManyToManyField(LabelClass, blank=True, related_name="+")
    revision = models.PositiveIntegerField(default=1)
    alarms = models.JSONField(default=list)
    checked_of = models.CharField(max_length=200, blank=True)
    checked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "name"], name="scoring_probe_name")
        ]

    def __str__(self) -> str:
        return self.name


class ProbeGroup(models.Model):
    """One group of a probe.

    `words` are what the scorer compares images with ("a photo of a woman"); `asked_by` are words of
    captions that ask for the group, its name where there are none. `floor` is the least share of
    the approved images that it shall have, null for none.
    """

    probe = models.ForeignKey(Probe, on_delete=models.CASCADE, related_name="groups")
    name = models.CharField(max_length=80, validators=[no_null])
    words = models.JSONField(default=list)
    asked_by = models.JSONField(default=list)
    floor = models.FloatField(null=True, blank=True)
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["probe", "name"], name="scoring_probegroup_name"),
            models.CheckConstraint(
                name="scoring_probegroup_floor_is_share",
                condition=Q(floor__isnull=True) | Q(floor__gt=0, floor__lte=1),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ProbePass(DurableWork):
    """One walk over the embeddings that a probe's words were not compared with yet.

    `unknown_words`: the scorer does not know these words of the probe, so that it was not asked.
    """

    QUEUE = "scoring"
    JOB = "synthreview.scoring.probe_jobs.read"

    probe = models.ForeignKey(Probe, on_delete=models.CASCADE, related_name="passes")
    version = models.ForeignKey("scoring.ScorerVersion", on_delete=models.CASCADE, related_name="+")
    revision = models.PositiveIntegerField()
    read_count = models.PositiveIntegerField(default=0)
    unknown_words = models.JSONField(default=list)

    class Meta(DurableWork.Meta):
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(
                fields=["probe", "version"],
                condition=Q(state__in=OPEN_STATES),
                name="scoring_probepass_one_open",
            ),
        ]

    def __str__(self) -> str:
        return f"reading of {self.probe}"


class ProbeReading(models.Model):
    """The group whose words a scorer finds nearest to an image.

    `lot` puts a probe's images in a random order that never changes: people label the lowest first.
    """

    probe = models.ForeignKey(Probe, on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey("scoring.ScorerVersion", on_delete=models.CASCADE, related_name="+")
    image = models.ForeignKey(GeneratedImage, on_delete=models.CASCADE, related_name="+")
    group = models.ForeignKey(ProbeGroup, on_delete=models.CASCADE, related_name="+")
    lot = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["probe", "version", "image"], name="scoring_probereading_once"
            )
        ]
        indexes = [
            # Serves the page that asks people for the next image of the sample.
            models.Index(fields=["probe", "version", "lot"], name="scoring_probereading_lots")
        ]

    def __str__(self) -> str:
        return f"reading of {self.image_id}"


class ProbeLabel(models.Model):
    """What a person sees in an image of the sample; no group: none of these, or not to be told."""

    probe = models.ForeignKey(Probe, on_delete=models.CASCADE, related_name="labels")
    image = models.ForeignKey(GeneratedImage, on_delete=models.CASCADE, related_name="+")
    group = models.ForeignKey(ProbeGroup, null=True, on_delete=models.CASCADE, related_name="+")
    labelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    labelled_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]
        constraints = [
            # Whoever is first: the sample counts each image once.
            models.UniqueConstraint(fields=["probe", "image"], name="scoring_probelabel_once")
        ]

    def __str__(self) -> str:
        return f"label of {self.image_id}"
