"""An image's history as the manifest tells it: rows become one record each.

Read in pages by key, each in its own short statement: an old snapshot would slow the reviewers
of PostgreSQL down.
"""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PureWindowsPath
from typing import Any

from django.utils.crypto import salted_hmac

from synthreview.catalog.image_folders import IMPORTED
from synthreview.export.models import Export, ExportItem
from synthreview.generation.models import CallInput, GeneratedImage
from synthreview.lib.money import MICRO_PER_USD
from synthreview.review.models import Decision, Verdict
from synthreview.scoring.models import MAIN_SCORER, Score, ScorerVersion

PAGE = 1_000
DRAWN = "trainedAlgorithmicMedia"
EDITED = "compositeWithTrainedAlgorithmicMedia"
EDITS = frozenset({"inpaint", "typographic"})
# The folders of a path from the root on, within a name of several words.
FOLDERS = re.compile(r"(?<!\S)(?:~|[A-Za-z]:)?[\\/](?:\S*[\\/])?")
APPROVED, UNREVIEWED = "approved", "unreviewed"


def list_rows(export: Export) -> Iterator[dict[str, Any]]:
    """Yield the lines of the frozen list, in its order."""
    last = -1
    while True:
        page = list(
            export.items.filter(position__gt=last)
            .select_related("image__prompt", "image__call")
            .order_by("position")[:PAGE]
        )
        if not page:
            return
        scores = _scores_of(page)
        looks = _looks_of(page)
        parents = _parents_of(page)
        for item in page:
            yield _row(export, item, scores[item.image_id], looks, parents)
        last = page[-1].position


def _row(
    export: Export,
    item: ExportItem,
    scores: dict[str, Score],
    looks: dict[int, Decision],
    parents: dict[int, list[CallInput]],
) -> dict[str, Any]:
    image = item.image
    return {
        "split": item.split,
        "class": item.class_name,
        "folder": item.class_folder,
        "stem": f"{image.pk:08d}",
        "sha256": image.sha256,
        "bytes": image.byte_count,
        "media_type": image.media_type,
        "width": image.width,
        "height": image.height,
        "source_type": source_type(image),
        "record": {
            "id": image.pk,
            **_making(image, item.family, parents.get(image.call_id or 0, [])),
            **_scoring(scores),
            **_judgement(export.dataset_id, [looks[pk] for pk in item.looks]),
        },
    }


def source_type(image: GeneratedImage) -> str:
    """Return the IPTC term for how it came about; empty for what was brought in, which may be
    a photograph."""
    if image.generator == IMPORTED:
        return ""
    return EDITED if image.technique in EDITS else DRAWN


def _making(image: GeneratedImage, family: str, parents: list[CallInput]) -> dict[str, Any]:
    call = image.call
    return {
        "prompt": image.caption,
        "revised_prompt": image.revised_prompt,
        "technique": image.technique,
        "slots": image.prompt.slots if image.prompt else {},
        "prompt_author": image.prompt.author if image.prompt else "",
        "generator": image.generator,
        "model": without_folders(image.model),
        "model_version": without_folders(image.model_version),
        "seed": image.seed,
        "cost_usd": round(call.billed_micro_usd / call.count / MICRO_PER_USD, 6) if call else 0.0,
        "parents": [_parent(row) for row in parents],
        "family": family or str(image.family),
        # Its folders may name people or places of whoever brought it in.
        "source_name": PureWindowsPath(image.source_name).name,
        "digital_source_type": source_type(image),
    }


def without_folders(name: str) -> str:
    """Return a model's name without the folders of the machine that it was loaded from."""
    path = PureWindowsPath(name)  # knows both kinds of slash
    if path.root or path.drive or name.startswith("~"):
        return path.name
    return FOLDERS.sub("", name)


def _parent(row: CallInput) -> dict[str, Any]:
    """Return what went in: one of our images, by its number, or one of the user's own."""
    if row.image_id is not None:
        return {"role": row.role, "id": row.image_id}
    return {"role": row.role, "reference": row.reference_id}


def _parents_of(items: list[ExportItem]) -> dict[int, list[CallInput]]:
    """Return what went into each call."""
    parents: dict[int, list[CallInput]] = defaultdict(list)
    calls = {item.image.call_id for item in items if item.image.call_id}
    for row in CallInput.objects.filter(call__in=calls).order_by("position"):
        parents[row.call_id].append(row)
    return parents


def _scores_of(items: list[ExportItem]) -> dict[int, dict[str, Score]]:
    """Return each image's latest score that applies, by scorer."""
    scores: dict[int, dict[str, Score]] = defaultdict(dict)
    found = Score.objects.filter(image__in=[item.image_id for item in items], applies=True)
    for score in found.select_related("version").order_by("pk"):
        scores[score.image_id][score.version.alias] = score
    return scores


def _scoring(scores: dict[str, Score]) -> dict[str, Any]:
    main = scores.get(MAIN_SCORER)
    return {
        "score": None if main is None else _rounded(main.value),
        "scores": [
            {
                "scorer": _scorer(score.version),
                "weights_sha256": score.version.weights_sha256,
                "value": _rounded(score.value),
                "similarity": _rounded(score.similarity),
                "class_probability": _rounded(score.class_probability),
            }
            for _, score in sorted(scores.items())
        ],
    }


def _scorer(version: ScorerVersion) -> str:
    known = copy.copy(version)
    known.name, known.model = without_folders(known.name), without_folders(known.model)
    return str(known)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _looks_of(items: list[ExportItem]) -> dict[int, Decision]:
    """Return the decisions that counted, by key."""
    return Decision.objects.in_bulk([pk for item in items for pk in item.looks])


def _judgement(dataset_id: int, looks: list[Decision]) -> dict[str, Any]:
    approvals = [look for look in looks if look.verdict == Verdict.APPROVE]
    last = max(looks, key=lambda look: look.pk, default=None)
    return {
        "decision": APPROVED if approvals else UNREVIEWED,
        "approvals": len(approvals),
        "rejections": len(looks) - len(approvals),
        "reviewers": sorted({pseudonym(dataset_id, look.reviewer_id) for look in looks}),
        "decided_at": last and last.created_at.isoformat(timespec="seconds"),
        "guideline_version": last and last.guideline_version,
    }


def pseudonym(dataset_id: int, reviewer_id: int) -> str:
    """Return one name per person and dataset, from which nobody outside can tell the person."""
    digest = salted_hmac("export-reviewer", f"{dataset_id}:{reviewer_id}", algorithm="sha256")
    return f"reviewer-{digest.hexdigest()[:8]}"
