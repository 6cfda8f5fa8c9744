"""The worker side of export: write the frozen list into a draft folder, then rename it."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from synthreview.export.models import Export
from synthreview.export.services import entries_of, facts_of, folder_of
from synthreview.export.writers.base import ExportEntry, UnsafeNameError
from synthreview.export.writers.imagefolder import ImageFolderWriter
from synthreview.work.models import WorkState

logger = logging.getLogger(__name__)
LEASE_S = 300
RENEW_EVERY = 500


class LeaseLostError(Exception):
    """Another worker writes this export now."""


def write_export(export_pk: int) -> None:
    """Write the export's folder; killed at any point, nothing looks complete."""
    token = Export.objects.claim(export_pk, lease_s=LEASE_S)
    if token is None:
        return
    export = Export.objects.select_related("dataset__policy").get(pk=export_pk)
    target = folder_of(export)
    draft = target.with_name(f".{target.name}.{token}.part")
    for leftover in target.parent.glob(f".{target.name}.*.part"):  # of a worker that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        write_folder(export, draft, token)
        if not Export.objects.renew(export_pk, token, lease_s=LEASE_S):
            raise LeaseLostError
        shutil.rmtree(target, ignore_errors=True)  # of a try that was cut off before its row
        draft.replace(target)
        Export.objects.settle(export_pk, token, WorkState.DONE)
    except LeaseLostError:
        logger.warning("Export %s went to another worker", export_pk)
    except (OSError, UnsafeNameError) as error:
        logger.exception("Export %s broke off", export_pk)
        reason = getattr(error, "strerror", None) or error
        Export.objects.settle(
            export_pk, token, WorkState.FAILED, error=f"It could not be written: {reason}."
        )
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_folder(export: Export, folder: Path, token: uuid.UUID | None = None) -> None:
    """Fill a new folder with the export. Raises OSError, LeaseLostError."""
    folder.mkdir(parents=True)
    entries = entries_of(export)
    if token:
        entries = _renewing(entries, export.pk, token)
    ImageFolderWriter().write(folder, entries, facts_of(export))


def _renewing(
    entries: Iterator[ExportEntry], export_pk: int, token: uuid.UUID
) -> Iterator[ExportEntry]:
    for number, entry in enumerate(entries):
        if number % RENEW_EVERY == RENEW_EVERY - 1 and not Export.objects.renew(
            export_pk, token, lease_s=LEASE_S
        ):
            raise LeaseLostError
        yield entry
