"""The README card of an export: what is in it and how its labels came about."""

from __future__ import annotations

from synthreview.export.writers.base import ExportFacts
from synthreview.lib.text import one_line


def card_text(facts: ExportFacts) -> str:
    """Return the card as Markdown with the YAML head that dataset hubs read."""
    splits = sorted({split for counts in facts.counts.values() for split in counts})
    total = sum(sum(counts.values()) for counts in facts.counts.values())
    head = [
        "---",
        "task_categories:",
        "- image-classification",
        "tags:",
        "- synthetic",
        "---",
        f"# {one_line(facts.title)}, export {facts.number}",
        "",
        one_line(facts.description),
        "",
        f"{total} images, frozen on {facts.created}. {_who_looked(total, facts.unreviewed)}",
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
        f"- **{one_line(name)}**: {one_line(definition) or 'no definition given'}"
        for name, definition in facts.classes.items()
    ]
    review = [f"- {one_line(key)}: {value}" for key, value in facts.review.items()]
    contents = [
        "- `split/class/file`: the images, byte for byte as they were made",
        "- `metadata.jsonl`: prompt, technique, generator, seed, score and decisions of each",
        "- `SHA256SUMS`: check the copy with `sha256sum -c SHA256SUMS`",
    ]
    sections = [
        head,
        notices,
        ["## Images", "", *table],
        ["## Classes", "", *classes],
        ["## How they were reviewed", "", *review],
        ["## Files", "", *contents],
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _who_looked(total: int, unreviewed: int) -> str:
    if not unreviewed:
        return "Every one was approved by people."
    return (
        f"{total - unreviewed} of them were approved by people. {unreviewed} were looked at by "
        "nobody: the certificate below vouches for them, as a whole and not one by one."
    )
