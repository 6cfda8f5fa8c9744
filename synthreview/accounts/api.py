"""How the API knows who asks by a token; pages know sessions alone."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja.errors import AuthenticationError
from ninja.security import HttpBearer

from synthreview.accounts.limits import count
from synthreview.accounts.services import user_of_token


class TokenAuth(HttpBearer):
    """`Authorization: Bearer sr_…`: acts as the token's owner, within the token's scopes."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        found = user_of_token(token)
        if found is None:  # who brings a token means it: no session stands in for a bad one
            raise AuthenticationError
        user, row = found
        request.user = user
        count(request, user)
        request.trail_via = f"token {row.prefix}"  # type: ignore[attr-defined]
        return user
