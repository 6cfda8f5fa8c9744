"""Which images are of one family: everything of which one part would give another away.

Families are the connected components over what is written on the images (`family`), what went
into the call that made them, one seed for one prompt, equal bytes, and near-duplicates. Images
that are not exported connect others all the same: two variations of a rejected picture are
siblings. To add a kind of kinship, add a function to KINSHIPS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synthreview.catalog.models import Dataset, ReferenceImage, ReferenceUse
from synthreview.catalog.storage import blobs
from synthreview.export.models import Fingerprint
from synthreview.export.near_duplicates import (
    SURE_BITS,
    are_near,
    close_pairs,
    perceptual_hash,
)
from synthreview.export.splits import Forest, components
from synthreview.generation.models import CallInput, GeneratedImage
from synthreview.lib.blobs import ORIGINAL
from synthreview.lib.images import THUMB
from synthreview.lib.s3 import StorageError
from synthreview.scoring.models import Embedding, ScorerVersion

BATCH = 500
THREADS = 4
SIGN = 2**63
Beat = Callable[[], None]
Pairs = Iterable[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Node:
    """One image as far as its kin needs it: ours, or the user's own (`use` is then not empty)."""

    pk: int
    sha256: str
    family: Hashable
    call: int | None = None
    seed_source: Hashable = None
    use: str = ""


@dataclass(frozen=True, slots=True)
class Ancestry:
    """The families of a dataset's images.

    `family_of` gives each of our images its component's name, which is the `family` of its oldest
    member. `test_images` gives the families that a real test image is in one of these, and
    `in_real_train` are those with an image of the real training set.
    """

    family_of: dict[int, str]
    test_images: dict[str, int]
    in_real_train: frozenset[str]


def ancestry_of(dataset: Dataset, beat: Beat) -> Ancestry:
    """Return the families of everything in the dataset; `beat` is called now and then."""
    nodes = list(_nodes(dataset))
    pairs: list[tuple[int, int]] = []
    for kinship in KINSHIPS:
        pairs += kinship(nodes, dataset, beat)
        beat()
    roots = components(len(nodes), pairs)
    names = [str(nodes[root].family) for root in roots]
    return Ancestry(
        family_of={node.pk: name for node, name in zip(nodes, names, strict=True) if not node.use},
        test_images={
            name: node.pk
            for node, name in zip(nodes, names, strict=True)
            if node.use == ReferenceUse.TEST
        },
        in_real_train=frozenset(
            name for node, name in zip(nodes, names, strict=True) if node.use == ReferenceUse.TRAIN
        ),
    )


def _nodes(dataset: Dataset) -> Iterator[Node]:
    """Yield our images, oldest first, then the user's own."""
    images = GeneratedImage.objects.filter(dataset=dataset).order_by("pk")
    for pk, sha256, family, call, seed, *source in images.values_list(
        "pk", "sha256", "family", "call", "seed", "prompt", "generator", "model"
    ):
        # Without a seed of its own an image shares that of its call.
        seed_source: Hashable = (call,) if seed is None else (seed, *source)
        yield Node(pk, sha256, family, call, seed_source if call else None)
    references = ReferenceImage.objects.filter(dataset=dataset).order_by("pk")
    for pk, sha256, family, use in references.values_list("pk", "sha256", "family", "use"):
        yield Node(pk, sha256, family, use=use)


# --- Kinds of kinship -----------------------------------------------------------------


def same_family(nodes: list[Node], dataset: Dataset, beat: Beat) -> Pairs:
    """Return the pairs that carry one family."""
    return _alike(nodes, lambda node: node.family)


def same_bytes(nodes: list[Node], dataset: Dataset, beat: Beat) -> Pairs:
    """Return the pairs that are one file."""
    return _alike(nodes, lambda node: node.sha256)


def same_seed(nodes: list[Node], dataset: Dataset, beat: Beat) -> Pairs:
    """Return the siblings of one prompt that share a seed source."""
    return _alike(nodes, lambda node: node.seed_source)


def parents(nodes: list[Node], dataset: Dataset, beat: Beat) -> Pairs:
    """Return each image with everything that went into the call that made it."""
    places = {(bool(node.use), node.pk): place for place, node in enumerate(nodes)}
    children: dict[int, list[int]] = defaultdict(list)
    for place, node in enumerate(nodes):
        if node.call is not None:
            children[node.call].append(place)
    inputs = CallInput.objects.filter(call__run__dataset=dataset).values_list(
        "call", "image", "reference"
    )
    for call, image, reference in inputs:
        parent = places.get((reference is not None, reference or image))
        if parent is not None:  # an input of another dataset has no split here
            yield from ((parent, child) for child in children[call])


def near_duplicates(nodes: list[Node], dataset: Dataset, beat: Beat) -> Pairs:
    """Return the pairs that are all but copies."""
    bits = fingerprints({node.sha256 for node in nodes}, beat)
    told = [place for place, node in enumerate(nodes) if bits.get(node.sha256) is not None]
    hashes = np.array([bits[nodes[place].sha256] for place in told], dtype=np.int64)
    # Ten thousand copies are fifty million pairs: one that connects nothing new is not kept.
    forest = Forest(len(told))
    unsure: list[tuple[int, int, int]] = []
    for first, second, apart in close_pairs(hashes.view(np.uint64)):
        if apart > SURE_BITS:
            if forest.root(first) != forest.root(second):
                unsure.append((first, second, apart))
        elif forest.join(first, second):
            yield told[first], told[second]
    # Of a hundred thousand vectors a few are asked for: all would take a hundred megabytes.
    asked = {place for first, second, _ in unsure for place in (first, second)}
    ours = {nodes[told[place]].pk: place for place in asked if not nodes[told[place]].use}
    vectors = {ours[pk]: vector for pk, vector in _vectors(sorted(ours))}
    for first, second, apart in unsure:
        if are_near(apart, vectors.get(first), vectors.get(second)):
            yield told[first], told[second]


KINSHIPS = (same_family, same_bytes, same_seed, parents, near_duplicates)


def _alike(nodes: list[Node], key: Callable[[Node], Hashable]) -> Iterator[tuple[int, int]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place, node in enumerate(nodes):
        if (found := key(node)) is not None:
            groups[found].append(place)
    for group in groups.values():
        yield from pairwise(group)


# --- What near-duplicates are told by ---------------------------------------------------


def fingerprints(wanted: set[str], beat: Beat) -> dict[str, int | None]:
    """Return the perceptual hash of each stored original; computes and keeps the missing ones."""
    known: dict[str, int | None] = {}
    for some in _batches(sorted(wanted)):
        known |= dict(Fingerprint.objects.filter(sha256__in=some).values_list("sha256", "bits"))
    with ThreadPoolExecutor(THREADS) as pool:  # Pillow decodes outside Python's lock
        for some in _batches(sorted(wanted - known.keys())):
            made = dict(zip(some, pool.map(_fingerprint, some), strict=True))
            Fingerprint.objects.bulk_create(
                (Fingerprint(sha256=sha256, bits=bits) for sha256, bits in made.items()),
                ignore_conflicts=True,
            )
            known |= made
            beat()
    return known


def _batches(names: list[str]) -> Iterator[list[str]]:
    return (names[start : start + BATCH] for start in range(0, len(names), BATCH))


def _fingerprint(sha256: str) -> int | None:
    try:
        found = perceptual_hash(_smallest(sha256))
    except StorageError:  # it does not answer: that says nothing of the picture
        raise
    except OSError:  # it is gone or damaged: the writer says so, with its name
        return None
    return found if found is None or found < SIGN else found - 2 * SIGN


def _smallest(sha256: str) -> Path:
    store = blobs()
    return store.file(sha256, THUMB if store.exists(sha256, THUMB) else ORIGINAL)


def _vectors(images: list[int]) -> Iterator[tuple[int, npt.NDArray[np.float16]]]:
    """Yield the embeddings of our images by the current scorer."""
    version = ScorerVersion.objects.current()
    if version is None:
        return
    for start in range(0, len(images), BATCH):
        rows = Embedding.objects.filter(version=version, image__in=images[start : start + BATCH])
        for image, vector in rows.values_list("image", "vector"):
            yield image, np.frombuffer(bytes(vector), dtype="<f2")
