"""Verbs of prompting: write, change and approve captions, and take in what became of them."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.lib.text import normalised, text_key
from synthreview.prompting import gate
from synthreview.prompting.briefs import Brief
from synthreview.prompting.coverage import Coverage
from synthreview.prompting.drafting import Drafted, author, draft, sizes
from synthreview.prompting.learning import Tally
from synthreview.prompting.models import (
    MeaningCheck,
    Prompt,
    PromptOutcome,
    PromptState,
    Writing,
)
from synthreview.prompting.planning import Shelf
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN
from synthreview.prompting.wishes import Wish
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, many, record

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a wish: the prompts stored, how many were asked for, and what was not kept.

    `flagged` are stored too, always as drafts. Every reason is a code and a sentence.
    `coverage` goes by the primary key of the class that was asked for.
    """

    writing: Writing
    prompts: list[Prompt]
    dropped: list[tuple[LabelClass, gate.Judged]] = field(default_factory=list)
    coverage: Mapping[int, Coverage] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        return self.writing.asked

    @property
    def pairs(self) -> tuple[int, int]:
        """How many pairs of values meet in the captions, and how many can, over all classes."""
        covered = self.coverage.values()
        return sum(one.pairs_covered for one in covered), sum(one.pairs_total for one in covered)

    @property
    def notes(self) -> list[str]:
        notes: list[str] = self.writing.notes
        return notes


def write_prompts(
    wish: Wish,
    *,
    author_alias: str = "wordlists",
    brief: Brief | None = None,
    state: str = PromptState.DRAFT,
    created_by: User | None = None,
) -> Written:
    """Write and store up to `count` new prompts, by an author that answers at once.

    What the gate flags becomes a draft, whatever `state` says. Authors that need a worker are
    sent to one by `ordering.order_writing`. Raises as `drafting.draft` does.
    """
    drafted = draft(wish, author_alias=author_alias, brief=brief)
    return store(wish, drafted, author_alias=author_alias, state=state, created_by=created_by)


def store(
    wish: Wish,
    drafted: Drafted,
    *,
    author_alias: str,
    state: str = PromptState.DRAFT,
    created_by: User | None = None,
) -> Written:
    """Store what was drafted: the captions that passed, and a record of the writing."""
    with transaction.atomic():
        writing = Writing.objects.create(
            dataset=wish.dataset,
            technique=wish.technique,
            author=author_alias,
            author_version=author(author_alias).version,
            wish=wish.facts(),
            state=state,
            asked=wish.count,
            written=0,
            notes=list(drafted.notes),
            created_by=created_by,
        )
        prompts = add_to_writing(writing, drafted.judged)
        note_writing(writing, by=created_by)
    return Written(writing, prompts, drafted.dropped, drafted.coverage)


def note_writing(writing: Writing, *, by: User | None) -> None:
    """Put on record who had something written."""
    names = ("technique", "author", "asked", "written", "estimated_micro_usd")
    record(Act.PROMPTS_WRITTEN, writing, after=facts(writing, *names), by=by)


def add_to_writing(
    writing: Writing, judged: Sequence[tuple[LabelClass, gate.Judged]]
) -> list[Prompt]:
    """Store the captions that passed the gate, and note those that did not; in a transaction.

    What somebody stored while a model was writing is left out.
    """
    # Two answers of one writing may come at the same time.
    Writing.objects.select_for_update().get(pk=writing.pk)
    writing.refresh_from_db(fields=["written", "dropped_count", "dropped"])
    made: dict[tuple[int, str], Prompt] = {}
    dropped = []
    for label_class, one in judged:
        if one.outcome is gate.Outcome.DROPPED:
            reasons = _as_flags(one.reasons)
            dropped.append(
                {"class": label_class.name, "text": one.caption.text, "reasons": reasons}
            )
            continue
        key = text_key(one.caption.text)
        made[label_class.pk, key] = Prompt(
            dataset_id=writing.dataset_id,
            label_class=label_class,
            technique=writing.technique,
            text=one.caption.text,
            text_key=key,
            slots=dict(one.caption.slots),
            template=one.caption.template,
            flags=_as_flags(one.reasons),
            state=PromptState.DRAFT if one.reasons else writing.state,
            author=writing.author,
            author_version=writing.author_version,
            created_by_id=writing.created_by_id,
            writing=writing,
        )
    rows = Prompt.objects.filter(dataset=writing.dataset_id, technique=writing.technique)
    keys = [key for _, key in made]
    for start in range(0, len(keys), BATCH):
        there = rows.filter(text_key__in=keys[start : start + BATCH]).order_by()
        for pair in there.values_list("label_class_id", "text_key"):
            made.pop(pair, None)
    prompts = Prompt.objects.bulk_create(list(made.values()))
    writing.written += len(prompts)
    writing.dropped_count += len(dropped)
    writing.dropped = [*writing.dropped, *dropped][: Writing.DROPPED_KEPT]
    writing.save(update_fields=["written", "dropped_count", "dropped"])
    return prompts


def _as_flags(reasons: Iterable[gate.Reason]) -> list[list[str]]:
    return [[reason.code, reason.text] for reason in reasons]


def share_out(
    wish: Wish, techniques: Sequence[str] = WRITTEN, *, shelf: Shelf | None = None
) -> list[Wish]:
    """Return a wish for each technique, poor ones first, that have `count` captions together.

    The richest technique, which has the most axes, gets what every pair of values needs, and
    what the others cannot use. Raises as `sizes` does.
    """
    shelf = shelf or Shelf(wish.dataset)
    wishes = [
        dataclasses.replace(wish, technique=technique, templates=(), count=0)
        for technique in dict.fromkeys(techniques)
    ]
    by_class = {one.technique: sizes(one, shelf=shelf) for one in wishes}
    combinations = {key: sum(size for size, _ in found) for key, found in by_class.items()}
    # By the number of slots: adversarial prompts have many combinations, and few axes.
    wishes.sort(key=lambda w: (len(TECHNIQUES[w.technique].axes), combinations[w.technique]))
    needed = sum(-(-9 * for_pairs // 8) for _, for_pairs in by_class[wishes[-1].technique])
    others = max(1, len(wishes) - 1)
    share = max(0, wish.count - needed) // others
    counts = [min(share, combinations[one.technique]) for one in wishes[:-1]]
    counts.append(wish.count - sum(counts))
    return [
        dataclasses.replace(one, count=count) for one, count in zip(wishes, counts, strict=True)
    ]


def write_set(
    wish: Wish,
    *,
    techniques: Sequence[str] = WRITTEN,
    state: str = PromptState.DRAFT,
    created_by: User | None = None,
) -> dict[str, Written]:
    """Write `count` prompts by word lists, shared over techniques as `share_out` says.

    What one cannot use goes to the last, which alone has every axis; one without a share is not
    in the answer. All of it is stored, or nothing. Raises as `draft` does.
    """
    left, drafts = wish.count, list[tuple[Wish, Drafted]]()
    *poor, rich = share_out(wish, techniques)
    for one in poor:
        if one.count:
            drafts.append((one, draft(one)))
            left -= len(drafts[-1][1].passed)
    rich = dataclasses.replace(rich, count=left)
    drafts.append((rich, draft(rich)))
    with transaction.atomic():
        return {
            one.technique: store(
                one, drafted, author_alias="wordlists", state=state, created_by=created_by
            )
            for one, drafted in drafts
        }


@transaction.atomic
def edit_prompt(prompt: Prompt, text: str) -> Prompt:
    """Change a caption's words; slots whose words are gone from it are dropped.

    What made somebody look at the old words is forgotten, and the new ones are looked at.
    Raises IntegrityError where the class has this caption already.
    """
    before = facts(prompt, "text", "slots")
    prompt.text = text
    key = normalised(text)
    prompt.slots = {
        slot: words
        for slot, words in prompt.slots.items()
        # Whole words: "red" is not in "hundred".
        if re.search(rf"(?<!\w){re.escape(normalised(words))}(?!\w)", key)
    }
    names = (prompt.label_class.name, *prompt.label_class.synonyms, *prompt.slots.values())
    prompt.flags = _as_flags(gate.flags(text, allowed=names))
    prompt.save()
    record(Act.PROMPT_CHANGED, prompt, before=before, after=facts(prompt, "text", "slots"))
    return prompt


@transaction.atomic
def set_prompt_state(prompts: Iterable[int], *, dataset: Dataset, state: PromptState) -> int:
    """Approve, retire or reopen prompts of one dataset; returns how many changed."""
    rows = Prompt.objects.filter(dataset=dataset).exclude(state=state)
    chosen = sorted(prompts)
    # In batches: a database takes only so many numbers in one statement.
    batches = [chosen[start : start + BATCH] for start in range(0, len(chosen), BATCH)]
    before = {
        key: was
        for batch in batches
        for key, was in rows.filter(pk__in=batch).values_list("pk", "state").order_by()
    }
    changed = sum(rows.filter(pk__in=batch).update(state=state) for batch in batches)
    if changed:
        record(
            Act.PROMPTS_STATE_SET,
            dataset,
            dataset=dataset.pk,
            before={"states": dict(Counter(before.values()))},
            after=many(before, state=str(state)),
        )
    return changed


@transaction.atomic
def take_near_duplicates(found: Mapping[int, gate.Reason]) -> int:
    """Note on prompts, by primary key, that another one means nearly the same; returns how many.

    A draft of an author is retired by it, and a person can bring it back; what a person wrote,
    approved or had drawn is only flagged.
    """
    rows = list(Prompt.objects.select_for_update().filter(pk__in=found))
    has_images = set(PromptOutcome.objects.filter(prompt__in=rows).values_list("pk", flat=True))
    for prompt in rows:
        kept = [flag for flag in prompt.flags if flag[0] != gate.NEAR_MEANING]
        prompt.flags = [*kept, *_as_flags([found[prompt.pk]])]
        is_an_authors = prompt.writing_id is not None and prompt.pk not in has_images
        if prompt.state == PromptState.DRAFT and is_an_authors:
            prompt.state = PromptState.RETIRED
    Prompt.objects.bulk_update(rows, ["flags", "state"], batch_size=BATCH)
    return len(rows)


def record_meaning_check(
    dataset_id: int, *, model: str, threshold: float, compared: int, unknown: int
) -> None:
    """Remember how far the dataset's captions were compared by meaning; totals, not added."""
    facts = {"model": model, "threshold": threshold, "compared": compared, "unknown": unknown}
    MeaningCheck.objects.update_or_create(dataset_id=dataset_id, defaults=facts)


def record_outcomes(tallies: Mapping[int, Tally]) -> int:
    """Remember what people made of the images of these prompts, given by primary key.

    The stage in which they decide calls it. The tallies are whole, not added, so telling them
    again changes nothing. Prompts that are gone are left out. Returns how many changed.
    """
    changed = 0
    pks = sorted(tallies)
    for start in range(0, len(pks), BATCH):
        wanted = pks[start : start + BATCH]
        known = PromptOutcome.objects.in_bulk(wanted)
        news = {pk for pk in wanted if tallies[pk] != (known[pk].tally if pk in known else Tally())}
        if not news:  # nothing is written, so nobody waits
            continue
        with transaction.atomic():
            there = Prompt.objects.filter(pk__in=news).order_by().values_list("pk", flat=True)
            rows = [
                PromptOutcome(
                    prompt_id=pk, approved=tallies[pk].approved, rejected=tallies[pk].rejected
                )
                for pk in there
            ]
            PromptOutcome.objects.bulk_create(
                rows,
                update_conflicts=True,
                unique_fields=["prompt"],
                update_fields=["approved", "rejected"],
            )
        changed += len(rows)
    return changed
