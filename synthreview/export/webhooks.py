"""Telling other services that an export is finished: signed, retried, and never inwards.

A webhook's address must be https and on the open internet, at every call and not only when it
is entered; hosts that the operator lists in WEBHOOK_HOSTS may be anywhere and speak http.
Redirects are not followed, and the answer's body is not kept.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.export.models import Package, Webhook, WebhookCall
from synthreview.lib.web import IPAddress, NotSentError, WebError, address_of, exchange, is_public
from synthreview.trail.acts import Act
from synthreview.trail.services import record
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit

LEASE_S = 60
TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64_000
BACK_OFF_S = 10.0
MOST_HOOKS = 10
EVENT = "export.finished"


class WebhookError(ValueError):
    """The webhook cannot be; the message says why."""


@transaction.atomic
def add_webhook(*, dataset: Dataset, url: str, created_by: User) -> Webhook:
    """Keep a new webhook with a secret of its own. Raises WebhookError."""
    require_allowed(url)
    if Webhook.objects.filter(dataset=dataset).count() >= MOST_HOOKS:
        raise WebhookError(f"A dataset has {MOST_HOOKS} webhooks at most: remove one first.")
    hook = Webhook.objects.create(
        dataset=dataset, url=url, secret=secrets.token_urlsafe(32), created_by=created_by
    )
    record(Act.WEBHOOK_ADDED, hook, after={"url": url}, by=created_by)
    return hook


def require_allowed(url: str) -> None:
    """Raise WebhookError for an address that no webhook may have."""
    try:
        address = address_of(url)
    except NotSentError as error:
        raise WebhookError(str(error)) from error
    if address.scheme != "https" and not _is_listed(address.host):
        raise WebhookError("Webhooks need https://; the operator can list hosts that do not.")


def _is_listed(host: str) -> bool:
    return host in settings.WEBHOOK_HOSTS


def call_webhooks(package: Package) -> list[WebhookCall]:
    """Put on record that everybody who asked is told of the finished package.

    Told once for a package, however often it is written. Call it inside a transaction.
    """
    hooks = Webhook.objects.filter(dataset=package.export.dataset_id)
    calls = []
    for hook in hooks:
        call, is_new = WebhookCall.objects.get_or_create(webhook=hook, package=package)
        if is_new:
            calls.append(call)
    enqueue_on_commit(calls)
    return calls


def payload_of(call: WebhookCall) -> dict[str, Any]:
    """Return what is told: no image, no caption, no person."""
    package = call.package
    export = package.export
    where = [export.dataset.slug, export.number]
    return {
        "event": EVENT,
        "id": str(call.event_id),
        "dataset": export.dataset.slug,
        "export": export.number,
        "images": export.item_count,
        "list_sha256": export.list_sha256,
        "format": package.format,
        "encoding": package.encoding or "original",
        "bytes": package.byte_count,
        "page": reverse("export", args=where),
        "zip": reverse("package-zip", args=[*where, package.pk]),
    }


def signature_of(secret: str, timestamp: str, body: bytes) -> str:
    """Return the HMAC-SHA256 over `timestamp.body`, which the receiver computes as well."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def send_call(call_pk: int) -> None:
    """Tell one service; a fault that may pass is tried again, ever later."""
    token = WebhookCall.objects.claim(call_pk, lease_s=LEASE_S)
    if token is None:
        return
    call = WebhookCall.objects.select_related("webhook", "package__export__dataset").get(pk=call_pk)
    error, is_final = _tell(call)
    if not error:
        WebhookCall.objects.settle(call_pk, token, WorkState.DONE)
    elif is_final or call.attempts >= call.MAX_ATTEMPTS:
        WebhookCall.objects.settle(call_pk, token, WorkState.FAILED, error=error)
    else:
        delay_s = BACK_OFF_S * 4 ** (call.attempts - 1)
        WebhookCall.objects.postpone(call_pk, token, delay_s=delay_s, error=error)


def _tell(call: WebhookCall) -> tuple[str, bool]:
    """Return what went wrong, empty where nothing did, and whether that is final."""
    hook = call.webhook
    body = json.dumps(payload_of(call), separators=(",", ":")).encode()
    timestamp = str(int(time.time()))
    is_listed = _is_listed(address_of(hook.url).host)

    def may_reach(ip: IPAddress) -> bool:
        return is_listed or is_public(ip)

    try:
        require_allowed(hook.url)  # the list of hosts may have changed
        answer = exchange(
            "POST",
            hook.url,
            headers={
                "Content-Type": "application/json",
                "User-Agent": "SynthReview",
                "X-SynthReview-Event": EVENT,
                "X-SynthReview-Delivery": str(call.event_id),
                "X-SynthReview-Timestamp": timestamp,
                "X-SynthReview-Signature": f"sha256={signature_of(hook.secret, timestamp, body)}",
            },
            body=body,
            timeout_s=TIMEOUT_S,
            max_bytes=MAX_ANSWER_BYTES,
            may_reach=may_reach,
        )
    except WebhookError as error:
        return str(error), True
    except WebError as error:
        return str(error), False
    if 200 <= answer.status < 300:
        return "", False
    is_final = 300 <= answer.status < 500 and answer.status not in (408, 425, 429)
    return f"It answered {answer.status}.", is_final


@transaction.atomic
def remove_webhook(hook: Webhook) -> None:
    """Forget a webhook and what it was told."""
    record(Act.WEBHOOK_REMOVED, hook, before={"url": hook.url})
    hook.calls.all().delete()
    hook.delete()
