"""Verbs of accounts: make, use and revoke tokens of the API."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from synthreview.accounts.models import ApiToken, Scope, User
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record

MARK = "sr_"  # so that scanners of leaked secrets know one
MOST_TOKENS = 50
NOTED_EVERY = dt.timedelta(minutes=1)


class TokenError(ValueError):
    """The token cannot be made; the message says why."""


def _hash(token: str) -> str:
    # A token is 256 bits of chance: a plain hash is as good as a slow one, and quick.
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def make_token(*, user: User, title: str, scopes: Iterable[str], days: int) -> tuple[ApiToken, str]:
    """Return a new token's row and the token itself, which is told once and never kept.

    Looking is always among its scopes. Raises TokenError.
    """
    if ApiToken.objects.usable().filter(user=user).count() >= MOST_TOKENS:
        raise TokenError(f"You have {MOST_TOKENS} tokens: revoke one first.")
    secret = MARK + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        title=title,
        token_hash=_hash(secret),
        prefix=secret[:8],
        scopes=[scope for scope in Scope.values if scope in {Scope.VIEW, *scopes}],
        expires_at=timezone.now() + dt.timedelta(days=days),
    )
    record(Act.TOKEN_MADE, token, after=facts(token, "title", "scopes", "expires_at"), by=user)
    return token, secret


@transaction.atomic
def revoke_token(token: ApiToken) -> None:
    """End a token; twice changes nothing."""
    if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=Now()):
        record(Act.TOKEN_REVOKED, token, before=facts(token, "title", "scopes"))


def user_of_token(secret: str) -> tuple[User, ApiToken] | None:
    """Return the token's owner, narrowed to its scopes, and its row; None where it opens nothing.

    One query, and once a minute another that notes its use.
    """
    token = (
        ApiToken.objects.usable().select_related("user").filter(token_hash=_hash(secret)).first()
    )
    if token is None:
        return None
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - NOTED_EVERY)
    if token.last_used_at is None or token.last_used_at < timezone.now() - NOTED_EVERY:
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=Now())
    user = token.user
    user.scopes = frozenset(token.scopes)
    return user, token
