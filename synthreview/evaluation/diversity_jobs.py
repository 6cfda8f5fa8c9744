"""The worker side of diversity: class by class, from embeddings that scoring left.

Edits keep the composition of their source by design, so inpaintings and pasted words take no part;
nor does what people rejected. Of the real test images only those set aside for validation do.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from typing import Any

import numpy as np

from synthreview.catalog.models import LabelClass, ReferenceImage, ReferenceUse
from synthreview.evaluation.embedding import LOOKED_UP, embed
from synthreview.evaluation.frozen import is_for_validation
from synthreview.evaluation.models import Diversity, PictureEmbedding
from synthreview.evaluation.pictures import View
from synthreview.evaluation.spread import (
    NEIGHBOURS,
    FloatArray,
    Places,
    compositions,
    growth,
    reach_of,
    repeats_among_newest,
    vendi_of_subsets,
    vendi_score,
)
from synthreview.lib.images import BadImageError
from synthreview.prompting.learning import Tally, rate_of
from synthreview.review.models import ImageState
from synthreview.scoring.models import MAIN_SCORER, Embedding, ScorerVersion
from synthreview.scoring.scorers.base import ScorerError
from synthreview.scoring.services import register, scorer
from synthreview.work.models import WorkState

logger = logging.getLogger(__name__)
LEASE_S = 300
EDITS = ("typographic", "inpaint")
MOST = 5_000  # the newest of a class
MOST_REAL = 2_000
MOST_COMPARED = 200
WINDOW = 50  # the newest images that the guard looks at
LEAST_FOR_GUARD = 20
STOP_FROM = 0.5  # the share of repeats among them that is surely passed
SHEETS, SHOWN = 6, 12
LEAST_REPEATED = 3


class LeaseLostError(Exception):
    """Somebody else has this look now: stop."""


def measure(look_pk: int) -> None:
    """Measure the diversity of every class of a dataset."""
    token = Diversity.objects.claim(look_pk, lease_s=LEASE_S)
    if token is None:
        return
    look = Diversity.objects.select_related("dataset").get(pk=look_pk)
    try:
        version = register(MAIN_SCORER)
        if not Diversity.objects.held(look_pk, token).update(version=version):
            return
        classes = list(_Measuring(look, version, token).classes())
        proposals = [
            {"class_id": one["class_id"], "words": proposal_of(one)}
            for one in classes
            if one["proposes_stop"]
        ]
        Diversity.objects.settle(
            look_pk, token, WorkState.DONE, result={"classes": classes}, proposals=proposals
        )
    except LeaseLostError:
        return
    except (ScorerError, OSError, BadImageError) as error:
        logger.exception("Diversity %s broke off", look_pk)
        Diversity.objects.settle(look_pk, token, WorkState.FAILED, error=str(error))
    except Exception as error:  # a library can fail in many ways
        logger.exception("Diversity %s broke off", look_pk)
        said = f"{type(error).__name__}: {error}"
        Diversity.objects.settle(look_pk, token, WorkState.FAILED, error=said)


class _Measuring:
    """One worker's hold on one look. Every method raises LeaseLostError once it is another's."""

    def __init__(self, look: Diversity, version: ScorerVersion, token: uuid.UUID) -> None:
        self.look, self.version, self.token = look, version, token

    def stay(self) -> None:
        if not Diversity.objects.renew(self.look.pk, self.token, lease_s=LEASE_S):
            raise LeaseLostError

    def classes(self) -> Any:
        """Yield what was found of each class that has an image to look at."""
        for label_class in self.look.dataset.classes.order_by("position", "pk"):
            self.stay()
            images, ours = self.ours(label_class)
            if images:
                yield self.of_class(label_class, images, ours, self.real(label_class))

    def ours(self, label_class: LabelClass) -> tuple[list[tuple[int, int | None, str]], FloatArray]:
        """Return (image, prompt, caption) of the class, oldest first, with their vectors."""
        rows = (
            Embedding.objects.filter(version=self.version, image__label_class=label_class)
            .exclude(image__technique__in=EDITS)
            .exclude(image__review__state__in=(ImageState.REJECTED, ImageState.REMOVED))
            .order_by("-image")
            .values_list("image", "image__prompt", "image__caption", "vector")[:MOST]
        )
        found = list(rows)[::-1]
        return [row[:3] for row in found], _stacked([bytes(row[3]) for row in found])

    def real(self, label_class: LabelClass) -> FloatArray:
        """Return the vectors of the user's real images of the class; made where there are none."""
        rows = ReferenceImage.objects.filter(label_class=label_class).order_by("pk")
        wanted = [
            sha256
            for sha256, use in rows.values_list("sha256", "use")
            if use != ReferenceUse.TEST or is_for_validation(sha256)
        ][:MOST_REAL]
        view = View()
        kept: dict[str, bytes] = {}
        for start in range(0, len(wanted), LOOKED_UP):
            some = PictureEmbedding.objects.filter(
                version=self.version, view=view.key, sha256__in=wanted[start : start + LOOKED_UP]
            )
            kept |= {
                sha256: bytes(vector) for sha256, vector in some.values_list("sha256", "vector")
            }
        missing = [(sha256, view) for sha256 in wanted if sha256 not in kept]
        made = embed(missing, scorer(MAIN_SCORER), self.version, lambda _: self.stay())
        vectors = [
            np.frombuffer(kept[sha256], "<f2").astype(np.float32)
            if sha256 in kept
            else made[sha256, view.key]
            for sha256 in wanted
        ]
        return _units(np.stack(vectors)) if vectors else np.zeros((0, 0), np.float32)

    def of_class(
        self,
        label_class: LabelClass,
        images: list[tuple[int, int | None, str]],
        ours: FloatArray,
        real: FloatArray,
    ) -> dict[str, Any]:
        firsts = compositions(ours, self.look.threshold)
        repeats, newest = repeats_among_newest(firsts, WINDOW)
        rate = rate_of(Tally(repeats, newest - repeats))
        return {
            "class": label_class.name,
            "class_id": label_class.pk,
            "images": len(images),
            "is_cut": len(images) == MOST,
            "vendi": round(vendi_score(ours), 3),
            "real": _beside(ours, real, self.look.threshold) if len(real) > 1 else None,
            "compositions": int((firsts == np.arange(len(firsts))).sum()),
            "growth": growth(firsts),
            "newest": {
                "images": newest,
                "repeats": repeats,
                "rate": [round(end, 4) for end in (rate.mean, rate.low, rate.high)],
            },
            "proposes_stop": newest >= LEAST_FOR_GUARD and rate.low >= STOP_FROM,
            "repeated_captions": _repeated_captions(images, firsts),
            "sheets": _sheets(images, firsts),
        }


def proposal_of(one: dict[str, Any]) -> str:
    """Return what the guard proposes for a class, and why, in plain words."""
    newest, captions = one["newest"], one["repeated_captions"]
    words = (
        f"{one['class']}: {newest['repeats']} of the newest {newest['images']} images repeat a "
        "composition that was there already. More of the same adds little: vary the captions, or "
        "stop."
    )
    if captions and captions[0]["repeats"] > 1:
        words += f" Most often: “{captions[0]['text']}” ({captions[0]['repeats']})."
    return words


def _beside(ours: FloatArray, real: FloatArray, threshold: float) -> dict[str, Any]:
    """Return what can be compared with the real images, by sets of one size."""
    size = min(len(ours), len(real), MOST_COMPARED)
    own, low, high = vendi_of_subsets(ours, size)
    fewest = min(len(ours), len(real))
    # Of few images the fifth neighbour is far away, and everything would be covered.
    k = min(NEIGHBOURS, fewest // 10)
    reach = reach_of(real, ours, k=k) if k else None
    return {
        "images": len(real),
        "size": size,
        "vendi_ours": [round(end, 3) for end in (own, low, high)],
        "vendi_real": round(vendi_of_subsets(real, size)[0], 3),
        "neighbours": k,
        "recall": None if reach is None else round(reach.recall, 4),
        "coverage": None if reach is None else round(reach.coverage, 4),
        "compositions_real": len(set(compositions(real, threshold).tolist())),
    }


def _repeated_captions(
    images: list[tuple[int, int | None, str]], firsts: Places
) -> list[dict[str, Any]]:
    """Return the captions whose newest images repeat most often, the worst first."""
    places = np.arange(len(firsts))[-WINDOW:]
    counted = Counter(
        images[at][1:] for at in places.tolist() if firsts[at] != at and images[at][1] is not None
    )
    return [
        {"prompt": prompt, "text": text[:200], "repeats": repeats}
        for (prompt, text), repeats in counted.most_common(3)
    ]


def _sheets(images: list[tuple[int, int | None, str]], firsts: Places) -> list[dict[str, Any]]:
    """Return the largest compositions with their first images, the largest first."""
    sizes = Counter(firsts.tolist())
    return [
        {
            "size": size,
            "images": [images[at][0] for at in np.flatnonzero(firsts == first)[:SHOWN].tolist()],
            "captions": len({images[at][2] for at in np.flatnonzero(firsts == first).tolist()}),
        }
        for first, size in sizes.most_common(SHEETS)
        if size >= LEAST_REPEATED
    ]


def _stacked(vectors: list[bytes]) -> FloatArray:
    joined = np.frombuffer(b"".join(vectors), dtype="<f2").astype(np.float32)
    return _units(joined.reshape(len(vectors), -1)) if vectors else np.zeros((0, 0), np.float32)


def _units(vectors: FloatArray) -> FloatArray:
    """Return rows of length 1 again: half precision took a little."""
    units: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units
