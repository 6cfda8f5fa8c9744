"""SAY it: the prompts of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.db.models import Count, F, Q, Sum
from django.urls import reverse

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.lib.text import text_key, with_article
from synthreview.prompting.learning import Tally
from synthreview.prompting.techniques import (
    CARRIER,
    INSTRUCTION_SLOTS,
    TECHNIQUE_CHOICES,
    TECHNIQUES,
    label_note,
    review_question,
)
from synthreview.spending.limits import Limits
from synthreview.spending.models import PaidWork
from synthreview.work.models import WorkState

if TYPE_CHECKING:
    from synthreview.accounts.models import User


class WritingQuerySet(models.QuerySet["Writing"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(dataset__in=Dataset.objects.visible_to(user))


class Writing(models.Model):
    """One wish that captions were written for, and what was not kept of them.

    `wish` is what was asked for (`wishes.Wish.facts`), `brief` what a language model was told
    besides (`briefs.Brief.facts`), and `state` what becomes of captions that the gate keeps.
    `dropped` holds the first DROPPED_KEPT of `dropped_count` captions that it refused:
    {"class", "text", "reasons": [[code, text]]}. Word lists fill it in at once; what a language
    model writes comes call by call, and it has ended when none of its calls is open. A trial is
    one of two writings by which authors are compared; its calls keep all that came. `server` is
    the entry of AUTHORS that is asked: of a tuned author the plain one.
    """

    DROPPED_KEPT = 500

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    technique = models.CharField(max_length=20, choices=TECHNIQUE_CHOICES)
    author = models.CharField(max_length=60)
    author_version = models.CharField(max_length=60, blank=True)
    server = models.CharField(max_length=60, blank=True)
    wish = models.JSONField(default=dict)
    brief = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=10, default="draft")
    is_trial = models.BooleanField(default=False)
    asked = models.PositiveIntegerField()
    written = models.PositiveIntegerField()
    dropped_count = models.PositiveIntegerField(default=0)
    dropped = models.JSONField(default=list)
    notes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    objects = WritingQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.get_technique_display()} by {self.author}"

    def get_absolute_url(self) -> str:
        return reverse("writing", args=[self.dataset.slug, self.pk])


SERVICE = "author:"


def service_of(alias: str) -> str:
    """Return the name of an author's gate."""
    return f"{SERVICE}{alias}"


class WritingCall(PaidWork):
    """One answer that a language model is asked for: `count` captions of one class.

    Of `planned` captions of that class they are those from number `start` on. `captions` holds
    all that came of a trial: [{"text", "slots", "outcome", "codes"}].
    """

    QUEUE = "prompting"
    JOB = "synthreview.prompting.jobs.write"
    ONE_JOB = "synthreview.prompting.jobs.write_call"

    writing = models.ForeignKey(Writing, on_delete=models.CASCADE, related_name="calls")
    label_class = models.ForeignKey(LabelClass, on_delete=models.CASCADE, related_name="+")
    count = models.PositiveIntegerField()
    start = models.PositiveIntegerField(default=0)
    planned = models.PositiveIntegerField()
    captions = models.JSONField(default=list, blank=True)

    class Meta(PaidWork.Meta):
        constraints = [
            *PaidWork.Meta.constraints,
            models.CheckConstraint(
                name="prompting_writingcall_share",
                condition=Q(count__gte=1, planned__gte=F("start") + F("count")),
            ),
        ]

    def __str__(self) -> str:
        return f"call {self.pk} of writing {self.writing_id}"

    @property
    def payer_id(self) -> int:
        return self.writing.dataset_id

    @property
    def service(self) -> str:
        return service_of(self.writing.server)

    @property
    def limits(self) -> Limits:
        return Limits.of(settings.AUTHORS.get(self.writing.server))

    @classmethod
    def running_for(cls, service: str) -> int:
        alias = service.removeprefix(SERVICE)
        return cls.objects.filter(state=WorkState.RUNNING, writing__server=alias).count()


TUNED = "tuned-"


class Tuning(PaidWork):
    """One fine-tuning of an author on a dataset's captions; DONE, it is an author of its own.

    It trains on this machine, or a server does it (`where`). The training file and the adapter
    lie in `folder`. `server_file` and `server_job` are the server's names for what was sent, and
    by the file a job is found again whose answer was lost, so sending again is safe. `result` is
    the adapter's folder or the model's name. `report` holds what is told of it: losses, tokens.
    """

    QUEUE = "prompting"
    JOB = "synthreview.prompting.tuning_jobs.tune"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    title = models.CharField(max_length=80)
    base = models.CharField(max_length=60)
    where = models.CharField(max_length=10, choices=[("local", "here"), ("server", "by a server")])
    is_preference = models.BooleanField(default=False)
    options = models.JSONField(default=dict)
    held_out = models.JSONField(default=list)
    rows = models.PositiveIntegerField()
    tokens = models.PositiveIntegerField()
    steps_done = models.PositiveIntegerField(default=0)
    steps_total = models.PositiveIntegerField(default=0)
    loss = models.FloatField(null=True)
    stop_asked = models.BooleanField(default=False)
    server_file = models.CharField(max_length=200, blank=True)
    server_job = models.CharField(max_length=200, blank=True)
    events = models.JSONField(default=list)
    result = models.CharField(max_length=500, blank=True)
    report = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    class Meta(PaidWork.Meta):
        ordering = ["-pk"]
        constraints = [
            *PaidWork.Meta.constraints,
            models.CheckConstraint(
                name="prompting_tuning_where_known", condition=Q(where__in=["local", "server"])
            ),
            models.CheckConstraint(
                name="prompting_tuning_result_iff_done",
                condition=Q(state=WorkState.DONE) & ~Q(result="")
                | ~Q(state=WorkState.DONE) & Q(result=""),
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("tuning", args=[self.dataset.slug, self.pk])

    @property
    def alias(self) -> str:
        """The name under which it is an author."""
        return f"{TUNED}{self.pk}"

    @property
    def folder(self) -> Path:
        return Path(settings.DATA_DIR) / "tuning" / str(self.pk)

    @property
    def payer_id(self) -> int:
        return self.dataset_id

    @classmethod
    def running_for(cls, service: str) -> int:
        return cls.objects.filter(state=WorkState.RUNNING).count()


class Comparison(models.Model):
    """A tuned author beside its plain one: two trials of the same wish."""

    tuning = models.ForeignKey(Tuning, on_delete=models.CASCADE, related_name="comparisons")
    plain = models.ForeignKey(Writing, on_delete=models.CASCADE, related_name="+")
    tuned = models.ForeignKey(Writing, on_delete=models.CASCADE, related_name="+")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"comparison {self.pk} of {self.tuning}"


class PromptState(models.TextChoices):
    DRAFT = "draft", "to be checked"
    APPROVED = "approved", "approved"
    RETIRED = "retired", "retired"


class PromptQuerySet(models.QuerySet["Prompt"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(dataset__in=Dataset.objects.visible_to(user))

    def approved(self) -> Self:
        return self.filter(state=PromptState.APPROVED)

    def counts(self) -> dict[str, int]:
        """Return how many there are in "all", how many "drafts", how many "approved"."""
        return self.aggregate(
            all=Count("pk"),
            drafts=Count("pk", filter=Q(state=PromptState.DRAFT)),
            approved=Count("pk", filter=Q(state=PromptState.APPROVED)),
        )


class Prompt(models.Model):
    """One caption to be drawn: its words, and what each slot of it says.

    `slots` maps an axis to the words in the caption ("environment": "on the beach"). `template`
    is what it was made from, empty where a person or a model wrote it whole. `flags` say why a
    person should look at it: [[code, sentence], …]. It ends APPROVED (may be drawn) or RETIRED
    (kept, as evidence for its images).
    """

    # Other indexes begin with these two columns; fewer of them make an import shorter.
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+", db_index=False)
    label_class = models.ForeignKey(
        LabelClass, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    technique = models.CharField(max_length=20, choices=TECHNIQUE_CHOICES)
    text = models.CharField(max_length=4000, validators=[ProhibitNullCharactersValidator()])
    text_key = models.CharField(max_length=4000, editable=False)
    slots = models.JSONField(default=dict, blank=True)
    template = models.CharField(max_length=500, blank=True)
    flags = models.JSONField(default=list, blank=True)
    state = models.CharField(max_length=10, choices=PromptState, default=PromptState.DRAFT)
    author = models.CharField(max_length=60, default="person")
    author_version = models.CharField(max_length=60, blank=True)
    writing = models.ForeignKey(
        Writing,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="prompts",
        db_index=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    objects = PromptQuerySet.as_manager()

    class Meta:
        ordering = ["label_class__position", "technique", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["label_class", "technique", "text_key"], name="prompting_prompt_text"
            ),
            models.CheckConstraint(
                name="prompting_prompt_state_known", condition=Q(state__in=PromptState.values)
            ),
            models.CheckConstraint(
                name="prompting_prompt_technique_known",
                condition=Q(technique__in=list(TECHNIQUES)),
            ),
            models.CheckConstraint(name="prompting_prompt_text_given", condition=~Q(text_key="")),
        ]
        indexes = [
            models.Index(fields=["dataset", "state"], name="prompting_prompt_by_state"),
            models.Index(
                fields=["writing"],
                name="prompting_prompt_by_writing",
                condition=Q(writing__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.text

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.text_key = text_key(self.text)
        super().save(*args, **kwargs)

    @property
    def parts(self) -> dict[str, str]:
        """What a scorer can judge alone: the object and each slot's words that can be seen."""
        name = self.slots.get(CARRIER) or self.label_class.name
        seen = {k: words for k, words in self.slots.items() if k not in INSTRUCTION_SLOTS}
        return {"object": with_article(name), **seen}

    @property
    def question(self) -> str:
        """What a reviewer is asked about an image of it."""
        return review_question(self.technique, self.label_class.name, self.slots)

    @property
    def label_note(self) -> str:
        """Why it has its label, where that is not plain to see."""
        return label_note(self.technique, self.label_class.name, self.slots)


class MeaningCheck(models.Model):
    """How far a dataset's captions were compared by meaning; the scoring stage tells it.

    `unknown` captions hold words that the model does not know, so it says nothing of them.
    """

    dataset = models.OneToOneField(
        Dataset, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    model = models.CharField(max_length=120)
    threshold = models.FloatField()
    compared = models.PositiveIntegerField()
    unknown = models.PositiveIntegerField()
    checked_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.model} on {self.dataset}"


class PromptOutcomeQuerySet(models.QuerySet["PromptOutcome"]):
    def by_template(self, dataset: Dataset, technique: str) -> dict[str, Tally]:
        """Return what people made of the images of each template of a technique."""
        rows = self.filter(prompt__dataset=dataset, prompt__technique=technique)
        sums = rows.values_list("prompt__template").annotate(Sum("approved"), Sum("rejected"))
        return {template: Tally(*counts) for template, *counts in sums}


class PromptOutcome(models.Model):
    """How many images of a prompt people approved and rejected, when that was counted last.

    The stage in which they decide counts it and tells it here (`services.record_outcomes`),
    because this stage must not look there. It ends with its prompt.
    """

    prompt = models.OneToOneField(
        Prompt, on_delete=models.CASCADE, primary_key=True, related_name="outcome"
    )
    approved = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)

    objects = PromptOutcomeQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.approved} approved, {self.rejected} rejected"

    @property
    def tally(self) -> Tally:
        return Tally(self.approved, self.rejected)
