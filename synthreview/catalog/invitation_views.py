"""Pages of invitations: an admin makes a link, whoever gets it opens it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.catalog.forms import InvitationForm
from synthreview.catalog.invitations import (
    SESSION_KEY,
    InvitationError,
    accept_from_session,
    find_invitation,
    invite,
    withdraw,
)
from synthreview.catalog.models import Membership
from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action, Role


@never_cache
@require_http_methods(["GET", "POST"])
def invitations(request: HttpRequest, slug: str) -> HttpResponse:
    """List the links that are open, and make one; its address is shown this once."""
    dataset, context = open_dataset(request, slug, Action.ADMINISTER)
    form = InvitationForm(request.POST or None)
    if form.is_valid():
        _, token = invite(
            dataset=dataset,
            role=form.cleaned_data["invited_role"],
            note=form.cleaned_data["note"],
            days=form.cleaned_data["days"],
            by=signed_in(request),
        )
        context["link"] = request.build_absolute_uri(reverse("invitation", args=[token]))
        form = InvitationForm()
    rows = dataset.invitations.filter(accepted_at=None).select_related("created_by")
    context |= {"form": form, "invitations": rows}
    return render(request, "catalog/invitations.html", context, status=422 if form.errors else 200)


@require_POST
def withdraw_invitation(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Make a link useless."""
    dataset, _ = open_dataset(request, slug, Action.ADMINISTER)
    withdraw(get_object_or_404(dataset.invitations.filter(accepted_at=None), pk=pk))
    messages.success(request, "The link opens nothing any more.")
    return redirect("invitations", dataset.slug)


@never_cache
@login_not_required
@require_GET
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Say what the link is for; who has no account yet makes one from here."""
    try:
        found = find_invitation(token)
    except InvitationError as error:
        return render(request, "catalog/invitation.html", {"error": str(error)}, status=404)
    request.session[SESSION_KEY] = token
    context = {"invitation": found, "role": Role(found.role).label}
    if request.user.is_authenticated:
        member = Membership.objects.filter(dataset=found.dataset, user=signed_in(request))
        context["membership"] = member.first()
    return render(request, "catalog/invitation.html", context)


@require_POST
def accept_invitation(request: HttpRequest) -> HttpResponse:
    """Take the role of the link that was opened in this browser."""
    membership = accept_from_session(request, signed_in(request))
    return redirect(membership.dataset) if membership else redirect("home")
