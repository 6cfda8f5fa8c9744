"""Which image takes part in an evaluation as what, written down once. No Django here.

A `Frozen` is plain numbers, so that it fits into one JSON field and says the same in ten years.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

VALIDATION_SHARE = 0.3  # of the test set: it says where more is needed, and nothing else
LEFT_OUT = 0.1  # of the training images, by lot, anew with each seed


@dataclass(frozen=True, slots=True)
class Part:
    """N images: their keys, checksums, the number of their class, and of their technique."""

    ids: Sequence[int] = ()
    sha256: Sequence[str] = ()
    labels: Sequence[int] = ()
    techniques: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, places: Iterable[int]) -> Part:
        """Return some of the images, by their places."""
        chosen = list(places)
        return Part(
            [self.ids[at] for at in chosen],
            [self.sha256[at] for at in chosen],
            [self.labels[at] for at in chosen],
            [self.techniques[at] for at in chosen] if self.techniques else (),
        )


@dataclass(frozen=True, slots=True)
class Frozen:
    """What takes part.

    `classes` are (key, name); labels count along them. `test` and `real` are the user's own,
    `approved` what an export of that moment would hold, and `drawn` everything that was drawn,
    looked at or not. `near_test` are ours that were left out of both because they are of one
    family with a test image, `real_near_test` real training images for the same reason.
    """

    classes: Sequence[tuple[int, str]]
    techniques: Sequence[str]
    test: Part
    real: Part = field(default_factory=Part)
    approved: Part = field(default_factory=Part)
    drawn: Part = field(default_factory=Part)
    near_test: Sequence[int] = ()
    real_near_test: Sequence[int] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Frozen:
        return cls(
            classes=[(int(pk), str(name)) for pk, name in known["classes"]],
            techniques=known["techniques"],
            test=Part(**known["test"]),
            real=Part(**known["real"]),
            approved=Part(**known["approved"]),
            drawn=Part(**known["drawn"]),
            near_test=known["near_test"],
            real_near_test=known["real_near_test"],
        )

    def counts(self) -> dict[str, Any]:
        """Return how many take part as what, for pages."""
        used = Counter(self.techniques[number] for number in self.approved.techniques)
        return {
            "test": len(self.test) - sum(self.is_validation),
            "validation": sum(self.is_validation),
            "real": len(self.real),
            "approved": len(self.approved),
            "drawn": len(self.drawn),
            "near_test": len(self.near_test),
            "real_near_test": len(self.real_near_test),
            "techniques": {name: used[name] for name in self.techniques if used[name]},
            "classes": [
                {
                    "name": name,
                    **{
                        kind: list(part.labels).count(number)
                        for kind, part in (
                            ("test", self.test),
                            ("real", self.real),
                            ("approved", self.approved),
                            ("drawn", self.drawn),
                        )
                    },
                }
                for number, (_, name) in enumerate(self.classes)
            ],
        }

    @property
    def is_validation(self) -> list[bool]:
        """Say of each test image whether it belongs to the share that steers."""
        return [is_for_validation(sha256) for sha256 in self.test.sha256]


def is_for_validation(sha256: str) -> bool:
    """Say whether a test image steers what is drawn next, instead of measuring: for ever the same.

    By its checksum, so that it stays so however the test set grows.
    """
    return chance_of("validation", sha256) < VALIDATION_SHARE


def chance_of(*names: object) -> float:
    """Return a number from 0 to below 1 that only the names decide."""
    text = "/".join(map(str, names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def kept_by_lot(part: Part, seed: int) -> list[int]:
    """Return the places of the nine in ten images that a seed trains on, class by class.

    Of a class of three or more at least one is left out. The lot is drawn for the picture, so that
    every arm with this image leaves it out together with the others: arms differ in nothing else.
    """
    by_class: dict[int, list[int]] = {}
    for place, label in enumerate(part.labels):
        by_class.setdefault(label, []).append(place)
    kept: list[int] = []
    for places in by_class.values():
        out = max(round(len(places) * LEFT_OUT), 1) if len(places) >= 3 else 0
        ordered = sorted(places, key=lambda at: chance_of(seed, part.sha256[at]))
        kept += ordered[out:]
    return sorted(kept)
