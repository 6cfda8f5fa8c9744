"""Reads a file of images with known truth, for a replay. Every bad line is named by its number."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synthreview.review.ranking.table import (
    CAPTION,
    GENERATOR,
    LABEL_CLASS,
    MAIN_SCORE,
    TECHNIQUE,
    BoolArray,
    ImageTable,
    codes_of,
)

NEEDED = ("image", MAIN_SCORE, "bad")
KIND_OF_COLUMN = {
    "group": CAPTION,
    "label_class": LABEL_CLASS,
    "technique": TECHNIQUE,
    "generator": GENERATOR,
}
SCORE_PREFIX, AXIS_PREFIX = "score_", "axis_"
MOST_LINES = 2_000_000
NAMED_ERRORS = 20
TRUTH = {"0": False, "1": True}


class ReplayFileError(ValueError):
    """The file cannot be replayed; the message names its lines."""


@dataclass(frozen=True, slots=True)
class KnownImages:
    """Images of a file with what is true of them."""

    names: list[str]
    table: ImageTable
    is_bad: BoolArray


def read_known_images(path: Path, embeddings: Path | None = None) -> KnownImages:
    """Return the images of a CSV file, and their embeddings from a .npy file, row for row.

    Columns: `image`, `score` (low = doubtful, may be empty) and `bad` (0 or 1); where they are
    there, `group` (caption), `label_class`, `technique`, `generator`, and any `score_*` and
    `axis_*`. Others are ignored.

    Raises ReplayFileError: what is wrong, with the numbers of the first lines.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(_lines(file, path.name))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReplayFileError(f"{path.name} cannot be read as CSV: {error}") from error
    if not lines:
        raise ReplayFileError(f"{path.name} holds no image.")
    is_bad = np.array([TRUTH[line["bad"]] for line in lines])
    if is_bad.all() or not is_bad.any():
        raise ReplayFileError(
            f"{path.name}: all its images are {'bad' if is_bad.all() else 'good'}; "
            "a replay needs both kinds."
        )
    table = ImageTable(
        scores={
            name: np.array([float(line[name] or "nan") for line in lines])
            for name in lines[0]
            if _is_score(name)
        },
        kinds={
            KIND_OF_COLUMN.get(name, name): codes_of(line[name] for line in lines)
            for name in lines[0]
            if name in KIND_OF_COLUMN or name.startswith(AXIS_PREFIX)
        },
        embedding=None if embeddings is None else read_embeddings(embeddings, len(lines)),
    )
    return KnownImages([line["image"] for line in lines], table, is_bad)


def _lines(file: Iterator[str], name: str) -> Iterator[dict[str, str]]:
    """Yield each line as column to value. Raises ReplayFileError after the first bad ones."""
    reader = csv.reader(file, strict=True)
    header = [column.strip() for column in next(reader, [])]
    if missing := [column for column in NEEDED if column not in header]:
        raise ReplayFileError(
            f"{name}, line 1: the column {', '.join(missing)} is missing; "
            f"needed are {', '.join(NEEDED)}."
        )
    if twice := [column for column in header if column and header.count(column) > 1]:
        raise ReplayFileError(f"{name}, line 1: the column {twice[0]} is there twice.")
    scores = [column for column in header if _is_score(column)]
    seen: dict[str, int] = {}
    problems: list[str] = []
    for fields in reader:
        at = reader.line_num
        if not fields:
            continue
        if len(seen) >= MOST_LINES:
            raise ReplayFileError(f"{name} has more than {MOST_LINES:,} images.")
        line = dict(zip(header, (value.strip() for value in fields), strict=False))
        if problem := _problem(line, fields, header, scores, seen):
            problems.append(f"line {at}: {problem}")
            if len(problems) == NAMED_ERRORS:
                break
        else:
            seen[line["image"]] = at
            yield line
    if problems:
        more = " (and maybe more)" if len(problems) == NAMED_ERRORS else ""
        raise ReplayFileError(f"{name}, {'; '.join(problems)}{more}.")


def _problem(
    line: dict[str, str],
    fields: Sequence[str],
    header: Sequence[str],
    scores: Sequence[str],
    seen: dict[str, int],
) -> str:
    """Return what is wrong with a line, or nothing."""
    if len(fields) != len(header):
        return f"{len(fields)} fields where the header has {len(header)}"
    if not line["image"]:
        return "image is empty"
    if line["image"] in seen:
        return f"image {line['image'][:80]!r} is in line {seen[line['image']]} already"
    if line["bad"] not in TRUTH:
        return f"bad is {line['bad'][:80]!r}, not 0 or 1"
    for name in scores:
        if line[name] and not _is_number(line[name]):
            return f"{name} is {line[name][:80]!r}, not a number"
    return ""


def _is_score(column: str) -> bool:
    return column == MAIN_SCORE or column.startswith(SCORE_PREFIX)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read_embeddings(path: Path, count: int) -> npt.NDArray[np.floating]:
    """Return (`count`, D) vectors of a .npy file. Raises ReplayFileError."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ReplayFileError(f"{path.name} cannot be read as .npy: {error}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f" or found.ndim != 2:
        raise ReplayFileError(f"{path.name} is no table of floating-point vectors.")
    if len(found) != count or found.shape[1] < 2:
        raise ReplayFileError(
            f"{path.name} holds {found.shape[0]} vectors of {found.shape[1]} numbers, "
            f"and there are {count} images."
        )
    if not np.isfinite(found).all():
        raise ReplayFileError(f"{path.name} holds numbers that are not finite.")
    return found
