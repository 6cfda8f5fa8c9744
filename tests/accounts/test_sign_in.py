"""Sign-in: by password, second factor, passkey and single sign-on; limits and sessions."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.test import Client

from synthreview.accounts.models import User
from synthreview.trail.acts import Act
from synthreview.trail.models import Entry
from tests.factories import make_user

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.conftest import LiveSite

SIGN_IN = "/account/sign-in/"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def counters(settings: Any) -> None:
    cache.clear()
    settings.ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "30/h/ip,5/5m/key"}


@pytest.fixture
def anna() -> User:
    return make_user("anna")


def sign_in(client: Client, name: str = "anna", password: str = "anna", **more: Any) -> Any:
    return client.post(SIGN_IN, {"login": name, "password": password}, **more)


def who(client: Client) -> str:
    return (
        str(client.get("/").context["user"].username) if "_auth_user_id" in client.session else ""
    )


# --- Password ---------------------------------------------------------------------------


def test_a_password_lets_in_and_the_trail_says_so(anna: User, client: Client) -> None:
    assert sign_in(client).url == "/"
    assert who(client) == "anna"
    entry = Entry.objects.get(act=Act.SIGNED_IN)
    assert (entry.actor, entry.thing, entry.via) == ("anna", "anna", "web")


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(
    anna: User, client: Client
) -> None:
    answers = [sign_in(client, name, "wrong").content.decode() for name in ("anna", "nobody")]
    errors = [re.findall(r'<div class="notice notice-bad".*?</div>', a, re.DOTALL) for a in answers]
    assert errors[0] == errors[1] != []
    assert [e.thing for e in Entry.objects.filter(act=Act.SIGN_IN_FAILED)] == ["", "anna"]
    assert "wrong" not in str(list(Entry.objects.values()))


def test_wrong_passwords_are_limited_but_never_lock_the_owner_out_from_elsewhere(
    anna: User, client: Client
) -> None:
    answers = [sign_in(client, password=f"wrong {n}") for n in range(20)]
    assert [a.status_code for a in answers[:5]] == [200] * 5
    assert {a.status_code for a in answers[5:]} == {429}
    assert answers[-1]["Retry-After"] == "300"
    assert sign_in(client).status_code == 429  # not even the right one from there
    assert sign_in(Client(), REMOTE_ADDR="192.0.2.7").status_code == 302


def test_a_forged_forwarded_address_is_not_believed(
    anna: User, client: Client, settings: Any
) -> None:
    for number in range(6):
        answer = sign_in(client, password="wrong", headers={"X-Forwarded-For": f"192.0.2.{number}"})
    assert answer.status_code == 429
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert sign_in(client, headers={"X-Forwarded-For": "6.6.6.6, 192.0.2.99"}).status_code == 302
    assert UserSession.objects.get().ip == "192.0.2.99"


def test_the_administration_has_the_same_door(anna: User, client: Client) -> None:
    assert client.get("/admin/").url.startswith("/admin/login/")
    assert client.get("/admin/login/?next=/admin/").url.startswith(SIGN_IN)


def test_a_changed_password_ends_the_other_sessions(anna: User) -> None:
    here, there = Client(), Client()
    sign_in(here)
    sign_in(there)
    new = "quite another one 7"
    data = {"oldpassword": "anna", "password1": new, "password2": new}
    assert here.post("/account/password/", data).status_code == 302
    assert who(here) == "anna"
    assert there.get("/").status_code == 302
    assert Entry.objects.filter(act=Act.PASSWORD_CHANGED, actor="anna").exists()


# --- Sessions ---------------------------------------------------------------------------


def test_sessions_are_listed_and_the_others_ended(anna: User) -> None:
    here, there = Client(), Client()
    sign_in(here, headers={"User-Agent": "Here/1"})
    sign_in(there, headers={"User-Agent": "<b>There</b>"})
    page = here.get("/account/sessions/").content.decode()
    assert "Here/1" in page
    assert "&lt;b&gt;There&lt;/b&gt;" in page
    here.post("/account/sessions/")
    assert there.get("/").status_code == 302
    assert who(here) == "anna"


def test_nobody_sees_or_ends_the_sessions_of_others(anna: User) -> None:
    hers, his = Client(), Client()
    sign_in(hers, headers={"User-Agent": "Hers/1"})
    make_user("bob")
    sign_in(his, "bob", "bob")
    assert "Hers/1" not in his.get("/account/sessions/").content.decode()
    his.post("/account/sessions/")
    assert who(hers) == "anna"


# --- Second factor ----------------------------------------------------------------------


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, list(yield_hotp_counters_from_time())[1]))


def test_an_authenticator_app_is_asked_for_and_its_secret_is_not_in_clear(
    anna: User, django_capture_on_commit_callbacks: Any
) -> None:
    client = Client()
    sign_in(client)
    again = client.get("/account/second-factor/totp/activate/").url
    assert again.startswith("/account/again/")  # a session that was left open is not enough
    page = client.get(client.post(again, {"password": "anna"}).url)
    secret = page.context["form"].secret
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post("/account/second-factor/totp/activate/", {"code": code(secret)})
    assert answer.url == "/account/second-factor/recovery-codes/"
    stored = json.dumps(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in stored
    added = Entry.objects.filter(act=Act.FACTOR_ADDED, actor="anna")
    assert {entry.after["kind"] for entry in added} == {"totp", "recovery_codes"}
    codes = client.get(answer.url).context["unused_codes"]

    other = Client()
    assert "second-factor/authenticate" in sign_in(other).url
    assert who(other) == ""
    wrong = other.post("/account/second-factor/authenticate/", {"code": "000000"})
    assert "Incorrect code" in wrong.content.decode()
    assert other.get("/").status_code == 302  # not in yet
    other.post("/account/second-factor/authenticate/", {"code": codes[0]})
    assert who(other) == "anna"


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_passkey_is_made_and_signs_in(page: Page, live_site: LiveSite) -> None:
    make_user("anna")
    host = live_site.url.replace("127.0.0.1", "localhost")  # browsers want a name for passkeys
    browser = page.context.new_cdp_session(page)
    browser.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True}
    key |= {"hasUserVerification": True, "isUserVerified": True}
    browser.send("WebAuthn.addVirtualAuthenticator", {"options": key})
    page.goto(f"{host}{SIGN_IN}")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill("anna")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.goto(f"{host}/account/second-factor/webauthn/add/")
    page.get_by_label("Password").fill("anna")
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add").click()
    page.wait_for_url(re.compile("second-factor/(recovery-codes|$)"))
    page.context.clear_cookies()
    page.goto(f"{host}{SIGN_IN}")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{host}/")
    assert "anna" in page.content()


# --- Single sign-on ---------------------------------------------------------------------


class Provider(BaseHTTPRequestHandler):
    """The little of OpenID Connect that a sign-in needs; `person` is who signs in there."""

    person: dict[str, Any] = {}
    asked: list[dict[str, list[str]]] = []

    def do_GET(self) -> None:
        base = f"http://{self.headers['Host']}"
        if self.path == "/.well-known/openid-configuration":
            return self.answer(
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "userinfo_endpoint": f"{base}/userinfo",
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                }
            )
        return self.answer(self.person)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append(parse_qs(body))
        self.answer({"access_token": "token", "token_type": "bearer"})

    def answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def provider(settings: Any) -> Iterator[type[Provider]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    app = {
        "provider_id": "oidc",
        "name": "Example",
        "client_id": "us",
        "secret": "hush",
        "settings": {"server_url": f"http://127.0.0.1:{server.server_port}"},
    }
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {"APPS": [app], "OAUTH_PKCE_ENABLED": True}
    }
    Provider.person = {"sub": "42", "preferred_username": "carla", "email": "carla@example.org"}
    Provider.asked = []
    yield Provider
    server.shutdown()
    thread.join()
    server.server_close()


def come_by(client: Client) -> Any:
    """Go to the provider and come back with a code, as a browser does."""
    assert "Go on with Example" in client.get(SIGN_IN).content.decode()
    away = client.post("/account/sso/oidc/login/").url
    asked = parse_qs(urlsplit(away).query)
    assert asked["code_challenge_method"] == ["S256"]
    return client.get(
        "/account/sso/oidc/login/callback/", {"code": "c", "state": asked["state"][0]}
    )


def test_single_sign_on_lets_nobody_in_uninvited(provider: type[Provider], client: Client) -> None:
    answer = come_by(client)
    assert not User.objects.exists()
    assert "By invitation" in answer.content.decode()
    assert who(client) == ""


def test_single_sign_on_lets_in_whom_it_knows_where_the_operator_says_so(
    provider: type[Provider], client: Client, settings: Any
) -> None:
    settings.SSO_SIGN_UP = True
    come_by(client)
    assert who(client) == "carla"
    assert not User.objects.get().has_usable_password()
    assert provider.asked[0]["client_secret"] == ["hush"]
    assert provider.asked[0]["code_verifier"]
    again = Client()
    come_by(again)
    assert who(again) == "carla"
    assert User.objects.count() == 1


def test_single_sign_on_takes_over_no_account_by_its_name_or_address(
    provider: type[Provider], client: Client, settings: Any
) -> None:
    settings.SSO_SIGN_UP = True
    make_user("carla", email="carla@example.org")
    come_by(client)
    assert who(client) != "carla"


def test_an_answer_without_our_state_is_refused(provider: type[Provider], client: Client) -> None:
    answer = client.get("/account/sso/oidc/login/callback/", {"code": "c", "state": "forged"})
    assert who(client) == ""
    assert answer.status_code in (200, 401, 403)
    assert provider.asked == []
