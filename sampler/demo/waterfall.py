"""A trace drawn as a waterfall: one line a span, indented by depth, with a bar for its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sampler.demo.style import Style
from sampler.simulate.kept import KeptSpan
from sampler.tables import duration, shortened

SERVICE_WIDTH = 21
NAME_WIDTH = 38
BAR_WIDTH = 26
MAX_ROWS = 26
MAX_DEPTH = 10
"""Deeper spans are indented like those of this depth."""
REPEATS = 3
"""So many calls of one name in a row are drawn as one line."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line: one span, or `times` of them in a row with all below them left out."""

    service: str
    name: str
    depth: int
    start_ns: int
    end_ns: int
    error: bool
    times: int = 1
    spans: int = 1
    """Spans the line stands for, those below repeated ones included."""


def waterfall(spans: Sequence[KeptSpan], style: Style, max_rows: int = MAX_ROWS) -> list[str]:
    """The lines of a trace, 100 columns wide at most."""
    rows = list(rows_of(spans))
    shown = rows[:max_rows]
    begin = min(row.start_ns for row in rows)
    whole = max(1, max(row.end_ns for row in rows) - begin)
    head = f"  {'service':<{SERVICE_WIDTH}} {'operation':<{NAME_WIDTH}} {'0':<{BAR_WIDTH - 9}}{duration(whole):>9}"
    lines = [style.dim(style.plain(head))]
    lines += [_line(row, begin, whole, style) for row in shown]
    left_out = sum(row.spans for row in rows[max_rows:])
    if left_out:
        lines.append(style.dim(style.plain(f"  … {left_out} more spans")))
    return lines


def rows_of(spans: Sequence[KeptSpan]) -> Iterator[Row]:
    """Depth first, siblings by start. Spans whose parent is not there stand at the top."""
    known = {each.span.span_id for each in spans}
    children: dict[bytes, list[KeptSpan]] = {}
    for each in sorted(spans, key=lambda each: (each.span.start_time_unix_nano, each.span.end_time_unix_nano)):
        parent = each.span.parent_span_id
        top = parent not in known or parent == each.span.span_id
        children.setdefault(b"" if top else parent, []).append(each)
    yield from _below(b"", 0, children, set())


def _below(parent: bytes, depth: int, children: dict[bytes, list[KeptSpan]], seen: set[bytes]) -> Iterator[Row]:
    for group in _runs(children.get(parent, [])):
        if len(group) >= REPEATS:
            hidden = sum(_size(each.span.span_id, children, set()) for each in group)
            yield _row(group, depth, hidden)
            continue
        for each in group:
            if each.span.span_id in seen:
                continue
            seen.add(each.span.span_id)
            yield _row([each], depth, 1)
            yield from _below(each.span.span_id, depth + 1, children, seen)


def _runs(siblings: Sequence[KeptSpan]) -> Iterator[list[KeptSpan]]:
    """Neighbours of the same service and name together."""
    run: list[KeptSpan] = []
    for each in siblings:
        if run and (run[0].service, run[0].span.name) != (each.service, each.span.name):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _size(span_id: bytes, children: dict[bytes, list[KeptSpan]], seen: set[bytes]) -> int:
    """The span and all below it."""
    if span_id in seen:
        return 0
    seen.add(span_id)
    return 1 + sum(_size(each.span.span_id, children, seen) for each in children.get(span_id, []))


def _row(group: Sequence[KeptSpan], depth: int, spans: int) -> Row:
    return Row(
        group[0].service,
        group[0].span.name,
        depth,
        min(each.span.start_time_unix_nano for each in group),
        max(each.span.end_time_unix_nano for each in group),
        any(each.span.status.code == 2 for each in group),
        len(group),
        spans,
    )


def short_name(name: str, width: int) -> str:
    """An operation's name in at most `width` characters; of `package.Service/Method` the end says most."""
    if len(name) <= width or "/" not in name.strip("/"):
        return shortened(name, width)
    owner, _, method = name.strip("/").rpartition("/")
    for text in (f"{owner.rpartition('.')[2]}/{method}", f"…/{method}"):
        if len(text) <= width:
            return text
    return shortened(method, width)


def _line(row: Row, begin: int, whole: int, style: Style) -> str:
    times = f" x{row.times}" if row.times > 1 else ""
    indent = "  " * min(row.depth, MAX_DEPTH)
    name = indent + short_name(row.name, NAME_WIDTH - len(indent) - len(times)) + times
    left = min(BAR_WIDTH - 1, (row.start_ns - begin) * BAR_WIDTH // whole)
    width = min(BAR_WIDTH - left, round((row.end_ns - row.start_ns) * BAR_WIDTH / whole))
    bar = " " * left + ("█" * width or "▏")
    service = shortened(row.service, SERVICE_WIDTH)
    took = duration(row.end_ns - row.start_ns)
    text = style.plain(f"  {service:<{SERVICE_WIDTH}} {name:<{NAME_WIDTH}} {bar:<{BAR_WIDTH}} {took:>8}")
    return style.bad(text + style.plain(" ✗")) if row.error else text
