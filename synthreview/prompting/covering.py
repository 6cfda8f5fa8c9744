"""What the stored prompts cover of the combinations that a wish leaves open."""

from __future__ import annotations

from synthreview.catalog.models import LabelClass
from synthreview.lib.text import without_note
from synthreview.prompting.authors.base import WriteRequest
from synthreview.prompting.coverage import Coverage
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.planning import Stock, coverage_of
from synthreview.prompting.techniques import TECHNIQUES, LabelRule
from synthreview.prompting.wishes import Wish


def stored_coverage(wish: Wish, label_class: LabelClass, *, stock: Stock | None = None) -> Coverage:
    """Return what the class's prompts, retired ones apart, cover of the wish so far.

    `stock` is the wish's, where it was read already. Raises ValueError as `Stock` does.
    """
    stock = stock or Stock(wish)
    request = WriteRequest(
        label_class.name,
        stock.templates[0],
        stock.choices(label_class),
        count=0,
        forbidden=stock.forbidden(label_class),
        more_templates=stock.templates[1:],
    )
    rows = Prompt.objects.filter(dataset=wish.dataset, technique=wish.technique)
    rows = rows.exclude(state=PromptState.RETIRED).order_by()
    if TECHNIQUES[wish.technique].label_rule is LabelRule.CARRIER:
        rows = rows.filter(slots__look=without_note(label_class.name))
    else:
        rows = rows.filter(label_class=label_class)
    return coverage_of(request, rows.values_list("slots", flat=True).iterator())
