"""Users. Their roles per dataset live in catalog."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """One person who signs in; superusers see every dataset."""
