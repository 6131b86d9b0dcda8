"""The figures of a benchmark, as JSON lines for machines or a table for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]


class Report:
    """Prints rows: at once, one JSON object a line, or as a table at the end."""

    def __init__(self, columns: Sequence[str], as_json: bool) -> None:
        self._columns = columns
        self._as_json = as_json
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        """One figure more."""
        self._rows.append(row)
        if self._as_json:
            print(json.dumps(row), flush=True)

    def finish(self) -> None:
        """Print the table, unless rows went out as JSON."""
        if self._as_json:
            return
        cells = [[_shown(row.get(column)) for column in self._columns] for row in self._rows]
        widths = [max(len(line[i]) for line in [list(self._columns), *cells]) for i in range(len(self._columns))]
        for line in [list(self._columns), *cells]:
            print("  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())

    def note(self, text: str) -> None:
        """Something for people about what goes on."""
        if not self._as_json:
            print(text, flush=True)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
