"""From a wish to judged captions: plan it, have it written, and pass it through the gate.

Nothing is stored here. Authors that answer at once are asked for everything (`draft`); those
that take their time are asked by a worker, call by call, and `Desk` says what each is asked and
what the gate makes of its answer. `services` and `jobs` store what comes of it.
"""

from __future__ import annotations

import functools
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from django.conf import settings
from django.db.models import Count, F

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.lib.adapters import UnknownAdapterError, load_adapter
from synthreview.prompting import gate
from synthreview.prompting.authors.asking import SHOWN_EXAMPLES
from synthreview.prompting.authors.base import (
    Author,
    Caption,
    Tunable,
    WriteRequest,
    WriteResult,
)
from synthreview.prompting.authors.wordlists import Sheet
from synthreview.prompting.briefs import Brief
from synthreview.prompting.choosing import Strategy
from synthreview.prompting.coverage import Coverage, Row, Space, coverage_of_rows, grid_coverage
from synthreview.prompting.covering import stored_coverage
from synthreview.prompting.learning import Tally, thompson_turns
from synthreview.prompting.models import (
    TUNED,
    Prompt,
    PromptOutcome,
    PromptQuerySet,
    PromptState,
    Tuning,
)
from synthreview.prompting.planning import ClassPlan, Plan, Shelf, Stock, coverage_of, drawable
from synthreview.prompting.techniques import TECHNIQUES, LabelRule
from synthreview.prompting.wishes import Share, Wish
from synthreview.work.models import WorkState

PLANNED_ROWS = 60  # so many of a covering array are made for a plan
PLANNED_KNOWN = 2_000  # up to so many captions of a class are told apart for a plan
NEAR_KNOWN = 5_000  # so many of a class's newest captions are searched for near-duplicates


@functools.cache
def author(alias: str) -> Author:
    """Return the author of that name, tuned ones among them. Raises UnknownAdapterError."""
    if tuning := tuning_of(alias):
        base = author(tuning.base)
        assert isinstance(base, Tunable), "only such are tuned"
        return base.tuned(title=tuning.title, result=tuning.result)
    loaded: Author = load_adapter(settings.AUTHORS, alias, "author")
    return loaded


def tuning_of(alias: str) -> Tuning | None:
    """Return the fine-tuning that made the author; None where it is no tuned one."""
    number = alias.removeprefix(TUNED)
    if number == alias or not (number.isascii() and number.isdecimal() and len(number) < 19):
        return None
    return Tuning.objects.filter(pk=int(number), state=WorkState.DONE).first()


def authors_of(dataset: Dataset) -> list[tuple[str, Author]]:
    """Return who can write for the dataset, by alias: a tuned author writes for its own only."""
    tuned = Tuning.objects.filter(dataset=dataset, state=WorkState.DONE, base__in=settings.AUTHORS)
    aliases = [*settings.AUTHORS, *(one.alias for one in tuned)]
    return [(alias, author(alias)) for alias in aliases]


def server_of(dataset: Dataset, alias: str) -> str:
    """Return the entry of AUTHORS that is asked. Raises UnknownAdapterError: not an author here."""
    tuning = tuning_of(alias)
    if tuning is not None and tuning.dataset_id == dataset.pk:
        return tuning.base
    load_adapter(settings.AUTHORS, alias, "author")
    return alias


def author_title(alias: str) -> str:
    """Return what the author is called; its alias where nobody knows it any more."""
    try:
        return author(alias).title
    except UnknownAdapterError:
        return alias


@dataclass(frozen=True, slots=True)
class Drafted:
    """What an author wrote and what the gate made of it; nothing is stored yet."""

    judged: list[tuple[LabelClass, gate.Judged]]
    notes: tuple[str, ...] = ()
    coverage: Mapping[int, Coverage] = field(default_factory=dict)

    @property
    def passed(self) -> list[tuple[LabelClass, gate.Judged]]:
        return [row for row in self.judged if row[1].outcome is not gate.Outcome.DROPPED]

    @property
    def dropped(self) -> list[tuple[LabelClass, gate.Judged]]:
        return [row for row in self.judged if row[1].outcome is gate.Outcome.DROPPED]


# --- Planning -------------------------------------------------------------------


def sizes(wish: Wish, *, shelf: Shelf | None = None) -> list[tuple[int, int]]:
    """Return of each class how many combinations there are, and captions for every pair.

    Raises ValueError (template, axes, no label).
    """
    desk = Desk(wish, shelf=shelf)
    requests = (desk.request(one, 0, avoid=frozenset()) for one in desk.classes)
    spaces = [Sheet(request).space for request in requests]
    return [(space.size(), space.rows_for_all_pairs()) for space in spaces]


def plan(
    wish: Wish, *, samples: int = 20, brief: Brief | None = None, shelf: Shelf | None = None
) -> Plan:
    """Say what the word lists would write: how many of how many, what it covers, and samples.

    Nothing is stored, and no grid is made to count it. Classes with more than PLANNED_KNOWN
    captions may see one among the samples that they have already.
    Raises ValueError (template, axes, no label).
    """
    desk = Desk(wish, brief, shelf=shelf)
    avoided = desk.known.keys(desk.classes, at_most=PLANNED_KNOWN)
    rows: list[ClassPlan] = []
    shown: list[tuple[LabelClass, Caption]] = []
    spaces: dict[object, Space] = {}
    per_class = -(-samples // len(desk.classes))
    for label_class, share in desk.shares():
        request = desk.request(label_class, share, avoid=avoided[label_class.pk])
        sheet = Sheet(request)
        key = (tuple(sheet.space.axes.items()), desk.stock.forbidden(label_class))
        sheet.space = space = spaces.setdefault(key, sheet.space)
        size = space.size()
        first: list[Caption] = []
        if wish.strategy is Strategy.GRID and share >= size:
            covered, enough = grid_coverage(space), size
            chosen = sheet.choose(per_class)
        else:
            # A long covering array takes too long for a page that follows each key.
            enough = share if wish.strategy is not Strategy.PAIRWISE else min(share, PLANNED_ROWS)
            gap_rows, first = _for_gaps(sheet, request.gaps[:enough])
            chosen = sheet.choose(enough - len(first))
            covered = coverage_of_rows(space, [*gap_rows, *chosen])
        rows.append(
            ClassPlan(
                label_class,
                count=min(share, size),
                combinations=size,
                for_all_pairs=space.rows_for_all_pairs(),
                coverage=covered,
                covered_by=min(enough, size),
            )
        )
        captions = chain(first, sheet.captions(space, chosen))
        for caption in islice(captions, min(per_class, samples - len(shown))):
            judged = gate.Judged(caption, gate.Outcome.KEPT)
            label, one = desk.stock.labelled(label_class, judged)
            shown.append((label, one.caption))
    return Plan(desk.stock.templates, rows, shown)


def _for_gaps(sheet: Sheet, gaps: Iterable[Mapping[str, str]]) -> tuple[list[Row], list[Caption]]:
    """Return a row, in the numbers of the whole space, and a caption for each gap."""
    rows, captions = list[Row](), list[Caption]()
    for gap in gaps:
        space = sheet.space_of(gap)
        for row in sheet.choose(1, space=space):
            captions += sheet.captions(space, [row])
            if (whole := sheet.space.row(space.combination(row))) is not None:
                rows.append(whole)
    return rows, captions


# --- Writing --------------------------------------------------------------------


def draft(wish: Wish, *, author_alias: str = "wordlists", brief: Brief | None = None) -> Drafted:
    """Have the captions written by an author that answers at once, and judged; nothing is stored.

    Raises: ValueError (template, axes, no label), ServiceError, UnknownAdapterError.
    """
    desk, writer = Desk(wish, brief), author(author_alias)
    avoided = desk.known.keys(desk.classes)
    judged: list[tuple[LabelClass, gate.Judged]] = []
    covered: dict[int, Coverage] = {}
    notes: list[str] = []
    for label_class, share in desk.shares():
        if not share:
            continue
        request = desk.request(label_class, share, avoid=avoided[label_class.pk])
        written = writer.write(request)
        notes += [note for note in written.notes if note not in notes]
        labelled = desk.judge(label_class, request, written)
        judged += labelled
        covered[label_class.pk] = coverage_of(
            request,
            [one.caption.slots for _, one in labelled if one.outcome is not gate.Outcome.DROPPED],
        )
    return Drafted(judged, tuple(notes), covered)


class Desk:
    """What is read once for a wish: the dataset's stock, what is known already, what it taught.

    Raises ValueError where the wish cannot be met (template, axes, no class with a look).
    """

    def __init__(
        self,
        wish: Wish,
        brief: Brief | None = None,
        *,
        is_trial: bool = False,
        shelf: Shelf | None = None,
    ) -> None:
        self._wish = wish
        self._brief = brief or Brief()
        self.stock = Stock(wish, shelf)
        self.classes = drawable(wish.classes)
        self.known = _Known(wish.dataset, wish.technique, is_trial=is_trial)
        self._tallies: list[Tally] = []
        if wish.share is Share.LEARNED and len(self.stock.templates) > 1:
            found = PromptOutcome.objects.by_template(wish.dataset, wish.technique)
            self._tallies = [found.get(template, Tally()) for template in self.stock.templates]

    def shares(self) -> Iterator[tuple[LabelClass, int]]:
        """Yield each class with its even share of the captions."""
        whole, over = divmod(self._wish.count, len(self.classes))
        for number, label_class in enumerate(self.classes):
            yield label_class, whole + (number < over)

    def request(
        self, label_class: LabelClass, count: int, *, avoid: frozenset[str]
    ) -> WriteRequest:
        """Return what an author is asked for one class; `part_of` divides it into answers."""
        wish, brief = self._wish, self._brief
        templates = self.stock.templates
        seed = wish.seed ^ zlib.crc32(label_class.slug.encode())
        return WriteRequest(
            class_name=label_class.name,
            synonyms=tuple(label_class.synonyms),
            template=templates[0],
            more_templates=templates[1:],
            turns=thompson_turns(self._tallies, count, seed=seed) if self._tallies else (),
            technique=wish.technique,
            axes=self.stock.choices(label_class),
            forbidden=self.stock.forbidden(label_class),
            strategy=str(wish.strategy),
            count=count,
            seed=seed,
            avoid=avoid,
            language=brief.language or "en",
            open_slot=brief.open_slot,
            instruction=brief.instruction,
            gaps=self._gaps(label_class),
        )

    def request_of_part(
        self, label_class: LabelClass, *, planned: int, start: int, count: int
    ) -> WriteRequest:
        """Return what a language model is asked: a part of what is planned for the class."""
        avoid = self.known.keys([label_class])[label_class.pk]
        whole = self.request(label_class, planned, avoid=avoid)
        approved, rejected = self._examples(label_class)
        return replace(
            whole,
            count=count,
            start=start,
            planned=planned,
            turns=whole.turns[start : start + count],
            approved=approved,
            rejected=rejected,
        )

    def judge(
        self,
        label_class: LabelClass,
        request: WriteRequest,
        written: WriteResult,
        *,
        is_checked: bool = False,
    ) -> list[tuple[LabelClass, gate.Judged]]:
        """Return what the gate makes of an answer, each caption with its true label.

        `is_checked`: its language is looked at although none was set. Word lists are the
        curator's own, in any language.
        """
        brief = self._brief
        names = (request.class_name, *request.synonyms)
        rules = gate.GateRules(
            names=names if TECHNIQUES[request.technique].is_text else (),
            axes={axis: [words for _, words in values] for axis, values in request.axes.items()},
            language=request.language if is_checked or brief.language else "",
            text_threshold=brief.text_threshold,
        )
        result = gate.check(written, rules, known=self.known.newest(label_class))
        return [self.stock.labelled(label_class, one) for one in result.judged]

    def _gaps(self, label_class: LabelClass) -> tuple[Mapping[str, str], ...]:
        if not self._brief.fills_gaps:
            return ()
        return stored_coverage(self._wish, label_class, stock=self.stock).gaps

    def _examples(self, label_class: LabelClass) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return captions that people liked and disliked, by their images or by themselves."""
        if not self._brief.shares_examples:
            return (), ()
        rows = Prompt.objects.filter(label_class=label_class, technique=self._wish.technique)
        more = F("outcome__approved") - F("outcome__rejected")

        def texts(found: PromptQuerySet) -> tuple[str, ...]:
            return tuple(found.values_list("text", flat=True)[:SHOWN_EXAMPLES])

        liked = texts(
            rows.filter(outcome__approved__gt=F("outcome__rejected")).order_by(more.desc(), "pk")
        )
        disliked = texts(
            rows.filter(outcome__approved__lt=F("outcome__rejected")).order_by(more.asc(), "pk")
        )
        # Before any image is judged, what was made of the captions themselves.
        return (
            liked or texts(rows.filter(state=PromptState.APPROVED).order_by("-pk")),
            disliked or texts(rows.filter(state=PromptState.RETIRED).order_by("-pk")),
        )


class _Known:
    """The captions that are there already, by class; of carriers, those of the whole dataset.

    Authors that are compared do not know of each other's.
    """

    def __init__(self, dataset: Dataset, technique: str, *, is_trial: bool = False) -> None:
        self._rows = Prompt.objects.filter(dataset=dataset, technique=technique).order_by()
        if is_trial:
            self._rows = self._rows.exclude(writing__is_trial=True)
        self._is_shared = TECHNIQUES[technique].label_rule in (
            LabelRule.CARRIER,
            LabelRule.CHOSEN,
        )

    def keys(
        self, classes: Sequence[LabelClass], *, at_most: int | None = None
    ) -> Mapping[int, frozenset[str]]:
        """Return, by class, what captions are told apart by; none of a class with more."""
        wanted = {label_class.pk for label_class in classes}
        rows = self._rows if self._is_shared else self._rows.filter(label_class__in=wanted)
        if at_most is not None:
            counts = dict(rows.values_list("label_class").annotate(Count("pk")))
            small = {pk for pk, count in counts.items() if count <= at_most}
            if self._is_shared and sum(counts.values()) > at_most:
                small = set()
            rows = rows.filter(label_class__in=small)
        found: defaultdict[int, set[str]] = defaultdict(set)
        for pk, key in rows.values_list("label_class", "text_key").iterator():
            found[pk].add(key)
        if self._is_shared:
            everything = frozenset(key for keys in found.values() for key in keys)
            return dict.fromkeys(wanted, everything)
        return {pk: frozenset(found[pk]) for pk in wanted}

    def newest(self, label_class: LabelClass) -> list[Caption]:
        rows: PromptQuerySet = self._rows
        if not self._is_shared:
            rows = rows.filter(label_class=label_class)
        found = rows.order_by("-pk").values_list("text", "slots")
        return [Caption(*row) for row in found[:NEAR_KNOWN]]
