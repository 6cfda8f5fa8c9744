"""The worker side of export: freeze a list, and write it out under a draft name, then rename.

Killed at any point nothing looks complete: a list is frozen when its row says so, and a folder
is whole when it has its name.
"""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from synthreview.export.freezing import facts_as_json, frozen_facts, make_items, make_list
from synthreview.export.models import Export, Package
from synthreview.export.services import entries_of, folder_of, share_exported
from synthreview.export.webhooks import call_webhooks
from synthreview.export.writers.base import ExportEntry, UnsafeNameError
from synthreview.export.writers.encoding import encode_all, parse_encoding
from synthreview.export.writers.formats import writer
from synthreview.export.writers.marks import C2paSigner, MarkError
from synthreview.lib.images import BadImageError
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit

logger = logging.getLogger(__name__)
LEASE_S = 300
BEAT_S = 2.0


class LeaseLostError(Exception):
    """Another worker does this work now."""


# --- Freezing -------------------------------------------------------------------------


def freeze(export_pk: int) -> None:
    """Make the export's frozen list, and order the packages that were wished with it."""
    token = Export.objects.claim(export_pk, lease_s=LEASE_S)
    if token is None:
        return
    export = Export.objects.select_related("dataset__policy").get(pk=export_pk)
    try:
        _freeze(export, token)
    except LeaseLostError:
        logger.warning("Export %s went to another worker", export_pk)
    except (OSError, ValueError) as error:
        logger.exception("Export %s broke off", export_pk)
        reason = f"It could not be made: {_words(error)}."
        Export.objects.settle(export_pk, token, WorkState.FAILED, error=reason)


def _freeze(export: Export, token: uuid.UUID) -> None:
    def beat() -> None:
        if not Export.objects.renew(export.pk, token, lease_s=LEASE_S):
            raise LeaseLostError

    if export.frozen_at is None:
        certificate, facts = make_items(export, beat)
        won = Export.objects.held(export.pk, token).update(
            frozen_at=Now(),
            item_count=export.items.count(),
            certificate=certificate,
            facts=facts,
        )
        if not won:
            raise LeaseLostError
        export.refresh_from_db()
    export.list_sha256 = make_list(export, beat)
    facts = facts_as_json(export)
    with transaction.atomic():
        if not Export.objects.settle(
            export.pk, token, WorkState.DONE, list_sha256=export.list_sha256, facts=facts
        ):
            raise LeaseLostError
        packages = [
            Package(export=export, created_by_id=export.created_by_id, **form)
            for form in export.wanted
        ]
        for package in packages:
            package.save()
        enqueue_on_commit(packages)


# --- Writing --------------------------------------------------------------------------


def write_package(package_pk: int) -> None:
    """Write the package's folder; killed at any point, nothing looks complete."""
    token = Package.objects.claim(package_pk, lease_s=LEASE_S)
    if token is None:
        return
    package = Package.objects.select_related("export__dataset").get(pk=package_pk)
    target = folder_of(package)
    draft = target.with_name(f".{target.name}.{token}.part")
    for leftover in target.parent.glob(f".{target.name}.*.part"):  # of a worker that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        write_folder(package, draft, token)
        if not Package.objects.renew(package_pk, token, lease_s=LEASE_S):
            raise LeaseLostError
        publish(draft, target)
        share_exported(target.name)
        byte_count = folder_size(target)
        with transaction.atomic():
            if Package.objects.settle(
                package_pk,
                token,
                WorkState.DONE,
                done_count=package.export.item_count,
                byte_count=byte_count,
            ):
                package.refresh_from_db()
                call_webhooks(package)
    except LeaseLostError:
        logger.warning("Package %s went to another worker", package_pk)
    except (OSError, UnsafeNameError, BadImageError, MarkError) as error:
        logger.exception("Package %s broke off", package_pk)
        reason = f"It could not be written: {_words(error)}."
        Package.objects.settle(package_pk, token, WorkState.FAILED, error=reason)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_folder(package: Package, folder: Path, token: uuid.UUID | None = None) -> None:
    """Fill a new folder with the package.

    Raises OSError, BadImageError, MarkError, LeaseLostError.
    """
    folder.mkdir(parents=True)
    entries = entries_of(package.export)
    if encoding := parse_encoding(package.encoding):
        signer = C2paSigner(**settings.C2PA) if encoding.is_signed else None
        entries = encode_all(entries, encoding, signer=signer)
    if token:
        entries = _counting(entries, package, token)
    writer(package.format).write(folder, entries, frozen_facts(package.export))


def publish(draft: Path, target: Path) -> None:
    """Give a whole folder its name, instead of one that no row tells of. Raises OSError."""
    shutil.rmtree(target, ignore_errors=True)
    draft.replace(target)


def _counting(
    entries: Iterator[ExportEntry], package: Package, token: uuid.UUID
) -> Iterator[ExportEntry]:
    """Pass the entries on, keep the lease, and say how far the writing is."""
    next_beat = time.monotonic() + BEAT_S
    number = 0
    for number, entry in enumerate(entries, start=1):
        yield entry
        if time.monotonic() < next_beat:
            continue
        next_beat = time.monotonic() + BEAT_S
        if not Package.objects.renew(package.pk, token, lease_s=LEASE_S):
            raise LeaseLostError
        Package.objects.held(package.pk, token).update(done_count=number)
    if number != package.export.item_count:
        raise OSError(f"{number} of {package.export.item_count} images came out of the list")


def folder_size(folder: Path) -> int:
    """Return how many bytes the files of a folder have together."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _words(error: BaseException) -> str:
    """Return what happened, without a path of this machine."""
    return str(getattr(error, "strerror", None) or error).rstrip(".")
