"""How sign-in by django-allauth differs from its own ways: who may, how often, what is recorded."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from synthreview.accounts.models import User
from synthreview.trail.acts import Act
from synthreview.trail.services import record


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Nobody signs up uninvited; wrong passwords are counted per address and name."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        # By name alone a stranger could lock the true owner out from everywhere.
        key: str = super()._get_login_attempts_cache_key(request, **credentials)
        return f"{self.get_client_ip(request)} {key}"

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        super().login(request, user)
        record(Act.SIGNED_IN, user, by=user)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        # Only names that exist: people type passwords into the wrong field.
        found = User.objects.filter(username=credentials.get("username", "")).first()
        record(Act.SIGN_IN_FAILED, found or User())

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        super().set_password(user, password)
        record(Act.PASSWORD_CHANGED, user)


class SocialAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Whoever the organisation's single sign-on knows may come in where the operator says so."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return settings.SSO_SIGN_UP or bool(super().is_open_for_signup(request, sociallogin))


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Keeps the secrets of authenticator apps and recovery codes encrypted in the database."""

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _cipher().decrypt(encrypted_text.encode()).decode()


def _cipher() -> Fernet:
    digest = hashlib.sha256(b"second factor" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
