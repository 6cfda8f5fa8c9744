"""Users, and what each has set for themselves. Their roles per dataset live in catalog."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone


class Scope(models.TextChoices):
    """What a token may be used for. The names are those of catalog's actions."""

    VIEW = "view", "Look"
    REVIEW = "review", "Review"
    ADJUDICATE = "adjudicate", "Settle disagreements"
    CURATE = "curate", "Change classes and prompts, start runs"
    EXPORT = "export", "Export"
    ADMINISTER = "administer", "Change members and policy"


class User(AbstractUser):
    """One person who signs in; superusers see every dataset.

    `scopes` narrows what they may do for as long as a request lasts that came with a token; None
    where they signed in themselves.
    """

    scopes: frozenset[str] | None = None


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self) -> Self:
        """Return the tokens that open something now."""
        return self.filter(revoked_at=None, expires_at__gt=Now(), user__is_active=True)


class ApiToken(models.Model):
    """A key for the API in a person's name, with less right than theirs and an end.

    Only its hash is kept, and its first letters to tell it from others. It ends by its date or
    revoked, and stays on record.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens"
    )
    title = models.CharField(max_length=80, validators=[ProhibitNullCharactersValidator()])
    token_hash = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=12)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.title} ({self.prefix}…)"

    @property
    def has_expired(self) -> bool:
        return self.expires_at <= timezone.now()


class Preferences(models.Model):
    """How one person likes to work. No row: everything as it comes.

    `key_changes` is action → its keys, where they differ from the preset's (an empty list: off);
    the review stage reads and checks it.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="preferences"
    )
    key_preset = models.CharField(max_length=10, default="letters")
    key_changes = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"preferences of {self.user}"
