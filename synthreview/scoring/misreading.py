"""What a scorer takes a picture for before and after a word was put on it.

CLIP reads: an apple with a note "iPod" was an iPod to it (Goh et al. 2021, "Multimodal neurons in
artificial neural networks", section on typographic attacks). Both pictures are judged among the
same texts, the dataset's classes and the word itself, so that nothing but the word differs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthreview.catalog.models import ReferenceImage
from synthreview.catalog.storage import blobs
from synthreview.generation.models import CallInput, GeneratedImage
from synthreview.lib.images import BadImageError, decode
from synthreview.scoring.models import MAIN_SCORER, Misreading, ScorerVersion
from synthreview.scoring.scorers.base import ScoreRequest, ScoreResult
from synthreview.scoring.services import scorer

TECHNIQUE = "typographic"


def misreadings(
    images: Sequence[GeneratedImage], version: ScorerVersion, class_names: Sequence[str]
) -> list[Misreading]:
    """Return a row, not yet stored, for each image with a word on it that the scorer can judge.

    It can where it knows what the word was put on: a word makes no other world of a picture.
    """
    if version.alias != MAIN_SCORER:  # other judges tell no class
        return []
    rows: list[Misreading] = []
    requests: list[ScoreRequest] = []
    for image, source in _with_sources(images):
        word = str(image.facts.get("word", ""))
        texts = texts_with(class_names, word)
        if not word or len(texts) < 2 or not _knows(version, source):
            continue
        try:
            pair = [decode(blobs().read(each.sha256)).pixels for each in (source, image)]
        except (BadImageError, FileNotFoundError):
            continue
        rows.append(Misreading(image=image, version=version, word=word[:40]))
        requests += [
            ScoreRequest(pixels, image.label_class.name, {}, texts, None) for pixels in pair
        ]
    if not rows:
        return []
    results = scorer(version.alias).score(requests)
    for number, row in enumerate(rows):
        among = requests[2 * number].class_texts
        row.class_before, row.chance_before = _first(results[2 * number], among)
        row.class_after, row.chance_after = _first(results[2 * number + 1], among)
        label = row.image.label_class.name
        row.is_fooled = row.class_after not in (row.class_before, label)
    return rows


def texts_with(class_names: Sequence[str], word: str) -> list[str]:
    """Return the classes and the word, which may be one of them."""
    has_word = word.casefold() in {name.casefold() for name in class_names}
    return [*class_names, *([] if has_word or not word else [word])]


def _with_sources(
    images: Sequence[GeneratedImage],
) -> list[tuple[GeneratedImage, GeneratedImage | ReferenceImage]]:
    by_call = {image.call_id: image for image in images if image.technique == TECHNIQUE}
    if not by_call:
        return []
    rows = CallInput.objects.filter(call__in=[call for call in by_call if call], position=0)
    sources = {row.call_id: row.source for row in rows.select_related("image", "reference")}
    return [
        (image, sources[image.call_id])
        for image in images
        if image.technique == TECHNIQUE and image.call_id in sources
    ]


def _knows(version: ScorerVersion, source: GeneratedImage | ReferenceImage) -> bool:
    if isinstance(source, GeneratedImage):
        return version.applies(source)
    return not version.applies_to


def _first(result: ScoreResult, texts: Sequence[str]) -> tuple[str, float]:
    best = int(np.argmax(result.class_probabilities))
    return texts[best][:120], float(result.class_probabilities[best])
