"""Deliveries and webhooks as work: ordered once, tried again, told in words; and their pages."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.export.delivering import deliver, order_delivery
from synthreview.export.destinations.base import DestinationError, Parcel
from synthreview.export.jobs import write_package
from synthreview.export.models import Delivery, Package, Webhook, WebhookCall
from synthreview.export.services import Form, NotFrozenError, folder_of
from synthreview.export.webhooks import WebhookError, add_webhook, send_call
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.work.models import WorkState
from tests.export.entries import all_files
from tests.export.frozen import frozen, package_of, written
from tests.factories import make_approved_image, make_dataset, make_user

FOLDER = "synthreview.export.destinations.folder.FolderDestination"


class Flaky:
    """A destination that fails as often as it is told to, then succeeds."""

    title = "Flaky"
    failures: list[Exception] = []

    def send(self, parcel: Parcel, tell: Any) -> str:
        tell(1)
        if Flaky.failures:
            raise Flaky.failures.pop(0)
        return f"flaky:{parcel.name}"


@pytest.fixture
def curator(db: None) -> User:
    return make_user("cora")


@pytest.fixture
def dataset(curator: User) -> Dataset:
    dataset = make_dataset("Things", curator=curator, reviewer=make_user("rita"))
    for label_class in dataset.classes.all():
        make_approved_image(label_class, curator)
    return dataset


@pytest.fixture
def share(settings: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    settings.EXPORT_DESTINATIONS = {
        "share": {"BACKEND": FOLDER, "OPTIONS": {"root": str(folder), "title": "The share"}},
        "flaky": {"BACKEND": f"{__name__}.Flaky", "OPTIONS": {}},
    }
    Flaky.failures = []
    return folder


# --- Deliveries -----------------------------------------------------------------------


def test_a_delivery_is_sent_once_and_told(dataset: Dataset, share: Path) -> None:
    package = written(dataset)
    delivery = order_delivery(package=package, destination="share")
    assert order_delivery(package=package, destination="share") == delivery
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.place) == (WorkState.DONE, "things-1-imagefolder")
    assert delivery.sent_bytes == package.byte_count
    assert all_files(share / delivery.place) == all_files(folder_of(package))
    deliver(delivery.pk)
    assert Delivery.objects.count() == 1


def test_what_is_not_written_or_not_known_cannot_be_sent(dataset: Dataset, share: Path) -> None:
    package = package_of(frozen(dataset))
    with pytest.raises(NotFrozenError, match="is not written yet"):
        order_delivery(package=package, destination="share")
    write_package(package.pk)
    package.refresh_from_db()
    with pytest.raises(UnknownAdapterError, match="'moon'; known: flaky, share"):
        order_delivery(package=package, destination="moon")


def test_a_fault_that_may_pass_is_tried_again_and_a_lasting_one_is_not(
    dataset: Dataset, share: Path
) -> None:
    delivery = order_delivery(package=written(dataset), destination="flaky")
    Flaky.failures = [DestinationError("busy"), DestinationError("no right", permanent=True)]
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.error) == (WorkState.READY, "busy")
    deliver(delivery.pk)  # not due yet
    assert len(Flaky.failures) == 1
    Delivery.objects.update(due_at=delivery.created_at)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.error) == (WorkState.FAILED, "no right")


def test_a_worker_that_lost_its_lease_stops_sending(
    dataset: Dataset, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = order_delivery(package=written(dataset), destination="flaky")

    def lose(*arguments: object, **named: object) -> bool:
        Delivery.objects.filter(pk=delivery.pk).update(
            state=WorkState.READY, lease_token=None, lease_expires_at=None
        )
        return False

    monkeypatch.setattr(type(Delivery.objects.all()), "renew", lose)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.place) == (WorkState.READY, "")


def test_sending_from_the_page(dataset: Dataset, share: Path, client: Client) -> None:
    package = written(dataset)
    where = reverse("package-deliver", args=["things", 1, package.pk])
    client.force_login(User.objects.get(username="rita"))
    assert client.post(where, {"destination": "share"}).status_code == 403
    client.force_login(make_user("stranger"))
    assert client.post(where, {"destination": "share"}).status_code == 404
    client.force_login(User.objects.get(username="cora"))
    assert client.get(where).status_code == 405
    assert "The share" in client.get(package.export.get_absolute_url()).content.decode()
    assert client.post(where, {"destination": "moon"}).status_code == 404
    assert client.post(where, {"destination": "flaky"}, follow=True).status_code == 200
    delivery = Delivery.objects.get()
    Flaky.failures = [DestinationError("no right", permanent=True)]
    deliver(delivery.pk)
    page = client.get(package.export.get_absolute_url()).content.decode()
    assert "Not sent to flaky. no right" in page
    client.post(where, {"destination": "flaky"})
    deliver(delivery.pk)
    page = client.get(package.export.get_absolute_url()).content.decode()
    assert "flaky:things-1-imagefolder" in page


def test_sending_over_the_api(dataset: Dataset, share: Path, client: Client) -> None:
    package = written(dataset)
    client.force_login(User.objects.get(username="cora"))
    where = f"/api/datasets/things/exports/1/packages/{package.pk}/deliveries"
    kind = {"content_type": "application/json"}
    assert client.post(where, {"destination": "moon"}, **kind).status_code == 422  # type: ignore[arg-type]
    answer = client.post(where, {"destination": "share"}, **kind)  # type: ignore[arg-type]
    assert answer.status_code == 201
    deliver(Delivery.objects.get().pk)
    (told,) = client.get("/api/datasets/things/exports/1").json()["packages"]
    assert told["deliveries"] == [
        {
            "destination": "share",
            "state": "done",
            "sent": package.byte_count,
            "place": "things-1-imagefolder",
            "error": "",
        }
    ]


# --- Webhooks -------------------------------------------------------------------------


class Listener:
    """A receiver on this machine: what it heard, and the statuses that it answers with."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.heard.append((dict(self.headers.items()), body))
                self.send_response(listener.statuses.pop(0) if listener.statuses else 204)
                self.send_header("Location", "http://127.0.0.1:9/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?key=1"


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture
def hook(settings: Any, listener: Listener, dataset: Dataset, curator: User) -> Webhook:
    settings.WEBHOOK_HOSTS = frozenset({"127.0.0.1"})
    return add_webhook(dataset=dataset, url=listener.url, created_by=curator)


def test_a_finished_export_is_told_signed_and_once(
    hook: Webhook, listener: Listener, dataset: Dataset
) -> None:
    package = written(dataset)
    call = WebhookCall.objects.get()
    send_call(call.pk)
    send_call(call.pk)
    ((headers, body),) = listener.heard
    stamp = headers["X-SynthReview-Timestamp"]
    signed = hmac.new(hook.secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
    assert headers["X-SynthReview-Signature"] == f"sha256={signed.hexdigest()}"
    assert headers["X-SynthReview-Delivery"] == str(call.event_id)
    told = json.loads(body)
    assert (told["event"], told["dataset"], told["export"], told["images"]) == (
        "export.finished",
        "things",
        1,
        2,
    )
    assert told["list_sha256"] == package.export.list_sha256
    assert hook.secret not in body.decode()
    assert "cora" not in body.decode()
    call.refresh_from_db()
    assert call.state == WorkState.DONE
    Package.objects.update(state=WorkState.READY, settled_at=None)
    write_package(package.pk)
    assert WebhookCall.objects.count() == 1


def test_a_failed_writing_tells_nobody(
    hook: Webhook, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    package = package_of(frozen(dataset, forms=[Form("csv")]))
    monkeypatch.setattr("synthreview.export.writers.csv_table.CsvWriter.write", fail)
    write_package(package.pk)
    assert not WebhookCall.objects.exists()


@pytest.mark.parametrize(
    ("statuses", "state", "error"),
    [
        ([500], WorkState.READY, "It answered 500."),
        ([429], WorkState.READY, "It answered 429."),
        ([404], WorkState.FAILED, "It answered 404."),
        ([302], WorkState.FAILED, "It answered 302."),
    ],
)
def test_answers_decide_whether_it_is_told_again(
    hook: Webhook,
    listener: Listener,
    dataset: Dataset,
    statuses: list[int],
    state: str,
    error: str,
) -> None:
    written(dataset)
    listener.statuses = statuses
    call = WebhookCall.objects.get()
    send_call(call.pk)
    call.refresh_from_db()
    assert (call.state, call.error) == (state, error)
    assert len(listener.heard) == 1  # a redirect is not followed
    if state == WorkState.READY:
        assert call.due_at > call.created_at
        WebhookCall.objects.update(due_at=call.created_at)
        send_call(call.pk)
        call.refresh_from_db()
        assert call.state == WorkState.DONE
        assert listener.heard[0][1] == listener.heard[1][1]


def test_it_gives_up_after_its_tries(hook: Webhook, listener: Listener, dataset: Dataset) -> None:
    written(dataset)
    call = WebhookCall.objects.get()
    listener.statuses = [503] * 10
    for _ in range(10):
        WebhookCall.objects.update(due_at=call.created_at)
        send_call(call.pk)
    call.refresh_from_db()
    assert (call.state, len(listener.heard)) == (WorkState.FAILED, 6)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "https://user:word@example.org/",
        "javascript:alert(1)",
        "https://",
        "",
        "https://exa mple.org/\nX: y",
    ],
)
def test_no_webhook_has_such_an_address(dataset: Dataset, curator: User, url: str) -> None:
    with pytest.raises(WebhookError):
        add_webhook(dataset=dataset, url=url, created_by=curator)
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1"])
def test_no_webhook_reaches_inwards(
    listener: Listener, dataset: Dataset, curator: User, host: str
) -> None:
    """An address may become private later: it is checked at every call, and no packet leaves."""
    port = listener.server.server_port
    add_webhook(dataset=dataset, url=f"https://{host}:{port}/", created_by=curator)
    written(dataset)
    call = WebhookCall.objects.get()
    send_call(call.pk)
    call.refresh_from_db()
    assert call.state != WorkState.DONE
    assert "must not be asked" in call.error or "is not known" in call.error
    assert listener.heard == []


def test_a_host_that_is_listed_no_more_is_not_called(
    hook: Webhook, listener: Listener, dataset: Dataset, settings: Any
) -> None:
    written(dataset)
    settings.WEBHOOK_HOSTS = frozenset()
    call = WebhookCall.objects.get()
    send_call(call.pk)
    call.refresh_from_db()
    assert call.state == WorkState.FAILED
    assert listener.heard == []


def test_webhooks_on_the_page(
    dataset: Dataset, curator: User, client: Client, settings: Any
) -> None:
    page = reverse("export-webhooks", args=[dataset.slug])
    client.force_login(User.objects.get(username="rita"))
    assert client.get(page).status_code == 403
    client.force_login(make_user("stranger"))
    assert client.get(page).status_code == 404
    client.force_login(curator)
    assert "Nobody yet" in client.get(page).content.decode()
    answer = client.post(page, {"url": "http://example.org/"})
    assert answer.status_code == 422
    assert "need https" in answer.content.decode()
    client.post(page, {"url": "https://example.org/hook"})
    hook = Webhook.objects.get()
    assert len(hook.secret) >= 40
    assert hook.secret in client.get(page).content.decode()
    remove = reverse("export-webhook-remove", args=[dataset.slug, hook.pk])
    assert client.get(remove).status_code == 405
    other = make_dataset("Other", curator=curator)
    wrong = reverse("export-webhook-remove", args=[other.slug, hook.pk])
    assert client.post(wrong).status_code == 404
    assert client.post(remove).status_code == 302
    assert not Webhook.objects.exists()


def test_a_dataset_has_ten_webhooks_at_most(dataset: Dataset, curator: User) -> None:
    for number in range(10):
        url = f"https://example.org/{number}"
        add_webhook(dataset=dataset, url=url, created_by=curator)
    with pytest.raises(WebhookError, match="10 webhooks at most"):
        add_webhook(dataset=dataset, url="https://example.org/", created_by=curator)


def test_the_database_refuses_bad_rows(hook: Webhook, dataset: Dataset, share: Path) -> None:
    package = written(dataset)
    order_delivery(package=package, destination="share")
    for change in (
        lambda: Delivery.objects.create(package=package, destination="share"),
        lambda: Delivery.objects.update(state="lost"),
        lambda: WebhookCall.objects.create(webhook=hook, package=package),
        lambda: Webhook.objects.update(secret=""),
        lambda: Webhook.objects.update(url=""),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()
