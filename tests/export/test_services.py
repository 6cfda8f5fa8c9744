"""Freezing: what is in an export, what stays out of it, and what never changes again."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.export import services
from synthreview.export.collecting import promise_of
from synthreview.export.freezing import facts_of
from synthreview.export.jobs import write_package
from synthreview.export.models import Export, ExportItem, Package
from synthreview.export.records import pseudonym
from synthreview.export.splits import parse_wish
from synthreview.generation.models import ImageTruth
from synthreview.review import queue
from synthreview.review import services as review
from synthreview.review.certifying import end_certification, start_certification
from synthreview.review.models import Certification, Verdict
from synthreview.review.signing import sign
from synthreview.scoring.lookalikes import compare_all
from tests.export.frozen import frozen, package_of, written
from tests.factories import (
    make_approved_image,
    make_dataset,
    make_image,
    make_rejected_image,
    make_review,
    make_user,
)

WISH = parse_wish("80/10/10")
SECRET = "what-the-generator-really-drew"


@pytest.fixture
def reviewer(db: None) -> User:
    return make_user("rita")


@pytest.fixture
def dataset(reviewer: User) -> Dataset:
    return make_dataset("Things", reviewer=reviewer)


def approve(dataset: Dataset, reviewer: User, count: int) -> None:
    classes = list(dataset.classes.all())
    for number in range(count):
        make_approved_image(classes[number % len(classes)], reviewer)


def test_only_approved_images_are_in_an_export(dataset: Dataset, reviewer: User) -> None:
    label_class = dataset.classes.get(name="car")
    approved = make_approved_image(label_class, reviewer)
    make_rejected_image(label_class, reviewer)
    make_review(make_image(dataset))
    make_image(dataset)
    make_review(make_image(dataset), "disputed")
    make_approved_image(make_dataset().classes.first(), reviewer)
    export = frozen(dataset)
    assert [item.image for item in export.items.all()] == [approved]
    assert export.item_count == 1
    assert export.items.get().class_folder == label_class.slug


def test_nothing_approved_is_no_export(dataset: Dataset) -> None:
    with pytest.raises(services.NothingApprovedError, match="review some first"):
        services.order_export(dataset=dataset, wish=WISH)
    assert not Export.objects.exists()


def test_exports_are_numbered_within_their_dataset(dataset: Dataset, reviewer: User) -> None:
    other = make_dataset()
    approve(dataset, reviewer, 1)
    approve(other, reviewer, 1)
    assert [frozen(dataset).number, frozen(dataset).number, frozen(other).number] == [1, 2, 1]


def test_an_undone_decision_stays_in_the_frozen_list(dataset: Dataset, reviewer: User) -> None:
    approve(dataset, reviewer, 2)
    export = frozen(dataset)
    assert review.undo(dataset=dataset, reviewer=reviewer) is not None
    assert export.items.count() == 2
    assert frozen(dataset).item_count == 1


def test_metadata_tells_each_images_history(dataset: Dataset, reviewer: User) -> None:
    image = make_approved_image(dataset.classes.get(name="car"), reviewer, seed=42)
    (entry,) = services.entries_of(frozen(dataset))
    assert entry.sha256 == image.sha256
    assert entry.source.read_bytes()
    history = entry.record
    assert history["prompt"] == image.caption
    assert (history["generator"], history["seed"], history["score"]) == ("sketch", 42, 0.5)
    assert (history["decision"], history["guideline_version"]) == ("approved", 1)
    assert history["reviewers"] == [pseudonym(dataset.pk, reviewer.pk)]
    assert history["digital_source_type"] == "trainedAlgorithmicMedia"


def test_reviewers_have_another_name_in_each_dataset(settings: object) -> None:
    name = pseudonym(1, 7)
    assert re.fullmatch(r"reviewer-[0-9a-f]{8}", name)
    assert name == pseudonym(1, 7)
    assert len({name, pseudonym(2, 7), pseudonym(1, 8)}) == 3
    settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
    assert pseudonym(1, 7) != name


def test_nothing_private_is_in_the_folder(dataset: Dataset, reviewer: User) -> None:
    image = make_approved_image(dataset.classes.first(), reviewer)
    ImageTruth.objects.create(image=image, facts={"object": SECRET})
    package = written(dataset)
    texts = [
        path.read_text(encoding="utf-8")
        for path in services.folder_of(package).rglob("*")
        if path.suffix != ".png" and path.is_file()
    ]
    assert len(texts) == 7
    for text in texts:
        assert SECRET not in text
        assert "truth" not in text.lower()
        assert reviewer.username not in text


def test_an_imported_or_forgotten_generator_needs_no_notice(
    dataset: Dataset, reviewer: User
) -> None:
    make_approved_image(dataset.classes.first(), reviewer, generator="import", prompt=None)
    assert services.notices_of(frozen(dataset)) == []
    make_approved_image(dataset.classes.first(), reviewer)
    assert len(services.notices_of(frozen(dataset))) == 1


def test_the_counts_agree(dataset: Dataset, reviewer: User) -> None:
    approve(dataset, reviewer, 9)
    export = frozen(dataset, "1/1/1")
    splits, rows = services.counts_of(export)
    assert [row.name for row in rows] == ["car", "umbrella"]
    assert [row.total for row in rows] == [5, 4]
    by_split = Counter(export.items.values_list("split", flat=True))
    sums = [sum(counts) for counts in zip(*(row.by_split for row in rows), strict=True)]
    assert dict(zip(splits, sums, strict=True)) == dict(by_split)
    facts = facts_of(export)
    assert sum(sum(counts.values()) for counts in facts.counts.values()) == 9
    assert services.approved_by_class(dataset) == [("car", 5), ("umbrella", 4)]


def test_freezing_costs_the_same_number_of_queries(dataset: Dataset, reviewer: User) -> None:
    def cost() -> int:
        compare_all(dataset.pk)  # the sweeper has done so, as images came
        with CaptureQueriesContext(connection) as queries:
            frozen(dataset)
        return len(queries)

    approve(dataset, reviewer, 2)
    cost()  # the first has no earlier splits to look up
    approve(dataset, reviewer, 2)
    small = cost()
    approve(dataset, reviewer, 18)
    assert cost() == small


# --- Unreviewed images under a certificate ----------------------------------------------


@pytest.fixture
def certified(dataset: Dataset, reviewer: User) -> Dataset:
    """Forty images of which 33 were audited and found good: 10 % is met; and one from before."""
    make_approved_image(dataset.classes.first(), reviewer)
    for _ in range(40):
        make_review(make_image(dataset))
    policy = dataset.policy
    policy.target_error, policy.audit_share, policy.accepts_unseen = 0.1, 1, True
    policy.save()
    start_certification(dataset=dataset)
    for _ in range(33):
        card = queue.next_card(dataset=dataset, reviewer=reviewer)
        assert card
        review.record_decision(
            dataset=dataset, reviewer=reviewer, token=card.token, verdict=Verdict.APPROVE
        )
    return dataset


def test_a_met_certificate_lets_the_unseen_in(certified: Dataset) -> None:
    export = frozen(certified)
    assert export.item_count == 41
    assert export.items.filter(decision=None).count() == 7
    assert export.certificate.startswith("With confidence 95 %, at most ")
    assert "of the 40 labels it covers are wrong as judged by one reviewer" in export.certificate
    assert "(running certificate over 40 images: 33 audits, 0 found bad)" in export.certificate
    assert "1 more were approved one by one outside of it." in export.certificate
    package = package_of(export)
    write_package(package.pk)
    folder = services.folder_of(package)
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert Counter(row["decision"] for row in rows) == {"approved": 34, "unreviewed": 7}
    assert all(row["reviewers"] == [] for row in rows if row["decision"] == "unreviewed")
    card = (folder / "README.md").read_text()
    assert export.certificate in card
    assert "34 of them were approved by people. 7 were looked at by nobody" in card
    assert "not certified" not in card


@pytest.mark.parametrize(
    "change",
    [
        {"accepts_unseen": False},
        {"is_high_risk": True, "accepts_unseen": False, "reviews_per_image": 2},
    ],
    ids=["not accepted", "high risk"],
)
def test_a_policy_that_wants_every_image_seen_gets_it(
    certified: Dataset, change: dict[str, bool]
) -> None:
    for name, value in change.items():
        setattr(certified.policy, name, value)
    certified.policy.save()
    if certified.policy.is_high_risk:
        sign(dataset=certified, user=make_user(is_superuser=True), name="Ada Expert")
    export = frozen(certified)
    assert (export.item_count, export.certificate) == (34, "")
    assert export.facts["certificate"]["unseen"] == 0
    assert "not certified" in str(facts_of(export).review["label error"])


def test_a_certificate_that_misses_its_target_lets_nothing_in(certified: Dataset) -> None:
    reviewer = User.objects.get(username="rita")
    for _ in range(3):
        review.undo(dataset=certified, reviewer=reviewer)
    Certification.objects.update(target_error=0.02)
    export = frozen(certified)
    assert export.certificate == ""
    assert not export.items.filter(decision=None).exists()


def test_an_ended_certificate_vouches_for_nothing(certified: Dataset) -> None:
    end_certification(Certification.objects.get())
    assert frozen(certified).item_count == 34


def test_what_was_skipped_or_undone_is_not_unseen(certified: Dataset, reviewer: User) -> None:
    card = queue.next_card(dataset=certified, reviewer=reviewer)
    assert card
    review.record_decision(
        dataset=certified, reviewer=reviewer, token=card.token, verdict=Verdict.SKIP
    )
    export = frozen(certified)
    assert not export.items.filter(image=card.slot.image).exists()
    assert export.item_count == 40


def test_a_rejected_image_that_does_not_count_yet_is_left_out(
    certified: Dataset, reviewer: User
) -> None:
    other = make_user("otto")
    assert queue.next_card(dataset=certified, reviewer=reviewer)  # stays open: the rest waits
    card = queue.next_card(dataset=certified, reviewer=other)
    assert card
    review.record_decision(
        dataset=certified, reviewer=other, token=card.token, verdict=Verdict.REJECT
    )
    promised = promise_of(certified)
    assert promised
    assert (promised.certificate.rejected, promised.certificate.bound.found_bad) == (1, 0)
    assert promised.error <= promised.certificate.bound.error
    assert not frozen(certified).items.filter(image=card.slot.image).exists()


# --- The zip --------------------------------------------------------------------------


@pytest.fixture
def package(dataset: Dataset, reviewer: User) -> Package:
    approve(dataset, reviewer, 3)
    return written(dataset, ratio="100")


def test_the_zip_holds_the_folder(package: Package) -> None:
    stream = services.zip_of(package)
    size = len(stream)
    data = b"".join(stream)
    assert len(data) == size
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        names = opened.namelist()
        folder = services.folder_of(package)
        for name in names:
            assert name.startswith("things-1-imagefolder/")
            assert (
                opened.read(name)
                == (folder / Path(name).relative_to("things-1-imagefolder")).read_bytes()
            )
            assert opened.getinfo(name).compress_type == zipfile.ZIP_STORED
    assert len(names) == 3 + 7


def test_the_same_snapshot_is_the_same_zip(package: Package) -> None:
    first = b"".join(services.zip_of(package))
    for path in services.folder_of(package).rglob("*.png"):
        copy = path.read_bytes()
        path.unlink()
        path.write_bytes(copy)  # another date, other rights
        path.chmod(0o600)
    assert b"".join(services.zip_of(package)) == first


def test_a_zip_whose_files_change_on_the_way_breaks_off(package: Package) -> None:
    stream = services.zip_of(package)
    (services.folder_of(package) / "README.md").write_text("shorter")
    with pytest.raises(OSError, match="changed while it was sent"):
        b"".join(stream)


# --- What the database refuses -----------------------------------------------------------


def test_the_database_refuses_bad_rows(dataset: Dataset, reviewer: User) -> None:
    approve(dataset, reviewer, 2)
    export = frozen(dataset)
    first, second = export.items.all()
    for change in (
        lambda: Export.objects.create(dataset=dataset, number=1, wish={}, item_count=0),
        lambda: Export.objects.update(state="lost"),
        lambda: Export.objects.update(state="running"),
        lambda: Export.objects.update(list_sha256=""),
        lambda: Export.objects.update(frozen_at=None),
        lambda: Package.objects.create(export=export, format="tfrecord"),
        lambda: Package.objects.create(export=export, format="imagefolder"),
        lambda: ExportItem.objects.filter(pk=second.pk).update(position=first.position),
        lambda: ExportItem.objects.filter(pk=second.pk).update(image=first.image),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()


def test_evidence_of_an_export_cannot_be_deleted(dataset: Dataset, reviewer: User) -> None:
    image = make_approved_image(dataset.classes.first(), reviewer)
    frozen(dataset)
    assert image.decisions.get().verdict == Verdict.APPROVE
    for row in (image, image.decisions.get(), dataset):
        with pytest.raises(IntegrityError):
            row.delete()
