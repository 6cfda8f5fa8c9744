"""What holds whenever the site has come to rest: DESIGN section 4, invariants 1 to 6.

Each function reads the database and the files as they are and returns what is wrong, in words;
an empty list is what it should be. None of them knows what has happened before. The ledger is
the paid service's own (`ImagesServer.ledger`): one entry for each charge.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Q

from synthreview.catalog import storage
from synthreview.generation.models import Call, GeneratedImage
from synthreview.lib.blobs import ORIGINAL
from synthreview.lib.images import RENDITIONS_PX, BadImageError, decode
from synthreview.spending import spool
from synthreview.spending.models import Budget, PaidWork
from synthreview.work.models import OPEN_STATES, WorkState
from synthreview.work.services import work_models

Ledger = Sequence[Mapping[str, Any]]


def everything(ledger: Ledger | None = None) -> list[str]:
    """Return all that is wrong; the ledger's part is left out where there is none."""
    found = [*overdue(), *leases(), *images(), *blobs(), *spooled(), *budgets()]
    return found if ledger is None else found + charges(ledger)


def paid_work() -> list[PaidWork]:
    """Return every call that may cost money, of whatever kind."""
    kinds = [model for model in work_models() if issubclass(model, PaidWork)]
    return [row for kind in kinds for row in kind._default_manager.select_related()]


def open_calls() -> list[str]:
    """Calls that have not come to an end, though nothing is left that could delay them."""
    return [
        f"call {call.pk} is {call.state}: {call.error}"
        for call in Call.objects.filter(state__in=OPEN_STATES)
    ]


def overdue() -> list[str]:
    """1: work whose lease ran out and that nobody took back."""
    return [
        f"{model.__name__} {row.pk} has been overdue since {row.lease_expires_at}"
        for model in work_models()
        for row in model._default_manager.overdue()
    ]


def leases() -> list[str]:
    """2: who is at rest holds no lease, who is finished says when."""
    return [
        f"{model.__name__} {row.pk} is {row.state}, lease {row.lease_token}"
        for model in work_models()
        for row in model._default_manager.exclude(state=WorkState.RUNNING).filter(
            Q(lease_token__isnull=False)
            | Q(lease_expires_at__isnull=False)
            | Q(state=WorkState.DONE, settled_at=None)
        )
    ]


def images() -> list[str]:
    """5: a call that is done has its images, each once; no other has any."""
    of_call: dict[int, list[int]] = defaultdict(list)
    rows = GeneratedImage.objects.filter(call__isnull=False).order_by("position")
    for call_pk, position in rows.values_list("call", "position"):
        of_call[call_pk].append(position)
    found = []
    for call in Call.objects.all():
        wanted = list(range(call.count)) if call.state == WorkState.DONE else []
        if of_call[call.pk] != wanted:
            found.append(f"call {call.pk} is {call.state} and has images {of_call[call.pk]}")
    return found


def blobs() -> list[str]:
    """5, 6: every file is what its name says, and every image has its original and renditions."""
    found = []
    store = storage.blobs()
    for variant, name in store.names():  # a draft of somebody who was killed is no blob
        if variant == ORIGINAL and hashlib.sha256(store.read(name)).hexdigest() != name:
            found.append(f"{name} does not hold what its name says")
    for image in GeneratedImage.objects.all():
        if not store.exists(image.sha256):
            found.append(f"image {image.pk} has lost its original")
            continue
        if len(store.read(image.sha256)) != image.byte_count:
            found.append(f"image {image.pk} has another length than its row says")
        for name in RENDITIONS_PX:
            try:
                decode(store.read(image.sha256, name))
            except (FileNotFoundError, BadImageError) as error:
                found.append(f"image {image.pk} has no {name}: {error}")
    return found


def spooled() -> list[str]:
    """5: every answer in the spool is whole, and belongs to a call that may still need it."""
    found = []
    calls = {call.spool_key: call for call in paid_work()}
    for key in spool.all_keys():
        try:
            json.loads(spool.path(key).read_bytes())
        except ValueError:
            found.append(f"spool {key} is no whole answer")
        call = calls.get(key)
        if call is None:
            found.append(f"spool {key} belongs to no call")
        elif call.state == WorkState.UNKNOWN:
            found.append(f"{call} is unknown and its answer lies in the spool")
    return found


def budgets() -> list[str]:
    """4: what is spent is what was billed, what is reserved is what is open or unknown."""
    found = []
    calls = paid_work()
    for budget in Budget.objects.select_related("dataset"):
        ours = [call for call in calls if call.payer_id == budget.dataset_id]
        billed = sum(call.billed_micro_usd for call in ours)
        held = [call for call in ours if call.state in (*OPEN_STATES, WorkState.UNKNOWN)]
        reserved = sum(call.estimated_micro_usd for call in held)
        gone = budget.spent_micro_usd + budget.reserved_micro_usd
        if budget.spent_micro_usd != billed:
            found.append(f"{budget}: {budget.spent_micro_usd} spent, {billed} billed")
        if budget.reserved_micro_usd != reserved:
            found.append(f"{budget}: {budget.reserved_micro_usd} reserved, {reserved} open")
        if gone > budget.limit_micro_usd + budget.overrun_micro_usd:
            found.append(f"{budget}: {gone} is gone, {budget.limit_micro_usd} was the limit")
    return found


def charges(ledger: Ledger) -> list[str]:
    """3: our books are the service's, less what we declare unknown; nothing is charged twice.

    And 6: an image is byte for byte what the service sent. Only for calls that no person has
    sent again, since that gives them another key.
    """
    found = []
    of_key: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in ledger:
        of_key[entry["key"]].append(entry)
    for key, entries in of_key.items():
        if len(entries) > 1:
            found.append(f"{key} was charged {len(entries)} times by itself")
    calls = {call.spool_key: call for call in Call.objects.all()}
    found += [f"{key} was charged, and no call knows of it" for key in set(of_key) - set(calls)]
    for key, call in calls.items():
        charged = sum(entry["charged_micro_usd"] for entry in of_key[key])
        if of_key[key] and call.sent_at is None:
            found.append(f"call {call.pk} was charged and is not on record as sent")
        if call.state != WorkState.UNKNOWN and call.billed_micro_usd != charged:
            found.append(f"call {call.pk}: {call.billed_micro_usd} billed, {charged} charged")
        if call.state == WorkState.UNKNOWN and call.estimated_micro_usd < charged:
            found.append(f"call {call.pk}: less is reserved than the {charged} charged")
        if call.state == WorkState.DONE and of_key[key]:
            rows = call.images.order_by("position").values_list("sha256", flat=True)
            if list(rows) != of_key[key][0]["sha256s"]:
                found.append(f"call {call.pk} has other images than were sent for it")
    return found


def double_charges(ledger: Ledger) -> int:
    """Return how many charges were made for a call beside its first."""
    return sum(count - 1 for count in Counter(entry["key"] for entry in ledger).values())


def sentence(found: Iterable[str]) -> str:
    """Return what is wrong as one text, for an assertion's message."""
    return "; ".join(found)
