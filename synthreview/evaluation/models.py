"""PROVE it: what a classifier learns from the images, measured on real ones."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from synthreview.catalog.models import Dataset
from synthreview.scoring.models import ScorerVersion
from synthreview.work.models import OPEN_STATES, DurableWork, WorkState

MOST_SEEDS = 20


class Phase(models.TextChoices):
    """What the worker is at."""

    FREEZING = "freezing", "writing down which images take part"
    LOOKING = "looking", "looking at the images"
    LEARNING = "learning", "training"
    MEASURING = "measuring", "measuring"


class Evaluation(DurableWork):
    """One measurement of what the synthetic images are worth on real ones.

    Asked for by a person; a worker freezes `inputs` (a frozen.Frozen: which image takes part as
    what), makes a Trial for each learner, arm and seed, and ends DONE with `result`. A worker that
    dies loses the trial that it was at. `counts` says of `inputs` how many; while `inputs` is empty
    nothing is frozen. `version` is the scorer whose embeddings the linear probe read.
    """

    QUEUE = "evaluation"
    JOB = "synthreview.evaluation.jobs.evaluate"

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    learners = models.JSONField()
    seeds = models.JSONField()
    with_unreviewed = models.BooleanField(default=True)
    version = models.ForeignKey(
        ScorerVersion, null=True, on_delete=models.PROTECT, related_name="+"
    )
    inputs = models.JSONField(default=dict)
    counts = models.JSONField(default=dict)
    phase = models.CharField(max_length=10, choices=Phase, default=Phase.FREEZING)
    done_count = models.PositiveIntegerField(default=0)
    total_count = models.PositiveIntegerField(default=0)
    result = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta(DurableWork.Meta):
        ordering = ["-pk"]
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(fields=["dataset", "number"], name="evaluation_number"),
            # A machine that trains twice at once trains each at half its pace.
            models.UniqueConstraint(
                fields=["dataset"],
                condition=Q(state__in=OPEN_STATES),
                name="evaluation_one_open",
            ),
            models.CheckConstraint(
                name="evaluation_phase_known", condition=Q(phase__in=Phase.values)
            ),
            models.CheckConstraint(
                name="evaluation_counts_fit", condition=Q(done_count__lte=F("total_count"))
            ),
            models.CheckConstraint(
                name="evaluation_done_has_result",
                condition=~Q(state=WorkState.DONE) | ~Q(result={}),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset} evaluation {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("evaluation", args=[self.dataset.slug, self.number])

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


class Trial(models.Model):
    """One training: what a learner made of an arm's images with one seed.

    `chances` are (V, N, C) float16, little-endian: for each of the `views` of the N test images
    the chance of each of the C classes. It is written once, and ends with its evaluation.
    """

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="trials")
    learner = models.CharField(max_length=20)
    arm = models.CharField(max_length=40)
    seed = models.PositiveIntegerField()
    views = models.JSONField()
    chances = models.BinaryField()
    train_count = models.PositiveIntegerField()
    seconds = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["evaluation", "learner", "arm", "seed"], name="evaluation_trial_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.learner} on {self.arm}, seed {self.seed}"


class PictureEmbedding(models.Model):
    """A picture's place in a scorer's space, by its bytes: float16, little-endian, length 1.

    Of real images, which scoring does not look at, and of the changed copies that robustness is
    measured with: `view` says what was done to the picture (pictures.View).
    """

    sha256 = models.CharField(max_length=64)
    version = models.ForeignKey(ScorerVersion, on_delete=models.CASCADE, related_name="+")
    view = models.CharField(max_length=80)
    vector = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["sha256", "version", "view"], name="evaluation_embedding_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.view} embedding of {self.sha256[:12]}"


class Diversity(DurableWork):
    """One look at how varied the images of each class are, beside the user's real ones.

    Planned by itself as images come, or asked for by a person; ends DONE with `result` (see
    diversity_jobs). `proposals` are the guard's sentences by class, apart from the result because
    busy pages read them. `threshold`: images alike by so much count as one composition.
    `image_count` is how many images the dataset had.
    """

    QUEUE = "evaluation"
    JOB = "synthreview.evaluation.diversity_jobs.measure"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey(
        ScorerVersion, null=True, on_delete=models.PROTECT, related_name="+"
    )
    threshold = models.FloatField()
    image_count = models.PositiveIntegerField()
    result = models.JSONField(default=dict)
    proposals = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta(DurableWork.Meta):
        ordering = ["-pk"]
        verbose_name_plural = "diversity looks"
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(
                fields=["dataset"],
                condition=Q(state__in=OPEN_STATES),
                name="evaluation_diversity_one_open",
            ),
            models.CheckConstraint(
                name="evaluation_diversity_threshold_is_cosine",
                condition=Q(threshold__gt=0, threshold__lt=1),
            ),
            models.CheckConstraint(
                name="evaluation_diversity_done_has_result",
                condition=~Q(state=WorkState.DONE) | ~Q(result={}),
            ),
        ]

    def __str__(self) -> str:
        return f"diversity of {self.dataset}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES
