"""What the stored prompts cover of the combinations that a wish leaves open."""

from __future__ import annotations

from collections import defaultdict

from synthreview.catalog.models import LabelClass
from synthreview.lib.text import without_note
from synthreview.prompting.authors.base import WriteRequest
from synthreview.prompting.coverage import Coverage
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.planning import Stock, coverage_of
from synthreview.prompting.techniques import LOOK, TECHNIQUES, LabelRule
from synthreview.prompting.wishes import Wish


def stored_coverages(wish: Wish) -> list[tuple[LabelClass, Coverage]]:
    """Return what each class's prompts, retired ones apart, cover of the wish so far.

    Six queries, whatever the size. Raises ValueError as `Stock` does.
    """
    stock = Stock(wish)
    rows = Prompt.objects.filter(dataset=wish.dataset, technique=wish.technique).order_by()
    rows = rows.exclude(state=PromptState.RETIRED)
    is_carried = TECHNIQUES[wish.technique].label_rule is LabelRule.CARRIER
    said: defaultdict[object, set[tuple[tuple[str, str], ...]]] = defaultdict(set)
    for label_class_id, slots in rows.values_list("label_class", "slots").iterator():
        said[slots.get(LOOK) if is_carried else label_class_id].add(tuple(slots.items()))
    found = []
    for label_class in wish.classes:
        key = without_note(label_class.name) if is_carried else label_class.pk
        request = _request(stock, label_class)
        found.append((label_class, coverage_of(request, map(dict, said[key]))))
    return found


def _request(stock: Stock, label_class: LabelClass) -> WriteRequest:
    return WriteRequest(
        label_class.name,
        stock.templates[0],
        stock.choices(label_class),
        count=0,
        forbidden=stock.forbidden(label_class),
        more_templates=stock.templates[1:],
    )


def stored_coverage(wish: Wish, label_class: LabelClass, *, stock: Stock | None = None) -> Coverage:
    """Return what the class's prompts, retired ones apart, cover of the wish so far.

    `stock` is the wish's, where it was read already. Raises ValueError as `Stock` does.
    """
    stock = stock or Stock(wish)
    request = _request(stock, label_class)
    rows = Prompt.objects.filter(dataset=wish.dataset, technique=wish.technique)
    rows = rows.exclude(state=PromptState.RETIRED).order_by()
    if TECHNIQUES[wish.technique].label_rule is LabelRule.CARRIER:
        rows = rows.filter(slots__look=without_note(label_class.name))
    else:
        rows = rows.filter(label_class=label_class)
    return coverage_of(request, rows.values_list("slots", flat=True).iterator())
