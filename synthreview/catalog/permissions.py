"""The one permission table: what each role may do with a dataset.

A reviewer whose membership says so may adjudicate too; that is the only right beside the role.
What a person may not see does not exist for them (404); what they may see and not do
is refused (403). `Dataset.objects.visible_to` and `require` are the only doors.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import models

if TYPE_CHECKING:
    from synthreview.accounts.models import User
    from synthreview.catalog.models import Dataset


class Role(models.TextChoices):
    ADMIN = "admin", "Admin: members, policy and everything below"
    CURATOR = "curator", "Curator: classes, prompts, runs, exports and everything below"
    REVIEWER = "reviewer", "Reviewer: reviews images"
    VIEWER = "viewer", "Viewer: looks at pages"


class Action(StrEnum):
    VIEW = "view"
    REVIEW = "review"
    ADJUDICATE = "adjudicate"
    CURATE = "curate"
    EXPORT = "export"
    ADMINISTER = "administer"


ALLOWED: dict[str, frozenset[Action]] = {
    Role.VIEWER: frozenset({Action.VIEW}),
    Role.REVIEWER: frozenset({Action.VIEW, Action.REVIEW}),
    Role.CURATOR: frozenset(Action) - {Action.ADMINISTER},
    Role.ADMIN: frozenset(Action),
}


def actions_of(user: User, dataset: Dataset) -> frozenset[Action]:
    """Return what `user` may do with `dataset`; one query, none where the membership is known.

    Who comes with a token may do what its scopes and its owner's role both allow.
    """
    allowed = _actions_of_role(user, dataset)
    return allowed if user.scopes is None else allowed & {Action(name) for name in user.scopes}


def _actions_of_role(user: User, dataset: Dataset) -> frozenset[Action]:
    if user.is_superuser:
        return frozenset(Action)
    membership = dataset.membership_of(user)
    if membership is None:
        return frozenset()
    allowed = ALLOWED[membership.role]
    if membership.may_adjudicate and Action.REVIEW in allowed:
        allowed |= {Action.ADJUDICATE}
    return allowed


def require(user: User, dataset: Dataset, action: Action) -> frozenset[Action]:
    """Return what `user` may do here. Raises PermissionDenied where `action` is not among it."""
    allowed = actions_of(user, dataset)
    if action not in allowed:
        raise PermissionDenied(f"Your role in {dataset.name} does not allow you to {action}.")
    return allowed
