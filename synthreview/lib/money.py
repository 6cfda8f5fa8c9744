"""Money in whole millionths of a dollar: exact on every database, and enough for one token."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal

MICRO_PER_USD = 1_000_000


def micro_usd(usd: Decimal | str | float) -> int:
    """Return dollars as millionths, rounded up: an estimate is never too low.

    Raises decimal.InvalidOperation for what is no number.
    """
    return int((Decimal(str(usd)) * MICRO_PER_USD).to_integral_value(ROUND_UP))


def dollars(micro: int) -> str:
    """Return an amount to be read: "$12.30"; small ones keep the places that matter."""
    sign, usd = "-" if micro < 0 else "", Decimal(abs(micro)) / MICRO_PER_USD
    places = 2 if usd >= 1 or micro % 10_000 == 0 else 1 - usd.adjusted()
    shown = f"{usd:,.{min(places, 6)}f}"
    return f"{sign}${shown}"
