"""The page on which a person chooses the keys of their review pages."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from synthreview.accounts.models import Preferences, User
from synthreview.catalog.pages import signed_in
from synthreview.review.forms import KeysForm
from synthreview.review.keys import Binding, Mode, bindings, key_map


def bindings_of(user: User, mode: Mode) -> list[Binding]:
    """Return what this person's keys do in `mode`; one query."""
    chosen = Preferences.objects.filter(user=user).first()
    if chosen is None:
        return bindings(mode)
    return bindings(mode, chosen.key_preset, chosen.key_changes)


def keys_context(user: User, mode: Mode) -> dict[str, Any]:
    """Return what a review page, its buttons and its help need to know of the keys.

    `key_of` is action → its first key as it is written, to stand on buttons.
    """
    bound = bindings_of(user, mode)
    key_of = {one.action.action: one.shown[0] for one in bound if one.shown}
    return {
        "mode": mode.value,
        "bindings": bound,
        "key_of": key_of,
        "keys": {"actions": key_map(bound), "shown": key_of},
    }


@never_cache
@require_http_methods(["GET", "POST"])
def keys(request: HttpRequest) -> HttpResponse:
    """Show and keep which preset a person works with, and what they changed in it."""
    user = signed_in(request)
    chosen = Preferences.objects.filter(user=user).first() or Preferences(user=user)
    form = KeysForm(request.POST or None, preferences=chosen)
    if form.is_valid():
        form.save()
        messages.success(request, "Your keys are saved. They hold on every review page.")
        return redirect("review-keys")
    return render(request, "review/keys.html", {"form": form})
