"""Derivations over a whole dataset: which images go into which calls.

What may be a source is known by later stages (approved in review, near in CLIP space), so
the orders are put together here and given to `generation.services`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from django.db import models
from numpy.typing import NDArray

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass, ReferenceImage, ReferenceUse
from synthreview.catalog.storage import blobs
from synthreview.generation import masks, pairing
from synthreview.generation.masks import Box
from synthreview.generation.models import GeneratedImage
from synthreview.generation.services import Order, RunError, segmenter
from synthreview.lib.text import text_key, with_article
from synthreview.prompting import wishes
from synthreview.prompting.axes import add_shipped_axis
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.planning import SHIPPED_SLOTS
from synthreview.prompting.services import write_prompts
from synthreview.prompting.techniques import TECHNIQUES, own_slots
from synthreview.review.models import ImageState
from synthreview.scoring.models import Embedding, ScorerVersion

Source = GeneratedImage | ReferenceImage
# Instructions that a class gets where the curator wrote none.
INSTRUCTIONS = 8
MAX_SOURCES = 100_000
KEEP_MIDDLE = Box(0.2, 0.15, 0.8, 0.9)


class Origin(models.TextChoices):
    APPROVED = "approved", "Approved images of this dataset"
    REFERENCE = "reference", "My own reference images"
    CHOSEN = "chosen", "Images that I name"


class MaskRule(models.TextChoices):
    BACKGROUND = "background", "Everything around the middle: the subject stays"
    RECTANGLE = "rectangle", "A rectangle"
    SUBJECT = "subject", "Everything around the subject, which a model finds"


@dataclass(frozen=True, slots=True)
class Wish:
    """What to derive: `each` images of every source, or of a fusion `pairs` in all.

    `partner` is the class that a fusion is made with, and `label` what it shall be called;
    without a partner a class is fused with its own kind and keeps its label.
    """

    technique: str
    origin: str = Origin.APPROVED
    classes: Sequence[LabelClass] | None = None
    image_ids: tuple[int, ...] = ()
    each: int = 1
    pairs: int = 50
    partner: LabelClass | None = None
    label: LabelClass | None = None
    mask_rule: str = MaskRule.BACKGROUND
    box: Box = KEEP_MIDDLE
    seed: int = 0


def sources(dataset: Dataset, wish: Wish) -> list[Source]:
    """Return the images to start from, the classes taking turns. Raises RunError for none."""
    rows: models.QuerySet[GeneratedImage] | models.QuerySet[ReferenceImage]
    if wish.origin == Origin.REFERENCE:
        rows = ReferenceImage.objects.filter(dataset=dataset, use=ReferenceUse.SOURCE)
    else:
        rows = GeneratedImage.objects.filter(dataset=dataset)
        if wish.origin == Origin.APPROVED:
            rows = rows.filter(review__state=ImageState.APPROVED)
        else:
            rows = rows.filter(pk__in=wish.image_ids)
    if wish.classes is not None:
        wanted = [*wish.classes, *([wish.partner] if wish.partner else [])]
        rows = rows.filter(label_class__in=wanted)
    found: list[Source] = list(rows.select_related("label_class").order_by("pk")[: MAX_SOURCES + 1])
    if not found:
        raise RunError(NOTHING[Origin(wish.origin)])
    if len(found) > MAX_SOURCES:
        raise RunError(f"More than {MAX_SOURCES:,} images: choose fewer classes.")
    if wish.origin == Origin.CHOSEN and (
        missing := sorted(set(wish.image_ids) - {image.pk for image in found})
    ):
        raise RunError(f"{dataset.name} has no image {', '.join(map(str, missing[:5]))}.")
    return in_turn(found)


def in_turn(found: Sequence[Source]) -> list[Source]:
    """Return the images with their classes taking turns, so that the first few serve all."""
    by_class: dict[int, list[Source]] = {}
    for image in found:
        by_class.setdefault(image.label_class_id, []).append(image)
    turns = itertools.zip_longest(*by_class.values())
    return [image for turn in turns for image in turn if image is not None]


NOTHING = {
    Origin.APPROVED: "No image of these classes is approved yet: review some first.",
    Origin.REFERENCE: "There are no reference images of these classes yet: bring some in first.",
    Origin.CHOSEN: "Name one image or more, by its number.",
}


def derivations(
    dataset: Dataset, wish: Wish, *, created_by: User | None = None, write: bool = True
) -> list[Order]:
    """Return what is to be drawn, one image each: `wish.each` of every source, or the pairs.

    `write` gives classes without instructions some of their own; without it they get
    stand-ins that are not stored, so that a plan can be shown. Raises RunError.
    """
    found = sources(dataset, wish)
    classes = list({image.label_class_id: image.label_class for image in found}.values())
    prompts = instructions(dataset, wish, classes, created_by=created_by, write=write)
    if wish.technique == "fusion":
        return _fusions(wish, found, prompts)
    if wish.mask_rule == MaskRule.SUBJECT and segmenter() is None:
        raise RunError("No segmenter is configured: see SYNTHREVIEW_SEGMENTER.")
    mask_of = _Masks(wish)
    made = []
    # All sources once, then all again: a run that is cut short leaves none out.
    for turn in range(wish.each):
        for number, source in enumerate(found):
            own = prompts[source.label_class_id]
            prompt = own[(number + turn) % len(own)]
            if wish.technique != "inpaint":
                made.append(Order(prompt, (source,)))
            elif wish.mask_rule == MaskRule.SUBJECT:
                made.append(Order(prompt, (source,), subject=source.label_class.name))
            else:
                made.append(Order(prompt, (source,), mask_of(source)))
    return made


def _fusions(
    wish: Wish,
    found: Sequence[Source],
    prompts: Mapping[int, Sequence[Prompt]],
) -> list[Order]:
    by_key = {image.pk: image for image in found}
    by_class: dict[int, list[int]] = {}
    for image in found:
        by_class.setdefault(image.label_class_id, []).append(image.pk)
    vectors = vectors_of(found)
    if wish.partner is None:
        pairs = pairing.far_pairs(
            list(by_class.values()), wish.pairs, vectors=vectors, seed=wish.seed
        )
        if not pairs:
            raise RunError("A fusion needs two images of one class, and no class has two.")
    else:
        others = [pk for c, pks in by_class.items() if c != wish.partner.pk for pk in pks]
        partners = by_class.get(wish.partner.pk, [])
        pairs = pairing.far_partners(others, partners, wish.pairs, vectors=vectors, seed=wish.seed)
        if not pairs:
            raise RunError(f"There is no image of {wish.partner.name}, or of another class.")
    made = []
    for number, (first, second) in enumerate(pairs):
        inputs = (by_key[first], by_key[second])
        own = prompts[inputs[0].label_class_id]
        made.append(Order(own[number % len(own)], inputs))
    return made


def vectors_of(images: Iterable[Source]) -> dict[int, NDArray[np.float32]]:
    """Return the embeddings of our images by the current scorer; references have none."""
    version = ScorerVersion.objects.current()
    keys = [image.pk for image in images if isinstance(image, GeneratedImage)]
    if version is None or not keys:
        return {}
    rows = Embedding.objects.filter(version=version, image__in=keys).values_list(
        "image_id", "vector"
    )
    return {pk: np.frombuffer(vector, "<f2").astype(np.float32) for pk, vector in rows}


@dataclass(slots=True)
class _Masks:
    """Makes each mask once: images of one size share it."""

    wish: Wish
    made: dict[tuple[int, int], str] = field(default_factory=dict)

    def __call__(self, source: Source) -> str:
        size = (source.width, source.height)
        if size not in self.made:
            is_around = self.wish.mask_rule == MaskRule.BACKGROUND
            make = masks.keep_middle if is_around else masks.repaint_box
            self.made[size] = blobs().put(make(size, self.wish.box))
        return self.made[size]


# --- Instructions ---------------------------------------------------------------------


def instructions(
    dataset: Dataset,
    wish: Wish,
    classes: Sequence[LabelClass],
    *,
    created_by: User | None = None,
    write: bool = False,
) -> dict[int, list[Prompt]]:
    """Return the approved instructions of the technique by class of the source.

    A class without any gets some from the word lists where `write` says so; else a stand-in
    that is not stored, so that a plan can be shown.
    """
    if wish.partner is not None:
        return {row.pk: [_blend(row, wish, write=write)] for row in classes}
    rows = Prompt.objects.approved().filter(
        dataset=dataset, technique=wish.technique, label_class__in=classes
    )
    found: dict[int, list[Prompt]] = {}
    for prompt in rows.select_related("label_class").order_by("pk"):
        found.setdefault(prompt.label_class_id, []).append(prompt)
    missing = [label_class for label_class in classes if label_class.pk not in found]
    if missing and write:
        # The curator sees and edits the words afterwards, as those of any other axis.
        there = set(dataset.axes.values_list("name", flat=True))
        for slot in sorted(own_slots(wish.technique).intersection(SHIPPED_SLOTS) - there):
            add_shipped_axis(dataset, slot, starter=True)
    for label_class in missing:
        if write:
            wanted = wishes.Wish(
                dataset=dataset,
                classes=[label_class],
                technique=wish.technique,
                count=INSTRUCTIONS,
            )
            made = write_prompts(wanted, state=PromptState.APPROVED, created_by=created_by).prompts
            for prompt in made:
                prompt.label_class = label_class
            found[label_class.pk] = made
        else:
            found[label_class.pk] = [
                Prompt(
                    dataset=dataset,
                    label_class=label_class,
                    technique=wish.technique,
                    text=TECHNIQUES[wish.technique].template,
                )
            ]
    return found


def _blend(first: LabelClass, wish: Wish, *, write: bool) -> Prompt:
    """Return the instruction to blend two classes; its label was chosen beforehand."""
    assert wish.partner is not None
    if wish.label is None:
        raise RunError("Two classes are fused: choose first what the images shall be labelled.")
    second = with_article(wish.partner.name)
    text = f"A blend of {with_article(first.name)} and {second}"
    prompt = Prompt(
        dataset=first.dataset,
        label_class=wish.label,
        technique="fusion",
        text=text,
        slots={"partner": second},
        state=PromptState.APPROVED,
    )
    if not write:
        return prompt
    stored, _ = Prompt.objects.get_or_create(
        label_class=wish.label,
        technique="fusion",
        text_key=text_key(text),
        defaults={
            "dataset": first.dataset,
            "text": text,
            "slots": prompt.slots,
            "state": PromptState.APPROVED,
        },
    )
    return stored
