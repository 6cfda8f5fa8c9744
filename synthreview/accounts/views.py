"""Sign-in where it differs from django-allauth's own pages, and the page of one's own account."""

from __future__ import annotations

from typing import Any

from allauth.account.views import LoginView
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.accounts.forms import TokenForm
from synthreview.accounts.models import ApiToken, User
from synthreview.accounts.services import TokenError, make_token, revoke_token

WAIT_S = 300


class SignInView(LoginView):  # type: ignore[misc]
    """Too many wrong passwords are answered as such: 429, and when to come back."""

    def form_invalid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)
        if form.has_error("__all__", "too_many_login_attempts"):
            response.status_code = 429
            response["Retry-After"] = str(WAIT_S)
        return response


@require_GET
def account(request: HttpRequest) -> HttpResponse:
    """What belongs to one's own account, and the way to each."""
    context = {
        "factors": Authenticator.objects.filter(user=request.user)
        .exclude(type=Authenticator.Type.RECOVERY_CODES)
        .count(),
        "sessions": UserSession.objects.filter(user=request.user).count(),
        "tokens": ApiToken.objects.usable().filter(user=request.user.pk).count(),
        "is_sso": bool(settings.SOCIALACCOUNT_PROVIDERS),
    }
    return render(request, "accounts/account.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """One's tokens for the API, and the form that makes one; it is shown this once."""
    user = request.user
    assert isinstance(user, User)
    form = TokenForm(request.POST or None)
    context: dict[str, Any] = {}
    if form.is_valid():
        try:
            _, context["secret"] = make_token(user=user, **form.cleaned_data)
            form = TokenForm()
        except TokenError as error:
            form.add_error(None, str(error))
    context |= {"form": form, "tokens": user.api_tokens.filter(revoked_at=None)}
    return render(request, "accounts/tokens.html", context, status=422 if form.errors else 200)


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """End one of one's tokens."""
    user = request.user
    assert isinstance(user, User)
    revoke_token(get_object_or_404(user.api_tokens.filter(revoked_at=None), pk=pk))
    messages.success(request, "The token opens nothing any more.")
    return redirect("tokens")
