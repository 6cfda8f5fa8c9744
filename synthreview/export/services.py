"""Verbs of export: order a frozen list, have it written, and hand the result out."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max

from synthreview.accounts.models import User
from synthreview.catalog import storage
from synthreview.catalog.models import Dataset
from synthreview.export.collecting import EVERYTHING, Selection, SelectionError, promise_of
from synthreview.export.frozen_list import list_path, read_list
from synthreview.export.models import CardLine, Export, Package
from synthreview.export.splits import SPLITS, Wish
from synthreview.export.writers.base import ExportEntry
from synthreview.export.writers.bundle import CHECKSUMS
from synthreview.export.writers.encoding import EncodingError, parse_encoding
from synthreview.export.writers.formats import DEFAULT, known_format
from synthreview.export.zips import StillZip, zip_folder
from synthreview.generation.models import GeneratedImage
from synthreview.generation.services import generator
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.review.models import ImageReview, Signature
from synthreview.review.signing import STATEMENT, standing_signature
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit


class NothingApprovedError(ValueError):
    """There is nothing to export yet."""


class UnsignedError(ValueError):
    """Nobody signed for exactly what would leave a high-risk dataset now."""


class NotFrozenError(ValueError):
    """The export's list is not made yet, or could not be made."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a package is to look like. Raises UnknownAdapterError, EncodingError."""

    format: str = DEFAULT
    encoding: str = ""

    def __post_init__(self) -> None:
        known_format(self.format)
        wish = parse_encoding(self.encoding)
        if wish and wish.is_signed and not settings.C2PA:
            raise EncodingError(
                "Signing needs a key: who runs this installation sets SYNTHREVIEW_C2PA_CERT and "
                "SYNTHREVIEW_C2PA_KEY."
            )
        object.__setattr__(self, "encoding", str(wish) if wish else "")

    def as_json(self) -> dict[str, str]:
        return {"format": self.format, "encoding": self.encoding}


def say_on_cards(*, dataset: Dataset, heading: str, text: str) -> None:
    """Have the cards of exports that are frozen from now on say this, in place of the last."""
    CardLine.objects.update_or_create(dataset=dataset, heading=heading, defaults={"text": text})


@transaction.atomic
def order_export(
    *,
    dataset: Dataset,
    wish: Wish,
    selection: Selection = EVERYTHING,
    forms: Sequence[Form] = (Form(),),
    created_by: User | None = None,
) -> Export:
    """Put a new export on record; a worker freezes what may leave when its turn comes.

    That is what is approved; and, where the policy accepts it and the running certificate meets
    its target, what of the certificate's population nobody has decided on. `forms` are written
    once the list is frozen. Raises NothingApprovedError, SelectionError, UnsignedError.
    """
    slugs = dataset.classes.values_list("slug", flat=True)
    if unknown := [name for name in selection.classes if name not in slugs]:
        raise SelectionError(f"{unknown[0]!r} is not one of {', '.join(slugs)}.")
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    if not (ImageReview.objects.approved().filter(dataset=dataset).exists() or promise_of(dataset)):
        raise NothingApprovedError("No image is approved yet: review some first.")
    require_signature(dataset)
    last = Export.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"] or 0
    export = Export.objects.create(
        dataset=dataset,
        number=last + 1,
        wish=wish.as_json(),
        selection=selection.as_json(),
        wanted=[form.as_json() for form in dict.fromkeys(forms)],
        created_by=created_by,
    )
    enqueue_on_commit([export])
    wanted = facts(export, "wish", "selection", "wanted")
    record(Act.EXPORT_ORDERED, export, after=wanted, by=created_by)
    return export


def require_signature(dataset: Dataset) -> Signature | None:
    """Return the signature that stands for what may leave now, if there is one.

    Raises UnsignedError where the dataset is high-risk and there is none.
    """
    # Most datasets are signed by nobody: that spares them the checksum over all images.
    is_signed = Signature.objects.filter(dataset=dataset).exists()
    signature = standing_signature(dataset) if is_signed else None
    if signature is None and dataset.policy.is_high_risk:
        raise UnsignedError(
            "This dataset is high-risk: somebody who settles disagreements must sign for exactly "
            "the images that are approved now."
        )
    return signature


@transaction.atomic
def order_package(*, export: Export, form: Form, created_by: User | None = None) -> Package:
    """Have a frozen export written in another form; the same form again gives the same package.

    Raises NotFrozenError.
    """
    if export.state != WorkState.DONE:
        raise NotFrozenError(f"Export {export.number} is not frozen yet: wait for its list.")
    package, is_new = Package.objects.get_or_create(
        export=export, **form.as_json(), defaults={"created_by": created_by}
    )
    if is_new:
        enqueue_on_commit([package])
        dataset = export.dataset_id
        record(Act.PACKAGE_ORDERED, package, dataset=dataset, after=form.as_json(), by=created_by)
    return package


# --- What lies on the disk -----------------------------------------------------------


def lists_folder() -> Path:
    """Return where the frozen lists lie."""
    return Path(settings.EXPORTS_DIR) / "lists"


def folder_of(package: Package) -> Path:
    """Return where the finished folder lies."""
    return Path(settings.EXPORTS_DIR) / package.folder_name


def share_exported(name: str) -> None:
    """Give the other hosts a finished folder or list, by its name below the exports' folder."""
    if shelf := storage.shelf(settings.EXPORTS_DIR, "exports"):
        shelf.share(name, last=CHECKSUMS)


def fetch_exported(name: str, *, is_folder: bool = True) -> Path:
    """Return a finished folder or list, fetched where another host has written it.

    Where there is none, opening it says so. Raises OSError: the storage does not answer.
    """
    if shelf := storage.shelf(settings.EXPORTS_DIR, "exports"):
        with contextlib.suppress(FileNotFoundError):
            shelf.fetch(name, last=CHECKSUMS if is_folder else "")
    return Path(settings.EXPORTS_DIR) / name


def fetch_package(package: Package) -> Path:
    """Return the finished folder. Raises OSError."""
    return fetch_exported(package.folder_name)


def fetch_list(sha256: str) -> Path:
    """Return the folder that holds the frozen list of that checksum. Raises OSError."""
    path = list_path(lists_folder(), sha256)
    return fetch_exported(f"{path.parent.name}/{path.name}", is_folder=False).parent


def entries_of(export: Export) -> Iterator[ExportEntry]:
    """Yield the export's images in their frozen order. Raises DamagedListError."""
    for row in read_list(fetch_list(export.list_sha256), export.list_sha256):
        yield ExportEntry(
            source=storage.blobs().file(row["sha256"]),
            sha256=row["sha256"],
            byte_count=row["bytes"],
            media_type=row["media_type"],
            width=row["width"],
            height=row["height"],
            split=row["split"],
            class_name=row["class"],
            class_folder=row["folder"],
            stem=row["stem"],
            record=row["record"],
            source_type=row["source_type"],
        )


def zip_of(package: Package) -> StillZip:
    """Return the finished folder as a zip that is written while it is sent."""
    return zip_folder(fetch_package(package), package.folder_name)


# --- What pages show ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """How many images of a class an export holds, by split."""

    name: str
    by_split: list[int]
    total: int


def approved_by_class(dataset: Dataset) -> list[tuple[str, int]]:
    """Return (class, approved images) for every class, in the dataset's order."""
    counts = dict(
        ImageReview.objects.approved()
        .filter(dataset=dataset)
        .values_list("image__label_class")
        .annotate(Count("pk"))
    )
    classes = dataset.classes.order_by("position", "pk").values_list("pk", "name")
    return [(name, counts.get(pk, 0)) for pk, name in classes]


@dataclass(frozen=True, slots=True)
class Signing:
    """What a person may sign on a high-risk dataset, and who did so for what may leave now."""

    statement: str
    count: int
    standing: Signature | None


def signing_of(dataset: Dataset) -> Signing | None:
    """Return how the signature stands; None on datasets that need none."""
    if not dataset.policy.is_high_risk:
        return None
    count = ImageReview.objects.approved().filter(dataset=dataset).count()
    return Signing(
        statement=STATEMENT.format(dataset=dataset.name, count=f"{count:,}"),
        count=count,
        standing=standing_signature(dataset),
    )


def generators_of(dataset: Dataset) -> list[str]:
    """Return the generators of the dataset's images."""
    images = GeneratedImage.objects.filter(dataset=dataset).order_by()
    return sorted(images.values_list("generator", flat=True).distinct())


def counts_of(export: Export) -> tuple[list[str], list[ClassCounts]]:
    """Return the splits in use, and the counts of each class; one query."""
    rows = export.items.order_by().values_list("class_name", "split").annotate(Count("pk"))
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for class_name, split, count in rows:
        counts[class_name][split] = count
    splits = [split for split in SPLITS if any(split in of for of in counts.values())]
    return splits, [
        ClassCounts(name, [of.get(split, 0) for split in splits], sum(of.values()))
        for name, of in sorted(counts.items())
    ]


def notices_of(export: Export) -> list[str]:
    """Return what a person must know of the generators of these images; one query."""
    aliases = export.items.order_by().values_list("image__generator", flat=True).distinct()
    return [notice for alias in sorted(aliases) if (notice := _notice(alias))]


def _notice(alias: str) -> str:
    try:
        return generator(alias).notice
    except UnknownAdapterError:  # imported images, or a generator since removed
        return ""
