"""Aligned tables and numbers for people."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 100
"""Columns that everything printed fits into."""


def aligned(rows: Sequence[Sequence[str]], indent: int = 2, gap: int = 3, wide: int = 40) -> list[str]:
    """Rows as lines: the first column to the left, at most `wide` characters, the others to the right.

    A row of one cell is a heading and does not widen the column; an empty row is an empty line.
    """
    body = [row for row in rows if len(row) > 1]
    columns = max((len(row) for row in body), default=0)
    widths = [max((len(row[i]) for row in body if i < len(row)), default=0) for i in range(columns)]
    if widths:
        widths[0] = min(widths[0], wide)
    lines = []
    for row in rows:
        cells = [shortened(row[0], wide).ljust(widths[0])] if len(row) > 1 else list(row)
        cells += [cell.rjust(widths[i]) for i, cell in enumerate(row[1:], start=1)]
        lines.append((" " * indent + (" " * gap).join(cells)).rstrip())
    return lines


def shortened(text: str, width: int) -> str:
    """The text in at most `width` characters, the end marked where it was cut."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def count(number: float) -> str:
    """`12,345`."""
    return f"{number:,.0f}"


def share(part: float, whole: float) -> str:
    """`13.7 %`; a dash where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def deviation(estimated: float, true: float) -> str:
    """`+1.2 %`; `exact` where they are equal."""
    if round(estimated) == round(true):
        return "exact"
    return f"{100 * (estimated - true) / true:+.1f} %" if true else "-"


def duration(nanoseconds: int) -> str:
    """Three figures with their unit: `812 µs`, `3.42 ms`, `1.30 s`."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            value = nanoseconds / size
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f} {unit}"
    return f"{nanoseconds} ns"
