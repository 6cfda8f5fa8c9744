"""The page of what the prompts cover, with a way to have the rest written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.pages import open_dataset
from synthreview.prompting.coverage import Coverage
from synthreview.prompting.covering import stored_coverages
from synthreview.prompting.forms import MAX_COUNT
from synthreview.prompting.planning import drawable
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN
from synthreview.prompting.wishes import Wish

SHOWN_GAPS = 60
MOST_ASKED = 200
DEFAULT = "environment"


@dataclass(frozen=True, slots=True)
class Covered:
    """What one class's prompts cover. `axes` are (axis, values that occur, all, the missing)."""

    label_class: LabelClass
    coverage: Coverage
    ask_url: str = ""

    @property
    def axes(self) -> list[tuple[str, int, int, list[str]]]:
        return [
            (axis, sum(bool(n) for n in values.values()), len(values), _missing(values))
            for axis, values in self.coverage.values.items()
        ]

    @property
    def gaps(self) -> list[str]:
        return [" with ".join(gap.values()) for gap in self.coverage.gaps[:SHOWN_GAPS]]

    @property
    def more_gaps(self) -> int:
        return max(0, len(self.coverage.gaps) - SHOWN_GAPS)


def _missing(values: Mapping[str, int]) -> list[str]:
    return [name for name, count in values.items() if not count]


@require_GET
def coverage(request: HttpRequest, slug: str) -> HttpResponse:
    """Show, class by class, which values and pairs the prompts of a technique have."""
    dataset, context = open_dataset(request, slug)
    technique = request.GET.get("technique", DEFAULT)
    if technique not in WRITTEN:
        technique = DEFAULT
    known = set(dataset.axes.values_list("name", flat=True))
    varied = [name for name in dict.fromkeys(request.GET.getlist("varied")) if name in known]
    problem, rows = "", list[Covered]()
    try:
        rows = _rows(dataset, technique, varied)
    except ValueError as error:  # no class with a look, no label for adversarial prompts
        problem = str(error)
    gaps = [row for row in rows if row.coverage.gaps]
    context |= {
        "ask_all_url": _ask_url(dataset, technique, varied, gaps) if len(gaps) > 1 else "",
        "techniques": [TECHNIQUES[key] for key in WRITTEN],
        "technique": TECHNIQUES[technique],
        "axes": [(name, name in varied) for name in sorted(known)],
        "varied": varied,
        "rows": rows,
        "problem": problem,
    }
    return render(request, "prompting/coverage.html", context)


def _rows(dataset: Dataset, technique: str, varied: Sequence[str]) -> list[Covered]:
    wish = Wish(
        dataset=dataset,
        classes=drawable(dataset.classes.all()),
        technique=technique,
        count=0,
        axes=tuple(varied) or None,
    )
    rows = [Covered(label_class, found) for label_class, found in stored_coverages(wish)]
    return [replace(row, ask_url=_ask_url(dataset, technique, varied, [row])) for row in rows]


def _ask_url(
    dataset: Dataset, technique: str, varied: Sequence[str], rows: Sequence[Covered]
) -> str:
    """Return the studio's address, filled in to ask for what is missing of these classes."""
    query = QueryDict(mutable=True)
    query["technique"], query["fills_gaps"] = technique, "on"
    query.setlist("classes", [str(row.label_class.pk) for row in rows])
    query.setlist("varied", list(varied))
    # Each class gets the same share, and one caption may fill several gaps.
    most = max(len(row.coverage.gaps) for row in rows)
    query["count"] = str(min(max(1, min(most, MOST_ASKED)) * len(rows), MAX_COUNT))
    return f"{reverse('prompts-write', args=[dataset.slug])}?{query.urlencode()}"
