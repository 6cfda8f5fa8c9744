"""Sending finished packages to a destination, and doing so again where it broke off."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.db import transaction

from synthreview.accounts.models import User
from synthreview.export.destinations.base import Destination, DestinationError, Parcel
from synthreview.export.models import Delivery, Package
from synthreview.export.services import NotFrozenError, fetch_package
from synthreview.lib.adapters import load_adapter
from synthreview.trail.acts import Act
from synthreview.trail.services import record
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit

logger = logging.getLogger(__name__)
LEASE_S = 1800  # a push to the Hub is one call that says nothing for long
BEAT_S = 2.0
BACK_OFF_S = 30.0


class LeaseLostError(Exception):
    """Another worker does this work now."""


def destinations() -> dict[str, str]:
    """Return the title of each destination by its alias."""
    return {
        alias: str(entry.get("OPTIONS", {}).get("title") or alias)
        for alias, entry in settings.EXPORT_DESTINATIONS.items()
    }


@transaction.atomic
def order_delivery(
    *, package: Package, destination: str, created_by: User | None = None
) -> Delivery:
    """Have a finished package sent; ordered twice it is one delivery.

    Raises UnknownAdapterError, NotFrozenError where it is not written yet.
    """
    load_adapter(settings.EXPORT_DESTINATIONS, destination, "destination")
    if package.state != WorkState.DONE:
        raise NotFrozenError(f"{package.title} is not written yet: wait for it.")
    delivery, is_new = Delivery.objects.get_or_create(
        package=package, destination=destination, defaults={"created_by": created_by}
    )
    if is_new:
        enqueue_on_commit([delivery])
        record(
            Act.DELIVERY_ORDERED,
            package,
            dataset=package.export.dataset_id,
            after={"destination": destination},
            by=created_by,
        )
    return delivery


def deliver(delivery_pk: int) -> None:
    """Send the package; what breaks off goes on later where it stopped."""
    token = Delivery.objects.claim(delivery_pk, lease_s=LEASE_S)
    if token is None:
        return
    delivery = Delivery.objects.select_related("package__export__dataset").get(pk=delivery_pk)
    next_beat = 0.0

    def tell(sent: int) -> None:
        nonlocal next_beat
        if time.monotonic() < next_beat:
            return
        next_beat = time.monotonic() + BEAT_S
        if not Delivery.objects.renew(delivery_pk, token, lease_s=LEASE_S):
            raise LeaseLostError
        Delivery.objects.held(delivery_pk, token).update(sent_bytes=sent)

    try:
        place = _send(delivery, tell)
    except LeaseLostError:
        logger.warning("Delivery %s went to another worker", delivery_pk)
    except (DestinationError, OSError, LookupError) as error:
        logger.exception("Delivery %s broke off", delivery_pk)
        words = str(getattr(error, "strerror", None) or error)
        is_final = getattr(error, "permanent", False) or delivery.attempts >= delivery.MAX_ATTEMPTS
        if is_final:
            Delivery.objects.settle(delivery_pk, token, WorkState.FAILED, error=words)
        else:
            delay_s = BACK_OFF_S * 2**delivery.attempts
            Delivery.objects.postpone(delivery_pk, token, delay_s=delay_s, error=words)
    else:
        sent = delivery.package.byte_count or 0
        Delivery.objects.settle(delivery_pk, token, WorkState.DONE, place=place, sent_bytes=sent)


def _send(delivery: Delivery, tell: Callable[[int], None]) -> str:
    package = delivery.package
    destination: Destination = load_adapter(
        settings.EXPORT_DESTINATIONS, delivery.destination, "destination"
    )
    folder = fetch_package(package)
    if not folder.is_dir():
        raise DestinationError("The package's folder is not here any more.", permanent=True)
    parcel = Parcel(folder, package.folder_name, package.export.dataset.slug, package.export.number)
    return destination.send(parcel, tell)
