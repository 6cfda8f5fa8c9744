"""Which pictures are all but copies of earlier ones, told as they arrive: one index for all.

The sweeper compares each new image that has its score with all earlier ones of its dataset, and
with the user's own; pages, exports and splits read the rows. Two who compare at once wait for each
other, dataset by dataset, so that of two new copies one sees the other. Loads no torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.db.models import Exists, F, Max, Min, OuterRef, Q, QuerySet

from synthreview.catalog.models import Dataset, ReferenceImage
from synthreview.catalog.storage import blobs
from synthreview.generation.models import GeneratedImage
from synthreview.lib.blobs import ORIGINAL
from synthreview.lib.forest import Forest
from synthreview.lib.images import THUMB
from synthreview.lib.s3 import StorageError
from synthreview.scoring.models import (
    MAIN_SCORER,
    Embedding,
    Fingerprint,
    Lookalike,
    LookalikeKind,
    Score,
    ScorerVersion,
)
from synthreview.scoring.near_duplicates import SURE_BITS, HashIndex, are_near, perceptual_hash

RECENT = 5_000
BATCH = 50  # pictures compared in one transaction: a tenth of a second at a million
AT_ONCE = 400  # pictures in one step of the sweeper
UNSURE_ASKED = 64  # of those that the hash leaves open, so many are asked for their embedding
PAGE = 500
THREADS = 4
SIGN = 2**63
KEPT = 4  # datasets whose hashes a process keeps in memory

Picture = GeneratedImage | ReferenceImage
Beat = Callable[[], object]
Vector = npt.NDArray[np.float32]


# --- Whose turn it is -----------------------------------------------------------------


def compare_new(*, recent_only: bool = False) -> int:
    """Compare scored images and references that nobody has compared yet; returns how many.

    Safe to repeat and to run twice at once. `recent_only` looks at the newest alone.
    """
    images = uncompared_images().filter(
        Exists(Score.objects.filter(image=OuterRef("pk"), version__alias=MAIN_SCORER))
    )
    references = uncompared_references()
    if recent_only:
        newest = GeneratedImage.objects.aggregate(newest=Max("pk"))["newest"] or 0
        images = images.filter(pk__gt=newest - RECENT)
        newest = ReferenceImage.objects.aggregate(newest=Max("pk"))["newest"] or 0
        references = references.filter(pk__gt=newest - RECENT)
    groups: dict[int, list[Picture]] = {}
    for rows in (references, images):
        for picture in rows.order_by("pk")[:AT_ONCE]:
            groups.setdefault(picture.dataset_id, []).append(picture)
    return sum(_compare(dataset, pictures) for dataset, pictures in sorted(groups.items()))


def compare_all(dataset: int, beat: Beat = lambda: None) -> int:
    """Compare whatever of the dataset was not compared yet, scored or not; returns how many.

    `beat` is called after each batch.
    """
    count = 0
    both: tuple[QuerySet[Any], ...] = (uncompared_references(), uncompared_images())
    for rows in both:
        last = 0
        while pictures := list(rows.filter(dataset=dataset, pk__gt=last).order_by("pk")[:PAGE]):
            count += _compare(dataset, pictures, beat)
            last = pictures[-1].pk
    return count


def uncompared_images() -> QuerySet[GeneratedImage]:
    there = Lookalike.objects.filter(image=OuterRef("pk"))
    return GeneratedImage.objects.filter(~Exists(there)).only("pk", "dataset", "sha256")


def uncompared_references() -> QuerySet[ReferenceImage]:
    there = Lookalike.objects.filter(reference=OuterRef("pk"))
    return ReferenceImage.objects.filter(~Exists(there)).only("pk", "dataset", "sha256")


def lookalikes_of(image: GeneratedImage, most: int) -> list[Lookalike]:
    """Return the rows that name the image on either side, the newest first; two queries at most."""
    rows = Lookalike.objects.found().filter(Q(image=image) | Q(of_image=image))
    return list(rows.select_related("image", "of_image", "of_reference").order_by("-pk")[:most])


# --- Comparing ------------------------------------------------------------------------


def _compare(dataset: int, pictures: Iterable[Picture], beat: Beat = lambda: None) -> int:
    wanted = list(pictures)
    bits = fingerprints({picture.sha256 for picture in wanted}, beat)
    count = 0
    for start in range(0, len(wanted), BATCH):
        count += _compare_batch(dataset, wanted[start : start + BATCH], bits)
        beat()
    return count


def _compare_batch(dataset: int, pictures: list[Picture], bits: dict[str, int | None]) -> int:
    try:
        with transaction.atomic():
            # Whoever else compares waits; who refers to the dataset does not.
            locked = Dataset.objects.select_for_update(no_key=True).filter(pk=dataset)
            if not locked.values_list("pk", flat=True).first():
                return 0
            new = _still_new(pictures)
            known = _known(dataset)
            if any(_key(picture) in known.place_of for picture in new):
                _indexes.pop(dataset)  # rows are gone that it knew: the database was put back
                known = _known(dataset)
            Lookalike.objects.bulk_create(known.take_in(new, bits))
    except BaseException:
        _indexes.pop(dataset, None)  # it holds what was not stored
        raise
    return len(new)


def _still_new(pictures: list[Picture]) -> list[Picture]:
    """Return those that nobody else has compared meanwhile."""
    wanted = [picture.pk for picture in pictures]
    images = set(uncompared_images().filter(pk__in=wanted).values_list("pk", flat=True))
    references = set(uncompared_references().filter(pk__in=wanted).values_list("pk", flat=True))
    return [
        picture
        for picture in pictures
        if picture.pk in (images if isinstance(picture, GeneratedImage) else references)
    ]


@dataclass(slots=True)
class _Index:
    """What of a dataset was compared, as one process knows it.

    `keys` and `place_of`: image as its number, reference as its number below zero. `seen`: the
    newest row that was read. Places that belong together are joined in `groups`.
    """

    dataset: int
    hashes: HashIndex = field(default_factory=HashIndex)
    groups: Forest = field(default_factory=Forest)
    keys: list[int] = field(default_factory=list)
    place_of: dict[int, int] = field(default_factory=dict)
    seen: int = 0

    def read_on(self) -> None:
        """Take in the rows that were written since."""
        rows = Lookalike.objects.filter(dataset=self.dataset, pk__gt=self.seen).order_by("pk")
        fields = ("pk", "image", "reference", "of_image", "of_reference", "hash")
        for pk, image, reference, of_image, of_reference, bits in rows.values_list(
            *fields
        ).iterator(chunk_size=5_000):
            place = self._add(image or -reference, bits)
            other = self.place_of.get(of_image or -(of_reference or 0))
            if other is not None:
                self.groups.join(place, other)
            self.seen = pk

    def take_in(self, pictures: list[Picture], bits: dict[str, int | None]) -> Iterator[Lookalike]:
        """Compare each picture with all before it; yield their rows.

        The database is asked once for all: for the copies, and for the embeddings of those pairs
        that the hashes leave open.
        """
        copies = self._copies({picture.sha256 for picture in pictures})
        root = self.groups.root
        rows: dict[int, list[Lookalike]] = {}
        unsure: list[tuple[Picture, int, int, int]] = []
        for picture in pictures:
            own = bits[picture.sha256]
            near = self.hashes.near(own % 2**64) if own is not None else []
            place = self._add(_key(picture), own)
            copy = copies.setdefault(picture.sha256, place)
            rows[place] = []
            for apart, other in [*[(0, copy)] * (copy != place), *near]:
                if apart <= SURE_BITS and self.groups.join(place, other):
                    kind = LookalikeKind.COPY if other == copy else LookalikeKind.LOOK
                    rows[place].append(self._row(picture, own, other, kind, apart))
            open_ones = (
                (picture, place, other, apart)
                for apart, other in near
                if apart > SURE_BITS and root(other) != root(place)
            )
            unsure += islice(open_ones, UNSURE_ASKED)
        vectors = self._vectors({place for _, *both, _ in unsure for place in both})
        for picture, place, other, apart in unsure:
            if place not in vectors or other not in vectors:
                continue
            one, two = vectors[place], vectors[other]
            if are_near(apart, one, two) and self.groups.join(place, other):
                row = self._row(picture, bits[picture.sha256], other, LookalikeKind.CLIP, apart)
                row.cosine = float(one @ two)
                rows[place].append(row)
        for picture, found in zip(pictures, rows.values(), strict=True):
            yield from found or [self._row(picture, bits[picture.sha256], None, LookalikeKind.NONE)]

    def _add(self, key: int, bits: int | None) -> int:
        if (known := self.place_of.get(key)) is not None:
            return known
        self.keys.append(key)
        self.groups.add()
        self.place_of[key] = self.hashes.add(None if bits is None else bits % 2**64)
        return self.place_of[key]

    def _copies(self, wanted: set[str]) -> dict[str, int]:
        """Return checksum → place of the first picture of the same file, of those compared.

        One is enough: the others are connected with it already.
        """
        images = GeneratedImage.objects.filter(
            Exists(Lookalike.objects.filter(image=OuterRef("pk"))), dataset=self.dataset
        )
        references = ReferenceImage.objects.filter(dataset=self.dataset)
        keys = dict(references.filter(sha256__in=wanted).values_list("sha256", -F("pk")))
        keys |= dict(images.filter(sha256__in=wanted).values_list("sha256").annotate(Min("pk")))
        return {
            sha256: place
            for sha256, key in keys.items()
            if (place := self.place_of.get(key)) is not None
        }

    def _vectors(self, places: set[int]) -> dict[int, Vector]:
        """Return place → embedding by the current scorer, of images."""
        images = [self.keys[place] for place in places if self.keys[place] > 0]
        if not images:
            return {}
        rows = Embedding.objects.filter(version=ScorerVersion.objects.current(), image__in=images)
        return {
            self.place_of[image]: np.frombuffer(bytes(vector), dtype="<f2").astype(np.float32)
            for image, vector in rows.values_list("image", "vector")
        }

    def _row(
        self,
        picture: Picture,
        own: int | None,
        other: int | None,
        kind: LookalikeKind,
        apart: int | None = None,
    ) -> Lookalike:
        key = None if other is None else self.keys[other]
        is_image = isinstance(picture, GeneratedImage)
        return Lookalike(
            dataset_id=self.dataset,
            image_id=picture.pk if is_image else None,
            reference_id=None if is_image else picture.pk,
            of_image_id=key if key is not None and key > 0 else None,
            of_reference_id=-key if key is not None and key < 0 else None,
            kind=kind,
            hash=own,
            bits=apart,
        )


_indexes: OrderedDict[int, _Index] = OrderedDict()


def _known(dataset: int) -> _Index:
    index = _indexes.pop(dataset, None) or _Index(dataset)
    index.read_on()
    _indexes[dataset] = index
    while len(_indexes) > KEPT:
        _indexes.popitem(last=False)
    return index


def _key(picture: Picture) -> int:
    return picture.pk if isinstance(picture, GeneratedImage) else -picture.pk


# --- Hashes ---------------------------------------------------------------------------


def fingerprints(wanted: set[str], beat: Beat = lambda: None) -> dict[str, int | None]:
    """Return the perceptual hash of each stored original; computes and keeps the missing ones."""
    known: dict[str, int | None] = {}
    for some in _pages(sorted(wanted)):
        known |= dict(Fingerprint.objects.filter(sha256__in=some).values_list("sha256", "bits"))
    with ThreadPoolExecutor(THREADS) as pool:  # Pillow decodes outside Python's lock
        for some in _pages(sorted(wanted - known.keys())):
            made = dict(zip(some, pool.map(_fingerprint, some), strict=True))
            Fingerprint.objects.bulk_create(
                (Fingerprint(sha256=sha256, bits=bits) for sha256, bits in made.items()),
                ignore_conflicts=True,
            )
            known |= made
            beat()
    return known


def _pages(names: list[str]) -> Iterator[list[str]]:
    return (names[start : start + PAGE] for start in range(0, len(names), PAGE))


def _fingerprint(sha256: str) -> int | None:
    try:
        found = perceptual_hash(_smallest(sha256))
    except StorageError:  # it does not answer: that says nothing of the picture
        raise
    except OSError:  # it is gone or damaged: whoever needs the file says so, with its name
        return None
    return found if found is None or found < SIGN else found - 2 * SIGN


def _smallest(sha256: str) -> Path:
    store = blobs()
    return store.file(sha256, THUMB if store.exists(sha256, THUMB) else ORIGINAL)
