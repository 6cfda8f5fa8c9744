"""The README card of an export: what is in it and how its labels came about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from synthreview.export.writers.base import ExportFacts, Layout
from synthreview.lib.licences import licence_of
from synthreview.lib.text import one_line

DATASHEET = "DATASHEET.md"
PLOT = "coverage.svg"
PROVENANCE = "provenance.json"
MOST_ROWS = 40


def card_text(facts: ExportFacts, layout: Layout) -> str:
    """Return the card as Markdown with the YAML head that dataset hubs read."""
    splits = facts.splits
    head = [
        *_yaml(facts, layout),
        f"# {one_line(facts.title)}, export {facts.number}",
        "",
        one_line(facts.description),
        "",
        f"{facts.item_count} images, frozen on {facts.created}. "
        + _who_looked(facts.item_count, facts.unreviewed),
    ]
    notices = [f"> {one_line(notice)}" for notice in facts.notices]
    table = [
        "| class | " + " | ".join(splits) + " | all |",
        "|---|" + "---:|" * (len(splits) + 1),
        *(
            f"| {one_line(name)} | "
            + " | ".join(str(counts.get(split, 0)) for split in splits)
            + f" | {sum(counts.values())} |"
            for name, counts in facts.counts.items()
        ),
    ]
    classes = [
        f"{number}. **{one_line(row.name)}**: {one_line(row.definition) or 'no definition given'}"
        for number, row in enumerate(facts.classes)
    ]
    review = [f"- {one_line(key)}: {value}" for key, value in facts.review.items()]
    contents = [
        *(f"- `{name}`: {what}" for name, what in layout.contents),
        "- `manifest.jsonl`: prompt, technique, generator, seed, cost, scores and decision of each",
        f"- `{DATASHEET}`: the usual questions about a dataset, answered where they can be",
        "- `croissant.json`: the same for machines, as Croissant 1.1",
        f"- `{PROVENANCE}`: every number of this card, unrounded; `{PLOT}`: its picture",
        "- `SHA256SUMS`: check the copy with `sha256sum -c SHA256SUMS`",
    ]
    sections = [
        head,
        notices,
        ["## Images", "", *table, "", f"![Images by class and by value]({PLOT})"],
        ["## Classes", "", "The number is the label in every format.", "", *classes],
        _coverage(facts.tables),
        ["## How they were reviewed", "", *review],
        _certificate(facts.certificate),
        *_findings(facts.findings),
        _signature(facts.signature),
        _licence(facts),
        _splitting(facts.splitting),
        _cost(facts),
        ["## Files", "", *contents],
        ["## Loading", "", "```python", layout.loading, "```"],
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _coverage(tables: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a table for each way to count the images."""
    lines: list[str] = []
    for title, counts in tables.items():
        lines += ["", f"| {one_line(title)} | images |", "|---|---:|"]
        rows = list(counts.items())
        lines += [f"| {one_line(name) or 'none'} | {count:,} |" for name, count in rows[:MOST_ROWS]]
        if len(rows) > MOST_ROWS:
            rest = sum(count for _, count in rows[MOST_ROWS:])
            lines.append(f"| {len(rows) - MOST_ROWS:,} more | {rest:,} |")
    return ["## What they show", *lines] if lines else []


def _certificate(known: Mapping[str, Any]) -> list[str]:
    """Return the certificate's numbers and what it does not promise; nothing without one."""
    if not known:
        return []
    numbers = [
        ("images in its population", f"{known['population']:,}"),
        ("of these exported", f"{known['covered']:,}"),
        ("of these looked at by nobody", f"{known['unseen']:,}"),
        ("exported from outside of it", f"{known['outside']:,}"),
        ("audits (drawn at random)", f"{known['audits']:,}"),
        ("found bad and left out", f"{known['found_bad']:,}"),
        ("confidence", f"{known['confidence']:g}"),
        ("wrong at most, as judged", f"{known['error']:.4f}"),
        (
            "wrong at most, reviewers' mistakes included",
            "not known" if known["true_error"] is None else f"{known['true_error']:.4f}",
        ),
        ("wished at most", f"{known['target']:g}"),
    ]
    return [
        "## Certificate",
        "",
        "| number | |",
        "|---|---:|",
        *(f"| {name} | {value} |" for name, value in numbers),
        "",
        *(f"- {one_line(caveat)}" for caveat in known["caveats"]),
    ]


def _findings(known: Mapping[str, str]) -> list[list[str]]:
    """Return a section for each finding."""
    return [
        [f"## {one_line(heading)}", "", one_line(text)] for heading, text in sorted(known.items())
    ]


def _signature(known: Mapping[str, Any]) -> list[str]:
    """Return who signed for the labels, in their own words; nothing where nobody did."""
    if not known:
        return []
    return [
        "## Signature",
        "",
        f"> {one_line(known['statement'])}",
        "",
        (
            f"Signed by {one_line(known['name'])} on {known['signed_on']}, for {known['images']:,} "
            f"images (list `{known['digest']}`)."
        ),
    ]


def _licence(facts: ExportFacts) -> list[str]:
    """Return under which terms the images may be used; nothing where nobody said so."""
    licence = licence_of(facts.licence)
    if licence is None:
        return []
    is_linked = licence.url and licence.url not in licence.name
    return ["## Licence", "", one_line(licence.name) + (f": <{licence.url}>" if is_linked else "")]


def _cost(facts: ExportFacts) -> list[str]:
    """Return what the images cost; nothing where nothing is known of it."""
    known = facts.cost
    if not known:
        return []
    each = known["dataset_usd"] / facts.item_count if facts.item_count else 0.0
    return [
        "## Cost",
        "",
        (
            f"Drawing these images cost {known['images_usd']:.2f} US dollars. With those that were "
            f"left out, the dataset cost {known['dataset_usd']:.2f} dollars for "
            f"{known['generated']:,.0f} images: {each:.4f} for each exported one. Reviewers' time "
            "is not in it."
        ),
    ]


def _splitting(known: Mapping[str, Any]) -> list[str]:
    """Return how the splits came about; nothing for exports from before that was known."""
    if not known:
        return []
    reached = ", ".join(f"{split} {count:,}" for split, count in known["got"].items())
    lines = [
        f"- wished: {known['wish']}; reached: {reached}",
        f"- {known['families']:,} families, none parted; the largest: {known['largest_family']:,}",
        f"- {known['kept']:,} images keep the split of an earlier export",
        f"- {known['omitted']:,} images are left out because they are near a real test image",
    ]
    if known["merged_count"]:
        lines.append(
            f"- {known['merged_count']:,} families of several earlier splits grew together: all "
            "of each went to the first of train, validation, test"
        )
    return ["## Splits", "", *lines, *(f"- {one_line(note)}" for note in known["notes"])]


def _yaml(facts: ExportFacts, layout: Layout) -> list[str]:
    """Return the head that the Hugging Face Hub reads. JSON strings are YAML strings."""
    head = [
        "---",
        f"pretty_name: {json.dumps(' '.join(facts.title.split()), ensure_ascii=False)}",
        *_licence_for_the_hub(facts),
        "task_categories:",
        "- image-classification",
        "task_ids:",
        "- multi-class-image-classification",
        "annotations_creators:",
        *(["- expert-generated"] if facts.unreviewed < facts.item_count else []),
        *(["- machine-generated"] if facts.unreviewed else []),
        "source_datasets:",
        "- original",
        "tags:",
        "- synthetic",
        "- image",
        "size_categories:",
        f"- {_size_category(facts.item_count)}",
    ]
    if layout.pattern:
        head += ["configs:", "- config_name: default", "  data_files:"]
        for split in facts.splits:
            head += [f"  - split: {split}", f"    path: {layout.pattern.format(split=split)}"]
    return [*head, "---"]


def _licence_for_the_hub(facts: ExportFacts) -> list[str]:
    """Return the head's lines; one that the Hub does not know gets a name, and a link if told."""
    licence = licence_of(facts.licence)
    if licence is None:
        return []
    lines = [f"license: {licence.hub_id}"]
    if licence.hub_id == "other":
        lines.append(f"license_name: {json.dumps(licence.slug)}")
        lines += [f"license_link: {json.dumps(licence.url)}"] if licence.url else []
    return lines


def _size_category(count: int) -> str:
    """Return the Hub's name of a size: "n<1K", "1K<n<10K" and so on."""
    names = ("1K", "10K", "100K", "1M", "10M")
    for number, name in enumerate(names):
        if count < 1_000 * 10**number:
            return f"{names[number - 1]}<n<{name}" if number else f"n<{name}"
    return f"n>{names[-1]}"


def _who_looked(total: int, unreviewed: int) -> str:
    if not unreviewed:
        return "Every one was approved by people."
    return (
        f"{total - unreviewed} of them were approved by people. {unreviewed} were looked at by "
        "nobody: the certificate below vouches for them, as a whole and not one by one."
    )
