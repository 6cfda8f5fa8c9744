"""The datasheet of an export: the questions whose answers are known, and those that are not.

Source: Gebru et al., "Datasheets for Datasets" (Communications of the ACM, 2021), its seven
groups of questions. What only the publisher knows is asked and left open.
"""

from __future__ import annotations

from synthreview.export.writers.base import ExportFacts
from synthreview.lib.text import one_line

OPEN = "*To be answered by whoever publishes it.*"


def datasheet_text(facts: ExportFacts) -> str:
    """Return the datasheet as Markdown."""
    groups: dict[str, list[tuple[str, str]]] = {
        "Motivation": [
            ("For what purpose was it made?", one_line(facts.description) or OPEN),
            ("Who made it, and who paid for it?", OPEN),
        ],
        "Composition": [
            ("What is an instance?", "An image with one class as its label."),
            ("How many are there?", _counts(facts)),
            (
                "Is it a sample of a larger set?",
                (
                    "Of all that were drawn, those that were approved, or that a certificate "
                    f"vouches for. Filters: {one_line(str(facts.review.get('filters', 'none')))}."
                ),
            ),
            (
                "Are there recommended splits?",
                (
                    f"{', '.join(facts.splits)}. No family of images (parents, shared seeds, "
                    "near-duplicates) is parted by them."
                ),
            ),
            ("Are there errors or noise?", _errors(facts)),
            ("Does it relate to people?", f"The images are synthetic. {OPEN}"),
        ],
        "Collection process": [
            ("How were the instances made?", _making(facts)),
            ("Who judged them?", _judges(facts)),
            ("When?", f"The list was frozen on {facts.created}."),
        ],
        "Preprocessing, cleaning, labelling": [
            (
                "Was any done?",
                (
                    "Labels come from the captions and were judged as told. The manifest says "
                    "of each file whether it is the original or encoded anew."
                ),
            ),
            ("Is the raw data kept?", "Originals are named by their checksums in the manifest."),
        ],
        "Uses": [
            ("What is it fit for?", "Training image classifiers of these classes."),
            (
                "What should it not be used for?",
                " ".join(one_line(notice) for notice in facts.notices)
                or "Measuring how well a model does on real images: these are synthetic.",
            ),
        ],
        "Distribution": [
            ("Under which licence?", one_line(facts.licence) or OPEN),
            ("By whom, and where?", OPEN),
        ],
        "Maintenance": [
            ("Who keeps it, and how are they reached?", OPEN),
            (
                "Will it be changed?",
                (
                    f"This is export {facts.number}, which never changes; SHA256SUMS tells a copy "
                    "that did."
                ),
            ),
        ],
    }
    lines = [f"# Datasheet: {one_line(facts.title)}, export {facts.number}"]
    for group, questions in groups.items():
        lines.append(f"## {group}")
        lines += [f"**{question}** {answer}" for question, answer in questions]
    return "\n\n".join(lines) + "\n"


def _counts(facts: ExportFacts) -> str:
    by_class = ", ".join(
        f"{one_line(name)} {sum(counts.values()):,}" for name, counts in facts.counts.items()
    )
    return f"{facts.item_count:,}: {by_class}."


def _errors(facts: ExportFacts) -> str:
    said = one_line(str(facts.review.get("label error", "")))
    caveats = " ".join(one_line(caveat) for caveat in facts.certificate.get("caveats", ()))
    return f"Label error: {said}. {caveats}".strip() if said else OPEN


def _making(facts: ExportFacts) -> str:
    models = ", ".join(
        f"{one_line(name)} ({count:,})" for name, count in facts.tables.get("model", {}).items()
    )
    techniques = ", ".join(
        f"{one_line(name)} ({count:,})" for name, count in facts.tables.get("technique", {}).items()
    )
    return (
        f"Drawn from captions by {models or 'the generators of the manifest'}; "
        f"techniques: {techniques or 'see the manifest'}. The manifest has every caption and seed."
    )


def _judges(facts: ExportFacts) -> str:
    review = facts.review
    judged = (
        f"{review.get('reviewers', 'Several')} reviewers, "
        f"{review.get('reviews per image', 'one or more')} of them per image; "
        f"{facts.unreviewed:,} images were looked at by nobody."
    )
    if facts.signature:
        judged += f" {one_line(facts.signature['name'])} signed for the labels."
    return judged
