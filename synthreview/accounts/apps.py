"""What the accounts do when the project starts."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Has the trail told of second factors: django-allauth says so by signals alone."""

    name = "synthreview.accounts"

    def ready(self) -> None:
        from allauth.mfa.signals import authenticator_added, authenticator_removed

        authenticator_added.connect(note_factor_added)
        authenticator_removed.connect(note_factor_removed)


def note_factor_added(*, user: Any, authenticator: Any, **_: Any) -> None:
    from synthreview.trail.acts import Act
    from synthreview.trail.services import record

    record(Act.FACTOR_ADDED, user, after={"kind": str(authenticator.type)}, by=user)


def note_factor_removed(*, user: Any, authenticator: Any, **_: Any) -> None:
    from synthreview.trail.acts import Act
    from synthreview.trail.services import record

    record(Act.FACTOR_REMOVED, user, before={"kind": str(authenticator.type)}, by=user)
