"""Making the frozen list: what may leave becomes items, their histories a file, the whole facts.

Called by the job. Written in small batches, because on SQLite a long one stops every reviewer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.db.models import Min, Sum

from synthreview.export.collecting import (
    Exportable,
    Selection,
    collect,
    promise_of_rows,
    running_promise,
)
from synthreview.export.frozen_list import list_path, read_list, write_list
from synthreview.export.models import CardLine, Export, ExportItem, Omission, OmissionReason
from synthreview.export.records import list_rows
from synthreview.export.services import (
    NothingApprovedError,
    counts_of,
    fetch_list,
    lists_folder,
    notices_of,
    require_signature,
    share_exported,
)
from synthreview.export.sharing import Shared, share
from synthreview.export.splits import SPLITS, Wish
from synthreview.export.writers.base import ClassFacts, ExportFacts
from synthreview.generation.models import Call, GeneratedImage
from synthreview.lib.money import MICRO_PER_USD
from synthreview.review.models import Signature
from synthreview.review.promises import Promise
from synthreview.scoring.lookalikes import Beat

BATCH = 500


def make_items(export: Export, beat: Beat) -> tuple[str, dict[str, Any]]:
    """Write the items of what may leave now; return what vouches for the unreviewed among them,
    and the facts of this moment: how the splits came about, the certificate, the signature.

    What a try that was cut off left is removed first. `beat` is called after each batch, and
    raises where the work went to another worker. Raises NothingApprovedError, UnsignedError,
    ValueError for a split that cannot be.
    """
    for leftovers in (ExportItem.objects, Omission.objects):
        while pks := list(leftovers.filter(export=export).values_list("pk", flat=True)[:BATCH]):
            leftovers.filter(pk__in=pks).delete()
            beat()
    rows, promised = collect(export.dataset, Selection.from_json(export.selection))
    signature = require_signature(export.dataset)
    shared = share(export, rows, beat)
    if promised and shared.omitted:
        promised = promise_of_rows(promised, shared.rows)
        if not promised.is_kept:
            promised = None
            shared = share(export, [row for row in rows if row.looks], beat)
    if not shared.rows:
        raise NothingApprovedError(
            "No image is approved any more that the filters let through: review some first."
        )
    # Mixed within a split: shards are read from front to back.
    ordered = sorted(
        shared.rows,
        key=lambda row: (SPLITS.index(shared.split_of[row.image]), row.sha256, row.image),
    )
    for start in range(0, len(ordered), BATCH):
        ExportItem.objects.bulk_create(
            _item(export, position, row, shared)
            for position, row in enumerate(ordered[start : start + BATCH], start)
        )
        beat()
    _write_omissions(export, shared.omitted, beat)
    known = promised or running_promise(export.dataset)
    return promised.sentence if promised else "", {
        "splitting": shared.facts,
        "certificate": certificate_facts(promise_of_rows(known, shared.rows)) if known else {},
        "signature": signature_facts(signature) if signature else {},
    }


def certificate_facts(known: Promise) -> dict[str, Any]:
    """Return the numbers of a certificate over the exported images, and what it does not say."""
    bound = known.certificate.bound
    caveats = [
        "It bounds the labels as a whole, not any one image, class or split.",
        (
            f"It holds for the moment of freezing and with confidence {1 - bound.alpha:g}: in the "
            "other cases more labels are wrong."
        ),
    ]
    if not known.unseen:
        caveats.append("Every exported image was approved by a person: no label rests on it.")
    if known.true_error is None:
        caveats.append(
            "Mistakes of the reviewers themselves are not bounded"
            + (
                f": {known.trials:,} looks at known bad images are too few."
                if known.trials
                else "."
            )
        )
    if known.outside:
        caveats.append(f"{known.outside:,} images come from outside of its population.")
    return {
        "sentence": known.sentence if known.unseen else "",
        "population": bound.population,
        "reviewed": bound.reviewed,
        "audits": bound.audits,
        "found_bad": bound.found_bad,
        "covered": known.covered,
        "unseen": known.unseen,
        "outside": known.outside,
        "error": known.error,
        "true_error": known.true_error,
        "trials": known.trials,
        "target": known.certificate.target,
        "confidence": round(1 - bound.alpha, 6),
        "caveats": caveats,
    }


def signature_facts(signature: Signature) -> dict[str, Any]:
    """Return who signed and for what: the name as they typed it, never the account's."""
    return {
        "name": signature.name,
        "statement": signature.statement,
        "signed_on": signature.signed_at.date().isoformat(),
        "images": signature.image_count,
        "digest": signature.digest,
    }


def _item(export: Export, position: int, row: Exportable, shared: Shared) -> ExportItem:
    return ExportItem(
        export=export,
        image_id=row.image,
        decision_id=row.decision,
        looks=[look.decision for look in row.looks],
        position=position,
        split=shared.split_of[row.image],
        family=shared.family_of[row.image],
        class_name=row.class_name,
        class_folder=row.class_folder,
    )


def _write_omissions(export: Export, omitted: dict[int, int], beat: Beat) -> None:
    pairs = sorted(omitted.items())
    for start in range(0, len(pairs), BATCH):
        Omission.objects.bulk_create(
            Omission(
                export=export,
                image_id=image,
                test_image_id=test_image,
                reason=OmissionReason.NEAR_TEST,
            )
            for image, test_image in pairs[start : start + BATCH]
        )
        beat()


def make_list(export: Export, beat: Beat) -> str:
    """Write the frozen list's file; return its checksum. Raises OSError."""

    def rows() -> Any:
        for number, row in enumerate(list_rows(export), start=1):
            yield row
            if number % BATCH == 0:
                beat()

    sha256 = write_list(lists_folder(), rows(), work=f"export-{export.pk}")
    path = list_path(lists_folder(), sha256)
    share_exported(f"{path.parent.name}/{path.name}")
    return sha256


def facts_of(export: Export) -> ExportFacts:
    """Return what the card of the export says, looked up as it is now.

    The list must have been written. Raises DamagedListError.
    """
    tables, images_usd = tally_of(export)
    splits, rows = counts_of(export)
    dataset = export.dataset
    folders = dict(
        export.items.order_by().values_list("class_name").annotate(folder=Min("class_folder"))
    )
    definitions = dict(dataset.classes.values_list("name", "definition"))
    generators = sorted(
        set(export.items.order_by().values_list("image__generator", flat=True).distinct())
    )
    reviewed = export.items.order_by().filter(decision__isnull=False)
    reviewers = reviewed.values("decision__reviewer").distinct().count()
    frozen_at = export.frozen_at or export.created_at
    return ExportFacts(
        title=dataset.name,
        number=export.number,
        description=dataset.description,
        created=frozen_at.date().isoformat(),
        classes=tuple(
            ClassFacts(name, folder, definitions.get(name, ""))
            for name, folder in sorted(folders.items(), key=lambda pair: pair[1])
        ),
        splits=tuple(splits),
        counts={row.name: dict(zip(splits, row.by_split, strict=True)) for row in rows},
        notices=tuple(notices_of(export)),
        unreviewed=export.item_count - reviewed.count(),
        review={
            "reviews per image": dataset.policy.reviews_per_image,
            "reviewers": reviewers,
            "label error": export.certificate
            or "not certified: each label is as judged by "
            + ("one reviewer" if dataset.policy.reviews_per_image == 1 else "its reviewers"),
            "generators": ", ".join(generators),
            "filters": "; ".join(Selection.from_json(export.selection).in_words()) or "none",
            "splits": str(Wish.from_json(export.wish)),
        },
        splitting=export.facts.get("splitting", {}),
        tables=tables,
        cost=_cost_of(export, images_usd),
        certificate=export.facts.get("certificate", {}),
        signature=export.facts.get("signature", {}),
        licence=dataset.licence,
        findings=dict(CardLine.objects.filter(dataset=dataset).values_list("heading", "text")),
    )


def tally_of(export: Export) -> tuple[dict[str, dict[str, int]], float]:
    """Return images by technique, generator, model and axis, and what drawing them cost.

    The largest first. Read from the list's file, so that no long query disturbs anybody.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    images_usd = 0.0
    for row in read_list(fetch_list(export.list_sha256), export.list_sha256):
        record = row["record"]
        model = " ".join(filter(None, (record["model"], record["model_version"])))
        counts["technique"][record["technique"]] += 1
        counts["generator"][record["generator"]] += 1
        counts["model"][model or record["generator"]] += 1
        for axis, value in _values_of(record["slots"]):
            counts[axis][value] += 1
        images_usd += record["cost_usd"]
    first = [counts.pop(name) for name in ("technique", "generator", "model") if name in counts]
    tables = dict(zip(("technique", "generator", "model"), first, strict=False))
    tables |= sorted(counts.items())
    return {
        title: dict(sorted(counter.items(), key=lambda pair: (-pair[1], pair[0])))
        for title, counter in tables.items()
    }, images_usd


def _values_of(slots: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the values of a caption's slots; one that is named like a column gets a mark."""
    taken = ("technique", "generator", "model")
    return [
        (f"{axis} (slot)" if axis in taken else axis, str(value))
        for axis, value in slots.items()
        if isinstance(value, (str, int, float))
    ]


def _cost_of(export: Export, images_usd: float) -> dict[str, float]:
    billed = Call.objects.filter(run__dataset=export.dataset).aggregate(
        all=Sum("billed_micro_usd", default=0)
    )["all"]
    return {
        "images_usd": round(images_usd, 6),
        "dataset_usd": billed / MICRO_PER_USD,
        "generated": GeneratedImage.objects.filter(dataset=export.dataset).count(),
    }


def frozen_facts(export: Export) -> ExportFacts:
    """Return what was frozen with the list."""
    known = dict(export.facts)
    known["classes"] = tuple(ClassFacts(**row) for row in known["classes"])
    return ExportFacts(**known | {name: tuple(known[name]) for name in ("splits", "notices")})


def facts_as_json(export: Export) -> dict[str, Any]:
    """Return the facts as they are kept in the row."""
    return asdict(facts_of(export))
