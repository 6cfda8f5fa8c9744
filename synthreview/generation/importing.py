"""Bringing in images that somebody already has: found, checked, stored, then put on record.

Memory stays bounded at any number of files: names come one by one, pixels live in a few
threads, and rows are written 200 at a time in short transactions. Each image is in whole
or not at all, so an import that broke off is run again and goes on.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from django.db import IntegrityError, transaction
from django.db.models import F, Max

from synthreview.accounts.models import User
from synthreview.catalog.image_folders import IMPORTED, Candidate, RefusedFileError, Report, digest
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.storage import FAMILIES, store_image
from synthreview.generation.models import GeneratedImage, Run
from synthreview.generation.services import note_run
from synthreview.lib.images import BadImageError

BATCH = 200
THREADS = 4


# --- Bringing in ------------------------------------------------------------------


def import_images(
    *,
    dataset: Dataset,
    candidates: Iterator[Candidate],
    classes: Mapping[str, LabelClass],
    report: Report,
    created_by: User | None = None,
) -> Iterator[Report]:
    """Bring in the candidates, batch by batch, and yield the report after each.

    `classes` maps a class's name, case folded, to its row. Raises OSError where the store
    cannot be written: what is in by then is whole, and running again goes on.
    """
    run: Run | None = None
    with ThreadPoolExecutor(THREADS) as pool:  # Pillow and hashlib work outside Python's lock
        while batch := list(islice(candidates, BATCH)):
            new = _not_there(dataset, batch, classes, pool, report)
            prepared = list(pool.map(_prepare, new))
            images = []
            for candidate, image in zip(new, prepared, strict=True):
                if isinstance(image, GeneratedImage):
                    image.dataset = dataset
                    image.label_class = classes[candidate.class_name.casefold()]
                    images.append(image)
                else:
                    report.refuse(candidate.where, image)
            if images:
                run = run or _start(dataset, created_by)
                _record(run, images, report)
            yield report


def _not_there(
    dataset: Dataset,
    batch: list[Candidate],
    classes: Mapping[str, LabelClass],
    pool: ThreadPoolExecutor,
    report: Report,
) -> list[Candidate]:
    """Return the candidates whose bytes the dataset does not have; count the others."""
    digests = list(pool.map(digest, batch))
    wanted = [one for one in digests if not isinstance(one, RefusedFileError)]
    known = dict(
        GeneratedImage.objects.filter(dataset=dataset, call__isnull=True, sha256__in=wanted)
        .order_by()
        .values_list("sha256", "label_class__name")
    )
    new = []
    for candidate, sha256 in zip(batch, digests, strict=True):
        own = classes[candidate.class_name.casefold()].name
        if isinstance(sha256, RefusedFileError):
            report.refuse(candidate.where, sha256)
        elif sha256 not in known:
            known[sha256] = own
            new.append(candidate)
        elif known[sha256] == own:
            report.already_there += 1
        else:
            report.refuse(candidate.where, f"the same image is there already, as {known[sha256]!r}")
    return new


def _prepare(candidate: Candidate) -> GeneratedImage | RefusedFileError:
    """Store one file's bytes and renditions; return its row, not yet saved.

    Raises OSError where the store cannot be written.
    """
    try:
        data = candidate.path.read_bytes()
    except OSError as error:
        return RefusedFileError(f"it cannot be read: {error.strerror}")
    try:
        sha256, decoded = store_image(data)
    except BadImageError as error:
        return RefusedFileError(str(error))
    return GeneratedImage(
        technique=candidate.technique,
        caption=candidate.caption,
        generator=candidate.generator,
        source_name=candidate.name[-400:],
        sha256=sha256,
        media_type=decoded.media_type,
        byte_count=len(data),
        width=decoded.width,
        height=decoded.height,
        family=uuid.uuid5(FAMILIES, sha256),
    )


@transaction.atomic
def _start(dataset: Dataset, created_by: User | None) -> Run:
    """Make the import's run; one that brings in nothing makes none."""
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    last = Run.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"] or 0
    run = Run.objects.create(
        dataset=dataset,
        number=last + 1,
        generator=IMPORTED,
        size_px=0,
        image_count=0,
        created_by=created_by,
    )
    note_run(run)
    return run


def _record(run: Run, images: list[GeneratedImage], report: Report) -> None:
    """Save a batch's rows; what another import brought in meanwhile counts as there."""
    for image in images:
        image.run = run
    report.run_number = run.number
    try:
        saved = _save(run, images)
    except IntegrityError:
        there = set(
            GeneratedImage.objects.filter(
                dataset=run.dataset, call__isnull=True, sha256__in=[i.sha256 for i in images]
            ).values_list("sha256", flat=True)
        )
        saved = _save(run, [image for image in images if image.sha256 not in there])
    report.imported += saved
    report.already_there += len(images) - saved


@transaction.atomic
def _save(run: Run, images: list[GeneratedImage]) -> int:
    GeneratedImage.objects.bulk_create(images)
    Run.objects.filter(pk=run.pk).update(image_count=F("image_count") + len(images))
    return len(images)
