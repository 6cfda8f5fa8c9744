"""Bringing in images that somebody already has: found, checked, stored, then put on record.

Memory stays bounded at any number of files: names come one by one, pixels live in a few
threads, and rows are written 200 at a time in short transactions. Each image is in whole
or not at all, so an import that broke off is run again and goes on.
"""

from __future__ import annotations

import csv
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from django.db import IntegrityError, transaction
from django.db.models import F, Max

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.services import add_class
from synthreview.catalog.storage import store_image
from synthreview.generation.models import IMPORTED, GeneratedImage, Run
from synthreview.lib.images import MAX_BYTES, BadImageError
from synthreview.prompting.techniques import TECHNIQUES

BATCH = 200
THREADS = 4
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
COLUMNS = ("file", "class", "caption", "technique", "generator")
REFUSALS_KEPT = 1_000
MAX_CAPTION = 4_000
# Images of the same bytes are one family, in whichever dataset they lie.
FAMILIES = uuid.UUID("0f1de5a5-5a0f-4c43-9d0a-6d1d8e6a2b77")


class CannotImportError(ValueError):
    """The import cannot start; the message says what to change."""


class RefusedFileError(ValueError):
    """One file or line is not taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One image to bring in. `name` is its path within the folder; `where` tells a person."""

    path: Path
    name: str
    where: str
    class_name: str
    caption: str = ""
    technique: str = "plain"
    generator: str = IMPORTED


@dataclass(slots=True)
class Report:
    """What an import did. `refusals` holds the first thousand as (where, why)."""

    run_number: int | None = None
    imported: int = 0
    already_there: int = 0
    ignored: int = 0
    refused: int = 0
    refusals: list[tuple[str, str]] = field(default_factory=list)
    new_classes: list[str] = field(default_factory=list)

    def refuse(self, where: str, why: object) -> None:
        self.refused += 1
        if len(self.refusals) < REFUSALS_KEPT:
            self.refusals.append((where, str(why)))

    @property
    def seen(self) -> int:
        return self.imported + self.already_there + self.ignored + self.refused


# --- What there is --------------------------------------------------------------


def folder_classes(folder: Path) -> list[str]:
    """Return the subfolders, which name the classes. Raises CannotImportError."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                readable(entry.name)
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )
    except OSError as error:
        raise CannotImportError(f"{folder}: {error.strerror}") from error
    if not names:
        raise CannotImportError(
            f"{folder} has no subfolders: put each class into its own, or name classes in a CSV."
        )
    return names


def scan_folder(folder: Path, report: Report) -> Iterator[Candidate]:
    """Yield the images of each class's subfolder at any depth, in order of name.

    Hidden files and files of other kinds are counted as ignored; links that lead out of
    the folder, and links to folders, are refused.
    """
    root = folder.resolve()
    for class_entry in _entries(root, report):
        if class_entry.is_dir(follow_symlinks=False):
            yield from _scan(Path(class_entry.path), root, readable(class_entry.name), report)
        else:
            report.ignored += 1  # it lies in no class's folder


def _scan(folder: Path, root: Path, class_name: str, report: Report) -> Iterator[Candidate]:
    for entry in _entries(folder, report):
        path = Path(entry.path)
        name = readable(str(path.relative_to(root)))
        if entry.is_dir(follow_symlinks=False):
            yield from _scan(path, root, class_name, report)
        elif entry.is_symlink() and not path.resolve().is_relative_to(root):
            report.refuse(name, "a link that leaves the folder")
        elif entry.is_symlink() and path.is_dir():
            report.refuse(name, "a link to a folder; links to images are followed")
        elif path.suffix.lower() not in SUFFIXES:
            report.ignored += 1
        else:
            yield Candidate(path, name, name, class_name)


def _entries(folder: Path, report: Report) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    visible = [entry for entry in entries if not entry.name.startswith(".")]
    report.ignored += len(entries) - len(visible)
    return visible


def csv_classes(table: Path) -> dict[str, int]:
    """Return each class that the CSV names and the line that names it first.

    Raises CannotImportError (no such file, no such column).
    """
    first: dict[str, int] = {}
    for line, row in _rows(table):
        name = row.get("class", "")
        if name and "\0" not in name:  # such a line is refused when its turn comes
            first.setdefault(name, line)
    return first


def read_csv(table: Path, folder: Path, report: Report) -> Iterator[Candidate]:
    """Yield the images of a CSV; a bad line is refused by its number, the rest goes on."""
    root = folder.resolve()
    for line, row in _rows(table):
        try:
            yield _candidate(row, root, f"line {line}")
        except RefusedFileError as error:
            report.refuse(f"line {line}", error)


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, cells by column); header names in any case, comma, ; or tab."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            delimiter = max(",;\t", key=head.count)
            names = [
                name.strip().casefold()
                for name in next(csv.reader([head], delimiter=delimiter), [])
            ]
            if missing := {"file", "class"} - set(names):
                raise CannotImportError(
                    f"{table}: no column {sorted(missing)[0]!r}; needed are file and class, "
                    "known besides: caption, technique, generator."
                )
            reader = csv.reader(file, delimiter=delimiter)
            for cells in reader:
                if cells:
                    row = dict(zip(names, (cell.strip() for cell in cells), strict=False))
                    yield reader.line_num + 1, row
    except OSError as error:
        raise CannotImportError(f"{table}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CannotImportError(f"{table}: not a text in UTF-8; save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise CannotImportError(f"{table}: not a CSV: {error}.") from error


def _candidate(row: Mapping[str, str], root: Path, where: str) -> Candidate:
    """Check one line. Raises RefusedFileError."""
    name, class_name = row.get("file", ""), row.get("class", "")
    technique = row.get("technique", "").casefold() or "plain"
    generator = row.get("generator", "") or IMPORTED
    caption = row.get("caption", "")
    if not name or not class_name:
        raise RefusedFileError(f"the {'class' if name else 'file'} is missing")
    if any("\0" in cell for cell in row.values()):
        raise RefusedFileError("holds a NUL character")
    if technique not in TECHNIQUES:
        raise RefusedFileError(f"no technique {technique!r}; known: {', '.join(TECHNIQUES)}")
    if len(caption) > MAX_CAPTION or len(generator) > 60:
        raise RefusedFileError("a caption has at most 4,000 characters, a generator's name 60")
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise RefusedFileError(f"{name!r} leaves the folder; paths start in the folder")
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise RefusedFileError(f"{name!r} is a link that leaves the folder")
    if not path.is_file():
        raise RefusedFileError(f"there is no file {name!r}")
    return Candidate(path, name, f"{where} ({name})", class_name, caption, technique, generator)


def readable(name: str) -> str:
    """Return a file's name as text that a database takes, whatever bytes it is made of."""
    return os.fsencode(name).decode("utf-8", "replace")


def match_classes(
    dataset: Dataset, names: Iterable[str], *, create: bool, report: Report
) -> dict[str, LabelClass]:
    """Return the class of each name; names, slugs and synonyms count, in any case.

    Raises CannotImportError for a name that none has, unless `create` makes it one.
    """
    classes = list(dataset.classes.all())
    known: dict[str, LabelClass] = {}
    for keys in (lambda c: c.synonyms, lambda c: [c.slug], lambda c: [c.name]):  # strongest last
        known |= {key.casefold(): row for row in classes for key in keys(row)}
    unknown = [name for name in names if name.casefold() not in known]
    if unknown and not create:
        there = ", ".join(sorted(row.name for row in classes)) or "none yet"
        raise CannotImportError(
            f"No class is called {', '.join(map(repr, unknown[:5]))}; {dataset.name} has: {there}. "
            "Rename it, or let --create-classes make it."
        )
    if too_long := [name for name in unknown if len(name) > 120]:
        raise CannotImportError(f"{too_long[0][:40]!r}…: a class has at most 120 characters.")
    for name in unknown:
        if name.casefold() not in known:
            known[name.casefold()] = add_class(dataset=dataset, name=name)
            report.new_classes.append(name)
    return known


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
    digests = list(pool.map(_digest, batch))
    wanted = [digest for digest in digests if not isinstance(digest, RefusedFileError)]
    known = dict(
        GeneratedImage.objects.filter(dataset=dataset, call__isnull=True, sha256__in=wanted)
        .order_by()
        .values_list("sha256", "label_class__name")
    )
    new = []
    for candidate, digest in zip(batch, digests, strict=True):
        own = classes[candidate.class_name.casefold()].name
        if isinstance(digest, RefusedFileError):
            report.refuse(candidate.where, digest)
        elif digest not in known:
            known[digest] = own
            new.append(candidate)
        elif known[digest] == own:
            report.already_there += 1
        else:
            report.refuse(candidate.where, f"the same image is there already, as {known[digest]!r}")
    return new


def _digest(candidate: Candidate) -> str | RefusedFileError:
    try:
        with candidate.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                return RefusedFileError(f"the file is larger than {MAX_BYTES // 1_000_000} MB")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return RefusedFileError(f"it cannot be read: {error.strerror}")


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
    return Run.objects.create(
        dataset=dataset,
        number=last + 1,
        generator=IMPORTED,
        size_px=0,
        image_count=0,
        created_by=created_by,
    )


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
