"""SAY it: the prompts of a dataset."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.db.models import Q

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.lib.text import normalised, with_article
from synthreview.prompting.techniques import (
    CARRIER,
    INSTRUCTION_SLOTS,
    TECHNIQUE_CHOICES,
    TECHNIQUES,
    label_note,
    review_question,
)

if TYPE_CHECKING:
    from synthreview.accounts.models import User


# PostgreSQL's index takes 2,704 bytes in a row; longer keys end with a checksum instead.
MAX_KEY_BYTES = 2_000


def text_key_of(text: str) -> str:
    """Return what a caption is told apart by: its normal form, shortened where it is long."""
    key = normalised(text)
    data = key.encode()
    if len(data) <= MAX_KEY_BYTES:
        return key
    return f"{key[:200]}… sha256:{hashlib.sha256(data).hexdigest()}"


class PromptState(models.TextChoices):
    DRAFT = "draft", "to be checked"
    APPROVED = "approved", "approved"
    RETIRED = "retired", "retired"


class PromptQuerySet(models.QuerySet["Prompt"]):
    def visible_to(self, user: User) -> Self:
        return self.filter(dataset__in=Dataset.objects.visible_to(user))

    def approved(self) -> Self:
        return self.filter(state=PromptState.APPROVED)


class Prompt(models.Model):
    """One caption to be drawn: its words, and what each slot of it says.

    `slots` maps an axis to the words in the caption ("environment": "on the beach").
    It ends APPROVED (may be drawn) or RETIRED (kept, as evidence for its images).
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    label_class = models.ForeignKey(LabelClass, on_delete=models.CASCADE, related_name="+")
    technique = models.CharField(max_length=20, choices=TECHNIQUE_CHOICES)
    text = models.CharField(max_length=4000, validators=[ProhibitNullCharactersValidator()])
    text_key = models.CharField(max_length=4000, editable=False)
    slots = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=10, choices=PromptState, default=PromptState.DRAFT)
    author = models.CharField(max_length=60, default="person")
    author_version = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
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
        indexes = [models.Index(fields=["dataset", "state"], name="prompting_prompt_by_state")]

    def __str__(self) -> str:
        return self.text

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.text_key = text_key_of(self.text)
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
