"""What people approve: templates, values, authors and captions by their rate of approval.

Counts come from `PromptOutcome`, which the stage of the decisions fills. What is picked here can
be written more of, or retired.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import F, Q, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import Exact

from synthreview.catalog.models import Dataset
from synthreview.prompting.drafting import author_title
from synthreview.prompting.learning import Rate, Tally, rate_of
from synthreview.prompting.models import Prompt, PromptOutcome, PromptQuerySet, PromptState
from synthreview.prompting.prompt_files import SLOT_NAME
from synthreview.prompting.techniques import TECHNIQUES

SHOWN = 50
WHOLE = "Written whole, without a template"
CANDIDATES = 500  # single captions with most images, of which the best and worst are shown


class Kind(StrEnum):
    """What is ranked; the label heads its table."""

    TEMPLATE = "template"
    VALUE = "value"
    AUTHOR = "author"
    CAPTION = "caption"

    @property
    def label(self) -> str:
        return {
            Kind.TEMPLATE: "Templates",
            Kind.VALUE: "Values of axes",
            Kind.AUTHOR: "Authors",
            Kind.CAPTION: "Single captions",
        }[self]


class PickError(ValueError):
    """What was picked cannot be read or is not there."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One thing that was ranked, by which its prompts are found again.

    `key` is a template, an author, a prompt's primary key; of a value its words in captions.
    `scope` is the template's technique, or the value's axis.
    """

    kind: Kind
    key: str
    scope: str = ""

    def token(self) -> str:
        """Return it as a text for a form."""
        return json.dumps([self.kind, self.scope, self.key], ensure_ascii=False)

    @staticmethod
    def of(token: str) -> Pick:
        """Return what a form sent. Raises PickError."""
        try:
            kind, scope, key = json.loads(token)
            pick = Pick(Kind(kind), key, scope)
        except (ValueError, TypeError, RecursionError) as error:
            raise PickError("What was ticked cannot be read.") from error
        if not all(isinstance(text, str) and "\0" not in text for text in (key, scope)):
            raise PickError("What was ticked cannot be read.")
        is_number = key.isascii() and key.isdecimal() and len(key) < 19
        if (pick.kind is Kind.CAPTION and not is_number) or (
            pick.kind is Kind.VALUE and not SLOT_NAME.fullmatch(scope)
        ):
            raise PickError("What was ticked cannot be read.")
        return pick

    def condition(self) -> Q:
        """Return the filter of its prompts."""
        if self.kind is Kind.TEMPLATE:
            return Q(template=self.key, technique=self.scope)
        if self.kind is Kind.VALUE:
            # Not as a keyword: the axis is somebody's text, and Django reads "__" in those.
            return Q(Exact(KeyTextTransform(self.scope, "slots"), self.key))
        if self.kind is Kind.AUTHOR:
            return Q(author=self.key)
        return Q(pk=int(self.key))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a ranking."""

    pick: Pick
    title: str
    note: str
    tally: Tally
    rate: Rate

    @property
    def token(self) -> str:
        return self.pick.token()


def _line(pick: Pick, title: str, note: str, tally: Tally) -> Line:
    return Line(pick, title, note, tally, rate_of(tally))


@dataclass(frozen=True, slots=True)
class Ranking:
    """The lines of one kind, best first by the lower end of their interval, and how many in all."""

    kind: Kind
    lines: list[Line]
    total: int


def overall(dataset: Dataset) -> Tally:
    """Return what people made of all images that were drawn from the dataset's prompts."""
    rows = PromptOutcome.objects.filter(prompt__dataset=dataset)
    sums = rows.aggregate(approved=Sum("approved"), rejected=Sum("rejected"))
    return Tally(sums["approved"] or 0, sums["rejected"] or 0)


def rankings(dataset: Dataset) -> list[Ranking]:
    """Return the four rankings of a dataset, with four queries."""
    live = PromptOutcome.objects.filter(prompt__dataset=dataset).exclude(
        prompt__state=PromptState.RETIRED
    )
    judged = live.filter(Q(approved__gt=0) | Q(rejected__gt=0)).order_by()
    sums = (Sum("approved"), Sum("rejected"))
    templates = [
        _line(
            Pick(Kind.TEMPLATE, template, technique),
            template or WHOLE,
            TECHNIQUES[technique].title,
            Tally(*counts),
        )
        for template, technique, *counts in judged.values_list(
            "prompt__template", "prompt__technique"
        ).annotate(*sums)
    ]
    authors = [
        _line(Pick(Kind.AUTHOR, author), author_title(author), author, Tally(*counts))
        for author, *counts in judged.values_list("prompt__author").annotate(*sums)
    ]
    captions = [
        _line(
            Pick(Kind.CAPTION, str(pk)),
            text,
            class_name,
            Tally(approved, rejected),
        )
        for pk, text, class_name, approved, rejected in judged.order_by(
            (F("approved") + F("rejected")).desc(), "pk"
        ).values_list("pk", "prompt__text", "prompt__label_class__name", "approved", "rejected")[
            :CANDIDATES
        ]
    ]
    return [
        _ranked(Kind.TEMPLATE, templates),
        _ranked(Kind.VALUE, _values(judged.values_list("prompt__slots", "approved", "rejected"))),
        _ranked(Kind.AUTHOR, authors),
        _ranked(Kind.CAPTION, captions),
    ]


def _values(rows: Any) -> list[Line]:
    tallies: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for slots, approved, rejected in rows.iterator():
        for pair in slots.items():
            tally = tallies[pair]
            tally[0] += approved
            tally[1] += rejected
    return [
        _line(Pick(Kind.VALUE, words, axis), words, axis, Tally(*counts))
        for (axis, words), counts in tallies.items()
    ]


def _ranked(kind: Kind, lines: Sequence[Line]) -> Ranking:
    """Order by the lower end: what is known to be good comes before what was lucky twice.

    Of many the best and the worst are shown.
    """
    ordered = sorted(lines, key=lambda line: (-line.rate.low, -line.rate.mean, line.title))
    if len(ordered) > SHOWN:
        ordered = ordered[: SHOWN // 2] + ordered[-SHOWN // 2 :]
    return Ranking(kind, ordered, len(lines))


# --- What is picked -----------------------------------------------------------------


def titles_of(dataset: Dataset, picks: Iterable[Pick]) -> list[tuple[Pick, str]]:
    """Return each pick with what it is called."""
    picks = list(picks)
    pks = [int(pick.key) for pick in picks if pick.kind is Kind.CAPTION]
    rows = Prompt.objects.filter(dataset=dataset, pk__in=pks).order_by()
    texts = {str(pk): text for pk, text in rows.values_list("pk", "text")}

    def title(pick: Pick) -> str:
        if pick.kind is Kind.CAPTION:
            return texts.get(pick.key, "a caption that is gone")
        return author_title(pick.key) if pick.kind is Kind.AUTHOR else pick.key or WHOLE

    return [(pick, title(pick)) for pick in picks]


def prompts_of(dataset: Dataset, picks: Iterable[Pick]) -> PromptQuerySet:
    """Return the prompts, not yet retired, to which any of the picks applies."""
    found: PromptQuerySet = Prompt.objects.none()
    wanted = Q()
    for pick in picks:
        wanted |= pick.condition()
    if wanted:
        found = Prompt.objects.filter(wanted, dataset=dataset).exclude(state=PromptState.RETIRED)
    return found


def studio_query(dataset: Dataset, picks: Sequence[Pick]) -> list[tuple[str, str]]:
    """Return the fields of the studio's form that ask for more captions like the picks.

    Templates are taken over, values are ticked; a caption brings both, and its class.
    """
    fields: dict[tuple[str, str], None] = {}
    by_words = {
        (axis.name, words): value.name
        for axis in dataset.axes.prefetch_related("values")
        for value in axis.values.all()
        for words in (value.phrase or value.name,)
    }
    templates: dict[str, None] = {}
    pks = [int(pick.key) for pick in picks if pick.kind is Kind.CAPTION]
    captions = Prompt.objects.filter(dataset=dataset, pk__in=pks)
    values = [(pick.scope, pick.key) for pick in picks if pick.kind is Kind.VALUE]
    techniques = [pick.scope for pick in picks if pick.kind is Kind.TEMPLATE]
    templates |= dict.fromkeys(pick.key for pick in picks if pick.kind is Kind.TEMPLATE)
    for prompt in captions:
        fields["classes", str(prompt.label_class_id)] = None
        techniques.append(prompt.technique)
        templates[prompt.template] = None
        values += prompt.slots.items()
    for axis, words in values:
        if name := by_words.get((axis, words)):
            fields[f"axis-{axis}", name] = None
    if techniques:
        fields["technique", techniques[0]] = None
    if text := "\n".join(template for template in templates if template):
        fields["template", text] = None
    return list(fields)
