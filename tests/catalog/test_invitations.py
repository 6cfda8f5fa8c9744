"""Invitations: a link lets one person in, once, for a while, and never takes a right away."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.invitations import InvitationError, accept, find_invitation, invite
from synthreview.catalog.models import Invitation, Membership
from synthreview.catalog.permissions import Role
from synthreview.trail.acts import Act
from synthreview.trail.models import Entry
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/settings/invitations/"
NEW = {"username": "dora", "password1": "a long passphrase 9", "password2": "a long passphrase 9"}


@pytest.fixture
def people() -> People:
    return make_people()


def make_link(people: People, role: str = Role.REVIEWER, **more: Any) -> str:
    _, token = invite(dataset=people.dataset, role=role, by=people.users["admin"], **more)
    return token


def role_of(people: People, user: User) -> str | None:
    return (
        Membership.objects.filter(dataset=people.dataset, user=user)
        .values_list("role", flat=True)
        .first()
    )


def test_nobody_signs_up_without_an_invitation(client: Client) -> None:
    assert "By invitation" in client.get("/account/sign-up/").content.decode()
    client.post("/account/sign-up/", NEW)
    assert not User.objects.exists()


def test_an_admin_makes_a_link_that_is_shown_once_and_kept_as_a_hash(people: People) -> None:
    client = people.client("admin")
    page = client.post(PAGE, {"invited_role": "reviewer", "note": "Dora", "days": 3})
    link = page.context["link"]
    token = link.rstrip("/").rpartition("/")[2]
    assert token not in str(list(Invitation.objects.values()))
    assert token not in str(list(Entry.objects.values()))
    page = client.get(PAGE).content.decode()
    assert "Dora" in page
    assert token not in page


def test_who_opens_the_link_makes_an_account_with_the_role(people: People, client: Client) -> None:
    token = make_link(people)
    page = client.get(f"/invitation/{token}/").content.decode()
    assert "Traffic" in page
    assert not User.objects.filter(username="dora").exists()
    assert client.post("/account/sign-up/", NEW).status_code == 302
    dora = User.objects.get(username="dora")
    assert role_of(people, dora) == "reviewer"
    assert client.get("/d/traffic/").status_code == 200
    assert Entry.objects.filter(act=Act.INVITATION_ACCEPTED, actor="dora").exists()
    other = Client()
    assert other.get(f"/invitation/{token}/").status_code == 404
    assert "By invitation" in other.get("/account/sign-up/").content.decode()


def test_who_has_an_account_signs_in_or_accepts(people: People, client: Client) -> None:
    stranger = people.client("stranger")
    token = make_link(people, Role.VIEWER)
    assert "Accept as stranger" in stranger.get(f"/invitation/{token}/").content.decode()
    assert role_of(people, people.users["stranger"]) is None  # looking changes nothing
    assert stranger.post("/invitation/accept").url == "/d/traffic/"
    assert role_of(people, people.users["stranger"]) == "viewer"
    client.get(f"/invitation/{make_link(people, Role.CURATOR)}/")
    client.post("/account/sign-in/", {"login": "stranger", "password": "stranger"})
    assert role_of(people, people.users["stranger"]) == "curator"


def test_an_invitation_never_takes_a_right_away(people: People) -> None:
    accept(make_link(people, Role.VIEWER), people.users["curator"])
    assert role_of(people, people.users["curator"]) == "curator"


@pytest.mark.parametrize("fault", ["unknown", "used", "expired", "withdrawn", "inviter"])
def test_a_link_that_is_no_good_opens_nothing(people: People, client: Client, fault: str) -> None:
    token = make_link(people)
    if fault == "unknown":
        token = "x" * 43
    elif fault == "used":
        accept(token, people.users["stranger"])
    elif fault == "expired":
        Invitation.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    elif fault == "withdrawn":
        people.client("admin").post(f"{PAGE}{Invitation.objects.get().pk}/withdraw")
    else:
        people.dataset.memberships.filter(user=people.users["admin"]).update(role=Role.CURATOR)
    with pytest.raises(InvitationError):
        find_invitation(token)
    answer = client.get(f"/invitation/{token}/")
    assert answer.status_code == 404
    assert "Traffic" not in answer.content.decode()
    with pytest.raises(InvitationError):
        accept(token, people.users["viewer"])


def test_only_admins_invite(people: People) -> None:
    make_link(people)
    pk = Invitation.objects.get().pk
    for who, status in {"curator": 403, "viewer": 403, "stranger": 404}.items():
        client = people.client(who)
        form = {"invited_role": "admin", "days": 3}
        assert client.post(PAGE, form).status_code == status
        assert client.post(f"{PAGE}{pk}/withdraw").status_code == status
    assert Invitation.objects.count() == 1


def test_a_wrong_wish_is_told(people: People) -> None:
    page = people.client("admin").post(PAGE, {"invited_role": "king", "days": 900})
    assert page.status_code == 422
    assert not Invitation.objects.exists()
