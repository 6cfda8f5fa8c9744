"""Which images are of one family: everything of which one part would give another away.

Families are the connected components over what is written on the images (`family`), what went
into the call that made them, one seed for one prompt, equal bytes, and near-duplicates. Images
that are not exported connect others all the same: two variations of a rejected picture are
siblings. To add a kind of kinship, add a function to KINSHIPS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from synthreview.catalog.models import Dataset, ReferenceImage, ReferenceUse
from synthreview.generation.models import CallInput, GeneratedImage
from synthreview.lib.forest import components
from synthreview.scoring.lookalikes import Beat, compare_all
from synthreview.scoring.models import Lookalike

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
    """Return pairs that connect all that are all but copies, as they were found on arrival."""
    compare_all(dataset.pk, beat)
    places = {(bool(node.use), node.pk): place for place, node in enumerate(nodes)}
    for pair in Lookalike.objects.filter(dataset=dataset).found().ends():
        first, second = (places.get(end) for end in pair)
        if first is not None and second is not None:
            yield first, second


KINSHIPS = (same_family, same_bytes, same_seed, parents, near_duplicates)


def _alike(nodes: list[Node], key: Callable[[Node], Hashable]) -> Iterator[tuple[int, int]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place, node in enumerate(nodes):
        if (found := key(node)) is not None:
            groups[found].append(place)
    for group in groups.values():
        yield from pairwise(group)
