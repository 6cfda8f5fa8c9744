"""From rows to columns: everything that the ranking may know of a dataset's images.

Reads in pages, each its own short statement, so that no old snapshot slows the claims (a long
transaction cuts them to a tenth). Loads no scikit-learn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.prompting.models import Prompt
from synthreview.review.certificate import Stream
from synthreview.review.models import ImageState, ReviewSlot
from synthreview.review.ranking.table import (
    CAPTION,
    GENERATOR,
    LABEL_CLASS,
    MAIN_SCORE,
    NONE,
    TECHNIQUE,
    BoolArray,
    FloatArray,
    ImageTable,
    IntArray,
    codes_of,
)
from synthreview.review.ranking_models import Ranking
from synthreview.review.ranking_services import scorers_in_use
from synthreview.scoring.models import MAIN_SCORER, Embedding, Score, ScorerVersion

PAGE = 10_000
TEMPLATE, AUTHOR = "template", "author"
FIGURES = ("value", "similarity", "match", "class_probability", "class_margin")
Told = Callable[[], object]


@dataclass(frozen=True, slots=True)
class QueuedImages:
    """The N images of a dataset that came into its queue, by rising key, and what became of them.

    `is_waiting`: pending; `is_known`: approved or rejected; `is_bad`: rejected; `is_random`: came
    before people by lot. `scorers`: the versions whose scores stand in the table.
    """

    images: IntArray
    table: ImageTable
    is_waiting: BoolArray
    is_known: BoolArray
    is_bad: BoolArray
    is_random: BoolArray
    scorers: list[ScorerVersion]


def read_queue(dataset: Dataset, *, on_page: Told = lambda: None) -> QueuedImages:
    """Return everything of the dataset's queue; `on_page` is called after each page of rows."""
    fields = ("pk", "review__state", "label_class", "technique", "generator", "model", "prompt")
    rows = GeneratedImage.objects.filter(dataset=dataset, review__isnull=False).order_by("pk")
    columns: dict[str, list[Any]] = {name: [] for name in fields}
    last = 0
    while page := list(rows.filter(pk__gt=last).values_list(*fields)[:PAGE]):
        for name, column in zip(fields, zip(*page, strict=True), strict=True):
            columns[name] += column
        last = page[-1][0]
        on_page()
    images = np.array(columns["pk"], dtype=np.int64)
    scorers = scorers_in_use(dataset)
    scores: dict[str, FloatArray] = {MAIN_SCORE: np.full(len(images), np.nan)}
    for version in scorers:
        scores |= _scores(dataset, version, images, on_page)
    states = np.array(columns["review__state"], dtype=object)
    return QueuedImages(
        images=images,
        table=ImageTable(
            scores=scores,
            kinds=_kinds(dataset, columns),
            embedding=_embedding(dataset, scorers, images, on_page),
        ),
        is_waiting=states == ImageState.PENDING,
        is_known=(states == ImageState.APPROVED) | (states == ImageState.REJECTED),
        is_bad=states == ImageState.REJECTED,
        is_random=np.isin(images, _drawn_by_lot(dataset)),
        scorers=scorers,
    )


def _drawn_by_lot(dataset: Dataset) -> list[int]:
    """Return the images that an audit or the share of exploration chose, not the queue's order."""
    audits = ReviewSlot.objects.filter(dataset=dataset).exclude(stream=Stream.TARGETED.value)
    explored = Ranking.objects.filter(dataset=dataset).exclude(explored=[])
    return [
        *audits.order_by().values_list("image", flat=True),
        *(image for row in explored.values_list("explored", flat=True) for image in row),
    ]


# --- Scores and embeddings ----------------------------------------------------------


def _pages_of(
    rows: QuerySet[Any], images: IntArray, fields: tuple[str, ...], on_page: Told
) -> Iterator[tuple[IntArray, list[tuple[Any, ...]]]]:
    """Yield for pages of `rows` the places of their images and the fields; all must be known."""
    for start in range(0, len(images), PAGE):
        page = images[start : start + PAGE]
        found = list(
            rows.filter(image__gte=int(page[0]), image__lte=int(page[-1]))
            .order_by()
            .values_list("image", *fields)
        )
        if found:
            keys = np.array([row[0] for row in found], dtype=np.int64)
            place = np.searchsorted(page, keys)
            is_queued = page[np.minimum(place, len(page) - 1)] == keys
            kept = [row[1:] for row, queued in zip(found, is_queued, strict=True) if queued]
            yield start + place[is_queued], kept
        on_page()


def _scores(
    dataset: Dataset, version: ScorerVersion, images: IntArray, on_page: Told
) -> dict[str, FloatArray]:
    """Return one scorer's columns: its value, its other figures, and one for each part."""
    found: dict[str, FloatArray] = {}

    def put(name: str, at: IntArray, values: FloatArray) -> None:
        if not np.isnan(values).all():
            found.setdefault(name, np.full(len(images), np.nan))[at] = values

    rows = Score.objects.filter(version=version, image__dataset=dataset, applies=True)
    rows = rows.annotate(parts_text=Cast("parts", TextField()))
    for at, page in _pages_of(rows, images, (*FIGURES, "parts_text"), on_page):
        *figures, texts = zip(*page, strict=True)
        parts = json.loads(f"[{','.join(texts)}]")  # at once: half the time of one by one
        for name, values in zip(FIGURES, figures, strict=True):
            put(_name(version, name), at, np.array(values, dtype=np.float64))
        for part in sorted(set().union(*parts)):
            said = [one.get(part) for one in parts]
            put(_name(version, f"part {part}"), at, np.array(said, dtype=np.float64))
    return found


def _name(version: ScorerVersion, figure: str) -> str:
    """Return how a scorer's figure is called: "score" for what orders the queue by itself."""
    is_main = version.alias == MAIN_SCORER
    if figure == "value":
        return MAIN_SCORE if is_main else version.alias
    figure = figure.replace("_", " ")
    return figure if is_main else f"{version.alias} {figure}"


def _embedding(
    dataset: Dataset, scorers: list[ScorerVersion], images: IntArray, on_page: Told
) -> npt.NDArray[np.float16] | None:
    """Return the main scorer's (N, D) vectors, zeros where there is none; None without any."""
    found: npt.NDArray[np.float16] | None = None
    main = [version for version in scorers if version.alias == MAIN_SCORER]
    rows = Embedding.objects.filter(version__in=main, image__dataset=dataset)
    for at, page in _pages_of(rows, images, ("vector",), on_page):
        vectors = np.frombuffer(b"".join(bytes(vector) for (vector,) in page), dtype="<f2")
        vectors = vectors.reshape(len(page), -1)
        if found is None:
            found = np.zeros((len(images), vectors.shape[1]), dtype=np.float16)
        found[at] = vectors
    return found


# --- Kinds ------------------------------------------------------------------------


def _kinds(dataset: Dataset, columns: dict[str, list[Any]]) -> dict[str, IntArray]:
    """Return the codes of every kind by which decisions are pooled."""
    prompt = codes_of(columns["prompt"])
    kinds = {
        CAPTION: prompt,
        LABEL_CLASS: codes_of(columns["label_class"]),
        TECHNIQUE: codes_of(columns["technique"]),
        GENERATOR: codes_of(zip(columns["generator"], columns["model"], strict=True)),
    }
    order = [key for key in dict.fromkeys(columns["prompt"]) if key is not None]
    for name, values in _of_prompts(dataset, order).items():
        kinds[name] = np.where(prompt == NONE, NONE, np.append(values, NONE)[prompt])
    return kinds


def _of_prompts(dataset: Dataset, order: list[int]) -> dict[str, IntArray]:
    """Return for each kind the codes of the prompts in `order`."""
    rows = Prompt.objects.filter(dataset=dataset).values_list(
        "pk", "text", "slots", "author", "author_version", "technique", "label_class__name"
    )
    prompts = {row[0]: row[1:] for row in rows.iterator(chunk_size=2_000)}
    known = [prompts[key] for key in order]
    found = {
        TEMPLATE: codes_of(template_of(text, slots, name) for text, slots, *_, name in known),
        AUTHOR: codes_of(row[2:4] for row in known),
    }
    slots = [row[1] for row in known]
    for axis in sorted(set().union(*slots)):
        found[f"axis {axis}"] = codes_of(one.get(axis) for one in slots)
    return found


def template_of(text: str, slots: dict[str, str], class_name: str) -> str:
    """Return the sentence around the slots and the class: what its prompts have in common."""
    for name, words in sorted(
        {**slots, "class": class_name}.items(), key=lambda item: -len(item[1])
    ):
        if words:
            text = re.sub(re.escape(words), f"{{{name}}}", text, count=1, flags=re.IGNORECASE)
    return text if "{" in text else ""
