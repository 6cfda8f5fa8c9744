"""Money in templates: {{ amount_micro_usd|usd }}."""

from __future__ import annotations

from django import template

from synthreview.lib.money import dollars

register = template.Library()


@register.filter
def usd(micro: int | None) -> str:
    """Return millionths of a dollar as "$1.20"."""
    return dollars(micro or 0)
