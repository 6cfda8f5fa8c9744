"""Every page for every kind of person: what they get is written down, and no page is left out.

tests/test_api.py has the API's half. Answers: "in" is whatever the page says to who may be there
(also that a form is wrong, or that there is nothing to do), "403", "404", "sign-in" and "405".
"""

from __future__ import annotations

import copy
import dataclasses
import re
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from synthreview.accounts.services import make_token
from synthreview.catalog.invitations import invite
from synthreview.catalog.models import Axis, AxisValue, ForbiddenPair, ReferenceImage
from synthreview.catalog.storage import FAMILIES
from synthreview.evaluation.models import Evaluation
from synthreview.export.models import Webhook
from synthreview.prompting.models import Comparison, Tuning, Writing
from synthreview.prompting.wishes import Wish
from synthreview.review.models import PutAside, Verdict
from synthreview.scoring.models import Probe
from synthreview.work.models import WorkState
from tests.export.frozen import frozen
from tests.factories import make_image, make_prompt, make_review, make_reviewed_image, make_score
from tests.people import People, make_people
from tests.test_api import EVERYBODY

pytestmark = pytest.mark.django_db
METHODS = ("get", "post", "put", "patch", "delete")
ALLAUTHS = ("account_", "mfa_", "socialaccount_", "openid_", "usersessions_")

# What each of EVERYBODY gets of a route, by who may be there.
LEVELS = {
    "open": ["in"] * 6,
    "signed-in": ["sign-in", *["in"] * 5],
    "view": ["sign-in", "404", *["in"] * 4],
    "review": ["sign-in", "404", "403", *["in"] * 3],
    "curate": ["sign-in", "404", "403", "403", "in", "in"],
    "administer": ["sign-in", "404", "403", "403", "403", "in"],
    "superuser": ["sign-in", *["404"] * 5],
    "owner": ["sign-in", "in", *["404"] * 4],  # the stranger's
    "entrance": ["sign-in"] * 6,  # nothing was begun at the sign-in
    # There is none of it in this world.
    "nobody": ["sign-in", *["404"] * 5],
    "curate, none": ["sign-in", "404", "403", "403", "404", "404"],
    "none": ["404"] * 6,
}


def rows(table: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return route -> method -> level of {"get view; post curate": "some routes"}."""
    return {
        name: dict(rule.split(" ", 1) for rule in rules.split("; "))
        for rules, names in table.items()
        for name in names.split()
    }


# "curate" is also what adjudicating takes: no reviewer of this world was asked to.
ROUTES = rows(
    {
        "get signed-in": "home account mfa_index mfa_list_webauthn socialaccount_login_error",
        "get view": (
            "dataset images coverage image reference-rendition prompts writings writing "
            "prompts-coverage prompts-ranking word-lists-file prompt runs run rendition "
            "original certificate image-like export export-compare evaluation probes probe "
            "diversity-guard"
        ),
        "post curate": (
            "coverage-plan class-delete axis-delete references-remove writing-stop "
            "writing-retry writing-resume writing-settle tuning-stop tuning-settle "
            "tuning-retry tuning-compare comparison-stop prompts-pick pair-allow "
            "prompts-state prompts-import-drop run-stop run-retry run-resume adjudicate-undo "
            "reviewer-assign gold-choose reviewers-round rank-now replay-now image-like-aside "
            "set-aside-back set-aside-prompt thresholds-stop lookalikes-aside probe-delete "
            "export-sign export-webhook-remove export-retry image-example "
            "package-new package-retry evaluation-stop evaluation-retry"
        ),
        "get view; post administer": "costs",
        "get open": "account_inactive socialaccount_login_cancelled invitation healthz readyz",
        "get none": "metrics",  # for staff, or with the token
        "get review; post review": "probe-label",
        "get curate; post curate": (
            "derive repaint dataset-settings class-new class-edit axes references "
            "prompts-write tunings prompts-import prompt-edit run-new run-unknown adjudicate "
            "export-webhooks probe-new probe-edit questions-unknown"
        ),
        "get curate": (
            "derive-estimate trail trail-file repaint-estimate classes prompts-preview "
            "tuning-preview tuning-file prompts-export prompts-export-file run-estimate "
            "reviewers ranking replay set-aside thresholds judges tuning lookalikes"
        ),
        "get superuser": "trail-all trail-all-file operations",
        "post superuser": "operations-retry",
        "get signed-in; post signed-in": (
            "tokens account_reauthenticate account_change_password account_set_password "
            "mfa_authenticate mfa_reauthenticate mfa_activate_totp "
            "mfa_generate_recovery_codes mfa_add_webauthn mfa_reauthenticate_webauthn "
            "mfa_remove_webauthn mfa_edit_webauthn mfa_login_webauthn usersessions_list "
            "socialaccount_connections dataset-new review-keys"
        ),
        "get open; post open": "account_login account_logout account_signup",
        "get nobody; post nobody": "mfa_deactivate_totp mfa_download_recovery_codes",
        "get nobody": "mfa_view_recovery_codes evaluation-json",
        "get administer; post administer": "members invitations",
        "post administer": (
            "invitation-withdraw member-change member-remove certificate-extend "
            "certificate-start certificate-end thresholds-start"
        ),
        "post signed-in": "invitation-accept",
        "get view; post curate": "word-lists forbidden-pairs exports evaluations diversity",
        "get review": "review review-beside review-grid review-compare reviewers-me",
        "post review": (
            "review-decide review-more review-undo review-change review-heartbeat "
            "review-leave review-grid-more review-grid-decide review-compare-more "
            "review-compare-decide"
        ),
        "post owner": "token-revoke",
        "get entrance; post entrance": "socialaccount_signup",
        "get none; post none": "openid_connect_login openid_connect_callback",
        "get curate, none; post curate, none": "prompts-import-check",
        "post curate, none": "package-deliver",
        "get curate, none": "package-zip package-tar",
    }
)


def everywhere() -> dict[str, str]:
    """Return the name of each route outside of the API and the administration, and its path."""

    def walk(resolver: URLResolver, prefix: str) -> Any:
        for pattern in resolver.url_patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield pattern.name, path
            elif pattern.namespace not in ("admin", "api"):
                yield from walk(pattern, path)

    return dict(walk(get_resolver(), "/"))


@dataclasses.dataclass
class World:
    """A dataset with one of everything, and the values that stand in addresses."""

    people: People
    default: dict[str, Any]
    by_route: dict[str, dict[str, Any]]

    def cookies(self, who: str) -> SimpleCookie:
        """Return what a browser of this person sends; signing in is asked for once."""
        return (Client() if who == "anonymous" else self.people.client(who)).cookies

    def address(self, name: str, path: str) -> str:
        wanted = re.findall(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>", path)
        values = self.default | self.by_route.get(name, {})
        return reverse(name, kwargs={a or b: values[a or b] for a, b in wanted})


@pytest.fixture
def world() -> World:
    people = make_people()
    dataset, car = people.dataset, people.label_class
    curator = people.users["curator"]
    prompt = make_prompt(car)
    image = make_image(prompt=prompt)
    make_score(image)
    make_review(image)
    for verdict in (Verdict.APPROVE, Verdict.REJECT):
        make_reviewed_image(car, people.users["reviewer"], verdict)
    export = frozen(dataset)
    frozen(dataset)
    axis = Axis.objects.create(dataset=dataset, name="light")
    value = AxisValue.objects.create(axis=axis, name="dusk")
    pair = ForbiddenPair.objects.create(dataset=dataset, first=value, label_class=car)
    reference = ReferenceImage.objects.create(
        dataset=dataset,
        label_class=car,
        use="source",
        sha256=image.sha256,
        media_type=image.media_type,
        byte_count=1,
        width=16,
        height=16,
        family=FAMILIES,
    )
    wish = Wish(dataset=dataset, classes=[car], technique="plain", count=1)
    writing = Writing.objects.create(
        dataset=dataset, technique="plain", author="model", asked=1, written=0, wish=wish.facts()
    )
    tuning = Tuning.objects.create(
        dataset=dataset,
        title="Cars",
        base="model",
        where="server",
        rows=12,
        tokens=900,
        state=WorkState.FAILED,
        error="The file is no good.",
    )
    probe = Probe.objects.create(dataset=dataset, name="Light", created_by=curator)
    comparison = Comparison.objects.create(tuning=tuning, plain=writing, tuned=writing)
    aside = PutAside.objects.create(
        dataset=dataset, prompt=prompt, decided=1, rejected=1, created_by=curator
    )
    hook = Webhook.objects.create(
        dataset=dataset, url="https://example.org/", secret="x", created_by=curator
    )
    Evaluation.objects.create(
        dataset=dataset, number=1, learners=["probe"], seeds=[0], settled_at=timezone.now()
    )
    invitation, _ = invite(dataset=dataset, role="viewer", by=people.users["admin"])
    _, invited = invite(dataset=dataset, role="viewer", by=people.users["admin"])
    member = dataset.memberships.get(user=people.users["viewer"])
    token, _ = make_token(user=people.users["stranger"], title="x", scopes=[], days=1)
    package = export.packages.get()
    one = {
        "class": car,
        "axis": axis,
        "member": member,
        "reviewer-assign": member,
        "reference": reference,
        "writing": writing,
        "tuning": tuning,
        "comparison": comparison,
        "pair": pair,
        "prompt": prompt,
        "prompt-edit": prompt,
        "probe": probe,
        "export-webhook": hook,
        "invitation-withdraw": invitation,
        "token-revoke": token,
        "package": package,
    }
    by_route = {
        name: {"pk": row.pk}
        for name in everywhere()
        for start, row in one.items()
        if name and name.startswith(start)
    }
    by_route |= {
        "invitation": {"token": invited},
        "trail-file": {"kind": "csv"},
        "trail-all-file": {"kind": "csv"},
        "word-lists-file": {"kind": "csv"},
        "original": {"pk": image.pk},
    }
    default = {
        "slug": dataset.slug,
        "pk": image.pk,
        "number": 1,
        "name": "thumb",
        "kind": "csv",
        "token": "none",
        "event": aside.pk,
        "prompt": prompt.pk,
        "provider_id": "none",
    }
    return World(people, default, by_route)


def answer(cookies: SimpleCookie, method: str, address: str) -> str:
    """Ask, undo what came of it, and say in one word what it was."""
    client = Client()
    client.cookies = copy.deepcopy(cookies)
    with transaction.atomic():
        response = getattr(client, method)(address)
        transaction.set_rollback(True)
    if response.streaming:  # an image is a file: read to its end, it is closed
        b"".join(response.streaming_content)
    if response.status_code == 302 and response.url.startswith("/account/sign-in/"):
        return "sign-in"
    if response.status_code in (403, 404, 405):
        return str(response.status_code)
    assert response.status_code < 500, address
    return "in"


@pytest.mark.parametrize("who", EVERYBODY)
def test_every_page_for_every_person(world: World, who: str) -> None:
    wrong = []
    cookies = world.cookies(who)
    for name, path in everywhere().items():
        for method, level in ROUTES[name].items():
            got = answer(cookies, method, world.address(name, path))
            expected = LEVELS[level][EVERYBODY.index(who)]
            if got != expected:
                wrong.append(f"{method} {name}: {got}, not {expected}")
    assert wrong == []


def test_no_other_method_is_answered(world: World) -> None:
    cookies = world.cookies("admin")
    got = {
        (name, method): answer(cookies, method, world.address(name, path))
        for name, path in everywhere().items()
        for method in METHODS
        if method not in ROUTES[name] and not name.startswith(ALLAUTHS)
    }
    assert {asked: it for asked, it in got.items() if it != "405"} == {}


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert set(ROUTES) == set(everywhere())


def test_the_administration_is_for_staff(world: World) -> None:
    for who in EVERYBODY:
        client = Client() if who == "anonymous" else world.people.client(who)
        for name in ("index", "accounts_user_changelist", "accounts_user_add"):
            response = client.get(reverse(f"admin:{name}"))
            assert response.status_code == 302
            assert response.url.startswith(("/admin/login/", "/account/sign-in/"))
