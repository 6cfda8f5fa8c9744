"""Which image of an export goes into which split: by its family, and as it was before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthreview.export.ancestry import Ancestry, ancestry_of
from synthreview.export.collecting import Exportable
from synthreview.export.models import Export, ExportItem
from synthreview.export.splits import SPLITS, FamilySize, Wish, share_out
from synthreview.scoring.lookalikes import Beat
from synthreview.work.models import WorkState

LISTED = 20


@dataclass(frozen=True, slots=True)
class Shared:
    """The exported images' splits and families, and what is left out for a test image's sake."""

    rows: list[Exportable]
    split_of: dict[int, str]
    family_of: dict[int, str]
    omitted: dict[int, int]
    facts: dict[str, Any]


def share(export: Export, rows: list[Exportable], beat: Beat) -> Shared:
    """Give each image a split. Raises ValueError where the wish cannot be."""
    wish = Wish.from_json(export.wish)
    ancestry = ancestry_of(export.dataset, beat)
    family_of = ancestry.family_of
    omitted = {
        row.image: ancestry.test_images[family_of[row.image]]
        for row in rows
        if family_of[row.image] in ancestry.test_images
    }
    kept = [row for row in rows if row.image not in omitted]
    before = _splits_before(export, wish)
    pinned, merges = _pins(ancestry, wish, before)
    classes = sorted({row.class_folder for row in kept})
    sizes: dict[str, Counter[int]] = defaultdict(Counter)
    for row in kept:
        sizes[family_of[row.image]][classes.index(row.class_folder)] += 1
    names = sorted(sizes)
    families = [
        FamilySize(name, tuple(sorted(sizes[name].items())), pinned.get(name, "")) for name in names
    ]
    splits, aimed = share_out(families, wish, len(classes))
    split_of = dict(zip(names, splits, strict=True))
    merged = [merge for name, merge in sorted(merges.items()) if name in sizes]
    return Shared(
        rows=kept,
        split_of={row.image: split_of[family_of[row.image]] for row in kept},
        family_of={row.image: family_of[row.image] for row in kept},
        omitted=omitted,
        facts=_facts(families, splits, wish, aimed, classes)
        | {
            "omitted": len(omitted),
            "merged": merged[:LISTED],
            "merged_count": len(merged),
        },
    )


def _splits_before(export: Export, wish: Wish) -> dict[int, str]:
    """Return what the dataset's earlier exports with several splits said, the latest first."""
    if not wish.keeps or len(wish.splits) < 2:
        return {}
    earlier = Export.objects.filter(
        dataset=export.dataset_id, number__lt=export.number, state=WorkState.DONE
    )
    parted = [
        pk
        for pk, known in earlier.values_list("pk", "wish")
        if len(Wish.from_json(known).splits) > 1
    ]
    items = ExportItem.objects.filter(export__in=parted).order_by("export__number")
    return dict(items.values_list("image", "split").iterator())


def _pins(
    ancestry: Ancestry, wish: Wish, before: Mapping[int, str]
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Return the splits that families must have, and the families that were of several.

    Of several the first in the order of SPLITS holds: what was trained on must test nothing.
    """
    seen: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for image, split in before.items():
        if split in wish.splits and image in ancestry.family_of:
            seen[ancestry.family_of[image]][split].append(image)
    merges: dict[str, dict[str, Any]] = {}
    pins = dict.fromkeys(ancestry.in_real_train, "train") if "train" in wish.splits else {}
    for family, by_split in seen.items():
        now = min([*by_split, *([pins[family]] if family in pins else [])], key=SPLITS.index)
        pins[family] = now
        if moved := sorted(
            image for split, images in by_split.items() if split != now for image in images
        ):
            merges[family] = {"split": now, "moved": moved[:LISTED], "moved_count": len(moved)}
    return pins, merges


def _facts(
    families: list[FamilySize], splits: list[str], wish: Wish, aimed: Any, classes: list[str]
) -> dict[str, Any]:
    """Return what people are told: wished and got, the largest family, and why not nearer."""
    got = Counter[str]()
    by_class: dict[int, Counter[str]] = defaultdict(Counter)
    families_of: Counter[int] = Counter()
    for family, split in zip(families, splits, strict=True):
        got[split] += family.size
        for label, count in family.counts:
            by_class[label][split] += count
            families_of[label] += 1
    largest = max(families, key=lambda family: (family.size, family.key), default=None)
    wished = dict(zip(wish.splits, np.asarray(aimed).sum(axis=0).round(1).tolist(), strict=True))
    total = sum(got.values())
    facts: dict[str, Any] = {
        "wish": str(wish),
        "wished": wished,
        "got": {split: got[split] for split in wish.splits},
        "families": len(families),
        "largest_family": largest.size if largest else 0,
        "kept": sum(family.size for family in families if family.pinned),
    }
    notes = []
    if any(abs(got[split] - wished[split]) > max(1.0, 0.01 * total) for split in wish.splits):
        told = ", ".join(f"{split} {got[split]:,} of {wished[split]:,.0f}" for split in wish.splits)
        why = []
        if facts["largest_family"] > 1:
            size = facts["largest_family"]
            why.append(f"no family is parted, and the largest has {size:,} images")
        if facts["kept"]:
            why.append(f"{facts['kept']:,} images keep the split of an earlier export")
        notes.append(f"The wish is not met ({told}): {'; '.join(why) or 'classes are small'}.")
    return facts | {"notes": notes + _missing(classes, wish, by_class, families_of)}


def _missing(
    classes: list[str],
    wish: Wish,
    by_class: Mapping[int, Counter[str]],
    families_of: Mapping[int, int],
) -> list[str]:
    """Return why classes have no image in some splits; those that are merely small together."""
    notes: list[str] = []
    small: list[str] = []
    for label, name in enumerate(classes):
        missing = [split for split in wish.splits if not by_class[label][split]]
        images = sum(by_class[label].values())
        if not missing:
            continue
        if families_of[label] == images:  # no family is to blame
            small.append(f"{name} ({images:,})")
        else:
            notes.append(
                f"{name}: no image in {' and '.join(missing)}, because its {images:,} images are "
                f"{families_of[label]:,} famil{'y' if families_of[label] == 1 else 'ies'}."
            )
    if small:
        more = f" and {len(small) - LISTED:,} more" if len(small) > LISTED else ""
        notes.append(
            f"Too few images to be in every split: {', '.join(small[:LISTED])}{more}. "
            "Approve more of these, or wish fewer splits."
        )
    return notes
