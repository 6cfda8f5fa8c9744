"""Writing down which images take part: called by the job, once for each evaluation."""

from __future__ import annotations

import numpy as np

from synthreview.catalog.models import Dataset, ReferenceImage, ReferenceUse
from synthreview.evaluation.frozen import Frozen, Part, is_for_validation
from synthreview.export.ancestry import ancestry_of
from synthreview.export.collecting import collect
from synthreview.generation.models import GeneratedImage
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.scoring.lookalikes import Beat, fingerprints
from synthreview.scoring.near_duplicates import near_pairs

LEAST_TEST = 10


class CannotEvaluateError(ValueError):
    """There is nothing to measure; the message says what is missing, in plain words."""


def freeze(dataset: Dataset, beat: Beat) -> Frozen:
    """Return what takes part now; `beat` is called now and then. Raises CannotEvaluateError.

    Of ours, what is of one family with a test image takes no part (as in an export), and of the
    real training images what is all but a copy of one.
    """
    classes = list(dataset.classes.order_by("position", "pk").values_list("pk", "name"))
    number = {pk: at for at, (pk, _) in enumerate(classes)}
    test = _references(dataset, ReferenceUse.TEST, number)
    if len(test) < LEAST_TEST or len(set(test.labels)) < 2:
        raise CannotEvaluateError(
            f"There are {len(test)} real test images of {len(set(test.labels))} classes; it takes "
            f"{LEAST_TEST} or more, of two classes at least."
        )
    if sum(map(is_for_validation, test.sha256)) > len(test) - LEAST_TEST // 2:
        raise CannotEvaluateError(
            f"Of {len(test)} real test images too few are left to measure with, after those set "
            "aside for validation: bring in more."
        )
    real = _references(dataset, ReferenceUse.TRAIN, number)
    real_near = _near_test(test, real, beat)
    ancestry = ancestry_of(dataset, beat)
    near = {pk for pk, name in ancestry.family_of.items() if name in ancestry.test_images}
    techniques = list(TECHNIQUES)
    drawn = _drawn(dataset, number, techniques)
    approved = {row.image for row in collect(dataset)[0]}
    beat()
    frozen = Frozen(
        classes=classes,
        techniques=techniques,
        test=test,
        real=real.of(at for at in range(len(real)) if at not in real_near),
        approved=drawn.of(
            at for at, pk in enumerate(drawn.ids) if pk in approved and pk not in near
        ),
        drawn=drawn.of(at for at, pk in enumerate(drawn.ids) if pk not in near),
        near_test=sorted(near),
        real_near_test=[real.ids[at] for at in sorted(real_near)],
    )
    if not len(frozen.real) and not len(frozen.drawn):
        raise CannotEvaluateError("There is nothing to train on: no real and no drawn image.")
    return frozen


def _references(dataset: Dataset, use: str, number: dict[int, int]) -> Part:
    rows = list(
        ReferenceImage.objects.filter(dataset=dataset, use=use)
        .order_by("pk")
        .values_list("pk", "sha256", "label_class")
    )
    return Part(
        [pk for pk, _, _ in rows],
        [sha256 for _, sha256, _ in rows],
        [number[label] for _, _, label in rows],
    )


def _drawn(dataset: Dataset, number: dict[int, int], techniques: list[str]) -> Part:
    rows = list(
        GeneratedImage.objects.filter(dataset=dataset)
        .order_by("pk")
        .values_list("pk", "sha256", "label_class", "technique")
    )
    return Part(
        [pk for pk, *_ in rows],
        [sha256 for _, sha256, _, _ in rows],
        [number[label] for _, _, label, _ in rows],
        [techniques.index(technique) for *_, technique in rows],
    )


def _near_test(test: Part, real: Part, beat: Beat) -> set[int]:
    """Return the places of real training images that are all but copies of a test image."""
    names = [*test.sha256, *real.sha256]
    bits = fingerprints(set(names), beat)
    told = [at for at, sha256 in enumerate(names) if bits.get(sha256) is not None]
    hashes = np.array([bits[names[at]] for at in told], dtype=np.int64).view(np.uint64)
    near = set()
    for first, second in near_pairs(hashes, {}):
        early, late = told[first], told[second]  # the test images come first
        if early < len(test) <= late:
            near.add(late - len(test))
    return near
