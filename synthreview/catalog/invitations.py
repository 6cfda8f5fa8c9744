"""Invitations by link: who opens it and has or makes an account gets the role, once.

Only the hash of a link's token is kept: who reads the database cannot use it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets

from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone

from synthreview.accounts.adapters import AccountAdapter
from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, Invitation, Membership
from synthreview.catalog.permissions import ALLOWED, Action, Role, actions_of
from synthreview.catalog.services import set_role
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record

DAYS = 7
MOST_DAYS = 60
SESSION_KEY = "invitation"


class InvitationError(ValueError):
    """The link is of no use; the message says why, in plain words."""


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def invite(
    *, dataset: Dataset, role: str, by: User, note: str = "", days: int = DAYS
) -> tuple[Invitation, str]:
    """Return a new invitation and its token, which is told once and never kept."""
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        dataset=dataset,
        role=role,
        note=note,
        token_hash=_hash(token),
        created_by=by,
        expires_at=timezone.now() + dt.timedelta(days=days),
    )
    record(Act.INVITED, invitation, after=facts(invitation, "role", "note", "expires_at"), by=by)
    return invitation, token


def find_invitation(token: str) -> Invitation:
    """Return the invitation that the token opens. Raises InvitationError where none is open.

    Who invited must still be an admin: nobody hands on a right that they have lost.
    """
    found = (
        Invitation.objects.select_related("dataset", "created_by")
        .filter(token_hash=_hash(token))
        .first()
    )
    if found is None:
        raise InvitationError("This link opens nothing. Ask for a new one.")
    if found.accepted_at:
        raise InvitationError("This invitation has been used already. Ask for a new one.")
    if found.expires_at <= timezone.now():
        raise InvitationError("This invitation has expired. Ask for a new one.")
    inviter = found.created_by
    if not inviter.is_active or Action.ADMINISTER not in actions_of(inviter, found.dataset):
        raise InvitationError("Who invited you is no admin here any more. Ask another one.")
    return found


@transaction.atomic
def accept(token: str, user: User) -> Membership:
    """Give the person the invitation's role, unless theirs allows more. Raises InvitationError."""
    invitation = find_invitation(token)
    # Conditional: of two people with one link one gets in.
    waiting = Invitation.objects.filter(pk=invitation.pk, accepted_at=None)
    if not waiting.update(accepted_at=Now(), accepted_by=user):
        raise InvitationError("This invitation has been used already. Ask for a new one.")
    record(Act.INVITATION_ACCEPTED, invitation, after={"role": invitation.role}, by=user)
    there = Membership.objects.filter(dataset=invitation.dataset, user=user).first()
    if there and ALLOWED[there.role] >= ALLOWED[invitation.role]:
        return there
    return set_role(dataset=invitation.dataset, user=user, role=invitation.role)


@transaction.atomic
def withdraw(invitation: Invitation) -> None:
    """Make the link useless."""
    record(Act.INVITATION_WITHDRAWN, invitation, before=facts(invitation, "role", "note"))
    invitation.delete()


class InvitedAdapter(AccountAdapter):
    """Sign-up is open to who holds an invitation; signing in or up with one accepts it."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        try:
            return bool(find_invitation(request.session.get(SESSION_KEY, "")))
        except InvitationError:
            return False

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        super().login(request, user)
        if SESSION_KEY in request.session and isinstance(user, User):
            accept_from_session(request, user)


def accept_from_session(request: HttpRequest, user: User) -> Membership | None:
    """Accept the invitation that the person opened before, and tell them what came of it."""
    try:
        membership = accept(request.session.pop(SESSION_KEY, ""), user)
    except InvitationError as error:
        messages.error(request, str(error))
        return None
    role = Role(membership.role).name.lower()
    messages.success(request, f"You are in {membership.dataset.name} now, as its {role}.")
    return membership
