"""Cells of tables that leave the house or come back: no spreadsheet takes one for a formula.

OWASP, "CSV injection": what begins with = + - @, a tab or a line break is run, not shown.
"""

from __future__ import annotations

# The apostrophe makes text of a cell; it stands here too, so that one's own comes back.
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def safe_cell(text: str) -> str:
    """Return the text such that no spreadsheet takes it for a formula; see `plain_cell`."""
    return f"'{text}" if text.startswith(_RISKY) else text


def plain_cell(cell: str) -> str:
    """Return the text that `safe_cell` made safe; any other cell stays as it is."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_RISKY) else cell
