"""Folders and tables of images that somebody has: found, named, told apart. Nothing is stored here.

`generation` brings such images in as a dataset's own, `catalog.references` as real ones.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.services import add_class
from synthreview.lib.images import MAX_BYTES

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
COLUMNS = ("file", "class", "caption", "technique", "generator")
REFUSALS_KEPT = 1_000
MAX_CAPTION = 4_000
IMPORTED = "import"  # stands in `generator` for images that somebody already had


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


def read_csv(
    table: Path, folder: Path, report: Report, *, techniques: Collection[str]
) -> Iterator[Candidate]:
    """Yield the images of a CSV; a bad line is refused by its number, the rest goes on."""
    root = folder.resolve()
    for line, row in _rows(table):
        try:
            yield _candidate(row, root, f"line {line}", techniques)
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


def _candidate(
    row: Mapping[str, str], root: Path, where: str, techniques: Collection[str]
) -> Candidate:
    """Check one line. Raises RefusedFileError."""
    name, class_name = row.get("file", ""), row.get("class", "")
    technique = row.get("technique", "").casefold() or "plain"
    generator = row.get("generator", "") or IMPORTED
    caption = row.get("caption", "")
    if not name or not class_name:
        raise RefusedFileError(f"the {'class' if name else 'file'} is missing")
    if any("\0" in cell for cell in row.values()):
        raise RefusedFileError("holds a NUL character")
    if technique not in techniques:
        raise RefusedFileError(f"no technique {technique!r}; known: {', '.join(techniques)}")
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
    dataset: Dataset,
    names: Iterable[str],
    *,
    create: bool,
    report: Report,
    hint: str = "Rename it, or add the class first.",
) -> dict[str, LabelClass]:
    """Return the class of each name; names, slugs and synonyms count, in any case.

    Raises CannotImportError for a name that none has, with the `hint` what to do, unless `create`
    makes it one.
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
            f"{hint}"
        )
    if too_long := [name for name in unknown if len(name) > 120]:
        raise CannotImportError(f"{too_long[0][:40]!r}…: a class has at most 120 characters.")
    for name in unknown:
        if name.casefold() not in known:
            known[name.casefold()] = add_class(dataset=dataset, name=name)
            report.new_classes.append(name)
    return known


def digest(candidate: Candidate) -> str | RefusedFileError:
    try:
        with candidate.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                return RefusedFileError(f"the file is larger than {MAX_BYTES // 1_000_000} MB")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return RefusedFileError(f"it cannot be read: {error.strerror}")
