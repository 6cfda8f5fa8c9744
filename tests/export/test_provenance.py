"""What goes along with the images: card, datasheet, Croissant, certificate, signature, plot."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.export.jobs import freeze
from synthreview.export.models import Export
from synthreview.export.records import without_folders
from synthreview.export.services import Form, UnsignedError, folder_of, order_export
from synthreview.export.splits import parse_wish
from synthreview.export.writers.base import ClassFacts
from synthreview.export.writers.card import card_text
from synthreview.export.writers.datasheet import datasheet_text
from synthreview.export.writers.formats import FORMATS, writer
from synthreview.export.writers.imagefolder import LAYOUT
from synthreview.export.writers.plots import MOST_BARS, plot_text
from synthreview.review.signing import sign
from synthreview.work.models import WorkState
from tests.export.entries import all_files, facts, some_entries
from tests.export.frozen import frozen, written
from tests.factories import (
    make_approved_image,
    make_call,
    make_dataset,
    make_image,
    make_prompt,
    make_run,
    make_score,
    make_user,
    make_version,
)

every_format = pytest.mark.parametrize("name", list(FORMATS))
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def reviewer(db: None) -> User:
    return make_user("rita.reviewer", email="rita@example.org")


@pytest.fixture
def dataset(reviewer: User) -> Dataset:
    return make_dataset("Things", reviewer=reviewer, curator=make_user("carl.curator"))


def text_of(value: bytes | str) -> str:
    """Return text as mlcroissant gives it: bytes from files, str from inline data."""
    return value.decode() if isinstance(value, bytes) else value


def approve(dataset: Dataset, reviewer: User, count: int = 4) -> None:
    classes = list(dataset.classes.all())
    for number in range(count):
        make_approved_image(classes[number % len(classes)], reviewer)


# --- The card -------------------------------------------------------------------------


def test_the_hub_reads_the_cards_head(tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    text = card_text(facts(title='Evil: "name"\n- x'), LAYOUT)
    head = DatasetCard(text).data.to_dict()
    assert head["pretty_name"] == 'Evil: "name" - x'
    assert head["task_categories"] == ["image-classification"]
    assert head["annotations_creators"] == ["expert-generated"]
    assert head["size_categories"] == ["n<1K"]
    assert (head["license"], "license_name" in head) == ("cc-by-4.0", False)
    (config,) = head["configs"]
    assert [one["split"] for one in config["data_files"]] == ["train", "test"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", {}),
        ("cc0-1.0", {"license": "cc0-1.0"}),
        ("House use only", {"license": "other", "license_name": "house-use-only"}),
        (
            "Ours: see https://example.org/terms.",
            {
                "license": "other",
                "license_name": "ours-see-https-example.org-terms",
                "license_link": "https://example.org/terms",
            },
        ),
        ("x\nlicense: mit", {"license": "other", "license_name": "x-license-mit"}),
    ],
)
def test_the_hub_reads_the_licence(said: str, told: dict[str, str]) -> None:
    from huggingface_hub import DatasetCard

    text = card_text(facts(licence=said), LAYOUT)
    head = DatasetCard(text).data.to_dict()
    assert {key: value for key, value in head.items() if key.startswith("license")} == told
    assert ("## Licence" in text) == bool(said)


def test_the_card_says_what_the_images_show_and_cost() -> None:
    text = card_text(facts(), LAYOUT)
    assert "| technique | images |\n|---|---:|\n| plain | 3 |\n| style | 1 |" in text
    assert "| colour | images |\n|---|---:|\n| röd | 2 |" in text
    assert "Drawing these images cost 0.08 US dollars." in text
    assert "0.10 dollars for 5 images: 0.0250 for each exported one" in text
    assert "## Tried on real images\n\nEvaluation 1: they help." in text


def test_long_tables_are_cut_and_say_so() -> None:
    many = {f"value {number:03d}": 1 for number in range(50)}
    text = card_text(facts(tables={"place": many}), LAYOUT)
    assert "| value 039 | 1 |" in text
    assert "| 10 more | 10 |" in text


def test_costs_and_values_are_those_of_the_list(dataset: Dataset, reviewer: User) -> None:
    car = dataset.classes.get(name="car")
    prompt = make_prompt(car, slots={"environment": "beach", "model": "T"}, technique="environment")
    run = make_run(dataset)
    for _ in range(2):
        call = make_call(run, prompt, billed_micro_usd=30_000, count=1)
        make_approved_image(car, reviewer, prompt=prompt, call=call, technique="environment")
    lost = make_call(run, prompt, billed_micro_usd=40_000, count=1)
    make_image(prompt=prompt, call=lost)
    known = frozen(dataset, "100").facts
    assert known["cost"] == {"images_usd": 0.06, "dataset_usd": 0.1, "generated": 3}
    assert known["tables"]["technique"] == {"environment": 2}
    assert known["tables"]["environment"] == {"beach": 2}
    assert known["tables"]["model (slot)"] == {"T": 2}


# --- Croissant ------------------------------------------------------------------------


@every_format
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_croissant_is_valid_and_its_records_are_the_manifests(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlcroissant

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("mlcroissant reached for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setenv("CROISSANT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "out"
    folder.mkdir()
    writer(name).write(folder, some_entries(tmp_path), facts())
    opened = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    issues = opened.metadata.ctx.issues
    assert not issues.errors
    told = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
    assert told["conformsTo"][0] == "http://mlcommons.org/croissant/1.1"
    assert opened.metadata.license == ["https://creativecommons.org/licenses/by/4.0/"]
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    found = list(opened.records("images"))
    assert [text_of(one["images/sha256"]) for one in found] == [row["sha256"] for row in rows]
    assert [one["images/label"] for one in found] == [row["label"] for row in rows]
    labels = list(opened.records("labels"))
    assert [text_of(one["labels/name"]) for one in labels] == ["Auto (car)", "umbrella"]
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for one in told["distribution"]:
        if one["@type"] == "cr:FileSet":
            assert fnmatch.filter(files, one["includes"]), one["includes"]


# --- The datasheet --------------------------------------------------------------------


def test_the_datasheet_answers_what_is_known_and_asks_the_rest() -> None:
    text = datasheet_text(facts(unreviewed=1, title="Evil\n# x"))
    assert text.startswith(r"# Datasheet: Evil \# x, export 1")
    for group in ("Motivation", "Composition", "Collection process", "Uses", "Maintenance"):
        assert f"\n## {group}\n" in text
    assert "4: Auto (car) 2, umbrella 2." in text
    assert "Label error: not certified." in text
    assert "1 images were looked at by nobody" in text
    assert "**Under which licence?** CC BY 4.0" in text
    assert text.count("To be answered by whoever publishes it.") == 4


# --- The plot -------------------------------------------------------------------------


def test_the_plot_shows_every_class_and_is_well_formed() -> None:
    name = '<script>&"'
    text = plot_text(
        facts(
            classes=(ClassFacts(name, "x"),),
            counts={name: {"train": 30, "test": 10}},
            tables={"place": {f"p{number}": 2 for number in range(MOST_BARS + 5)}, "one": {"a": 1}},
        )
    )
    root = ElementTree.fromstring(text)
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert name in words
    assert "40" in words
    assert "and 5 more" in words
    assert "Images by one" not in words  # one bar says nothing
    first, second, *_ = (
        element for element in root.iter(f"{SVG}rect") if element.get("height") == "13"
    )
    assert float(str(first.get("width"))) == pytest.approx(3 * float(str(second.get("width"))))
    assert "prefers-color-scheme:dark" in text
    assert root.get("role") == "img"


# --- Signing for a high-risk dataset ------------------------------------------------------


@pytest.fixture
def high_risk(dataset: Dataset, reviewer: User) -> Dataset:
    policy = dataset.policy
    policy.is_high_risk, policy.accepts_unseen, policy.reviews_per_image = True, False, 2
    policy.save()
    approve(dataset, reviewer)
    return dataset


def test_a_high_risk_dataset_leaves_only_signed(high_risk: Dataset, reviewer: User) -> None:
    curator = User.objects.get(username="carl.curator")
    with pytest.raises(UnsignedError, match="must sign for exactly"):
        order_export(dataset=high_risk, wish=parse_wish("100"))
    sign(dataset=high_risk, user=curator, name="Carla Curie")
    package = written(high_risk, ratio="100")
    card = (folder_of(package) / "README.md").read_text(encoding="utf-8")
    assert "Signed by Carla Curie on " in card
    assert "each of these 4 carries the right label" in card
    approve(high_risk, reviewer, 1)
    with pytest.raises(UnsignedError):
        order_export(dataset=high_risk, wish=parse_wish("100"))


def test_a_signature_that_lapses_before_the_freeze_lets_nothing_out(
    high_risk: Dataset, reviewer: User
) -> None:
    sign(dataset=high_risk, user=User.objects.get(username="carl.curator"), name="Carla Curie")
    export = order_export(dataset=high_risk, wish=parse_wish("100"))
    approve(high_risk, reviewer, 1)
    freeze(export.pk)
    export.refresh_from_db()
    assert export.state == WorkState.FAILED
    assert "must sign for exactly" in export.error
    assert not export.items.exists()


def test_signing_on_the_page(high_risk: Dataset, client: Client) -> None:
    client.force_login(User.objects.get(username="carl.curator"))
    page = reverse("exports", args=[high_risk.slug])
    assert "nothing leaves until somebody signs" in client.get(page).content.decode()
    answer = client.post(page, {"split": "100", "format": "csv", "encoding": "original"})
    assert answer.status_code == 422
    assert "must sign for exactly" in answer.content.decode()
    to_sign = reverse("export-sign", args=[high_risk.slug])
    assert "full name" in client.post(to_sign, {"name": " "}, follow=True).content.decode()
    answer = client.post(to_sign, {"name": "Carla  Curie"}, follow=True)
    assert "Signed by Carla Curie" in answer.content.decode()
    assert client.get(to_sign).status_code == 405
    answer = client.post(page, {"split": "100", "format": "csv", "encoding": "original"})
    assert answer.status_code == 302


def test_who_may_not_settle_disagreements_cannot_sign(high_risk: Dataset, client: Client) -> None:
    to_sign = reverse("export-sign", args=[high_risk.slug])
    client.force_login(User.objects.get(username="rita.reviewer"))
    assert client.post(to_sign, {"name": "Rita"}).status_code == 403
    client.force_login(make_user("stranger"))
    assert client.post(to_sign, {"name": "Nobody"}).status_code == 404


# --- Nothing private leaves -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("/srv/models/sd-turbo", "sd-turbo"),
        ("~/models/sd turbo", "sd turbo"),
        (r"C:\\Users\\ada\\model", "model"),
        ("CLIP /srv/models/ViT-B-32", "CLIP ViT-B-32"),
        ("stabilityai/sd-turbo", "stabilityai/sd-turbo"),
        ("ViT-B-32 laion2b", "ViT-B-32 laion2b"),
        ("", ""),
    ],
)
def test_models_are_named_without_their_folders(name: str, left: str) -> None:
    assert without_folders(name) == left


@every_format
def test_no_path_no_user_and_no_key_is_in_any_file(
    dataset: Dataset, reviewer: User, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-test-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    image = make_approved_image(
        dataset.classes.first(),
        reviewer,
        model="/srv/private/models/painter",
        model_version="/srv/private/models/v2",
        source_name="/home/ada/holiday/beach.png",
    )
    make_score(image, version=make_version(name="CLIP /srv/private/judge", model="/srv/private/x"))
    approve(dataset, reviewer)
    sign(dataset=dataset, user=User.objects.get(username="carl.curator"), name="Carla Curie")
    export = frozen(dataset, forms=[Form(name), Form(name, "webp-16px")])
    assert Export.objects.get(pk=export.pk).facts["signature"]["name"] == "Carla Curie"
    from synthreview.export.jobs import write_package

    private = [
        *(user.username for user in User.objects.all()),
        "rita@example.org",
        key,
        django_settings.SECRET_KEY,
        str(django_settings.DATA_DIR),
        str(django_settings.EXPORTS_DIR),
        str(django_settings.BASE_DIR),
        str(Path.home()) + "/",
        "/srv/private",
        "/home/ada",
    ]
    for package in export.packages.all():
        write_package(package.pk)
        for path, data in all_files(folder_of(package)).items():
            for word in private:
                assert word.encode() not in data, f"{word} is in {path}"
                assert word not in path
