"""Users, and what each has set for themselves. Their roles per dataset live in catalog."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """One person who signs in; superusers see every dataset."""


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
