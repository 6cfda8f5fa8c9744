"""Images and one table, labels.csv: for spreadsheets, pandas and what else reads CSV.

A spreadsheet takes a cell that begins with = + - @ for a formula and would run what somebody
wrote into a caption: such text gets an apostrophe before it (OWASP, "CSV injection"). The
manifest beside the table holds it as it was.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from synthreview.export.writers.base import ExportEntry, ExportFacts, Layout
from synthreview.export.writers.bundle import Bundle, place
from synthreview.export.writers.columns import COLUMNS, flat_row
from synthreview.lib.cells import safe_cell

TABLE = "labels.csv"
LAYOUT = Layout(
    contents=(
        ("images/SPLIT/CLASS/FILE", "the images"),
        (TABLE, "one row for each: file, split, class and history"),
    ),
    loading="""\
import pandas
table = pandas.read_csv("labels.csv")  # file names are those below this folder""",
    pattern="images/{split}/**",
)


class CsvWriter:
    """Text that a spreadsheet would run is prefixed; lists and slots are JSON in a cell."""

    def write(self, folder: Path, entries: Iterable[ExportEntry], facts: ExportFacts) -> None:
        with Bundle(folder, facts) as bundle:
            with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
                table = csv.writer(file, lineterminator="\r\n")
                table.writerow(["file_name", "split", "class", "label", *dict(COLUMNS)])
                for entry in entries:
                    name = f"images/{entry.place}"
                    place(entry, folder / name)
                    bundle.add(entry, name)
                    cells = [name, entry.split, entry.class_name, bundle.label(entry)]
                    cells += flat_row(entry).values()
                    table.writerow([safe_cell(c) if isinstance(c, str) else c for c in cells])
            bundle.add_file(TABLE)
            bundle.finish(LAYOUT)
