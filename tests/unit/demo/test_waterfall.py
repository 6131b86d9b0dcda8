"""The waterfall of a trace."""

from __future__ import annotations

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sampler.demo.style import Style
from sampler.demo.waterfall import rows_of, short_name, waterfall
from sampler.simulate.kept import KeptSpan

MS = 1_000_000
BASE = 1_800_000_000_000 * MS


def kept(
    number: int, parent: int, name: str, start_ms: float, end_ms: float, *, service: str = "shop", error: bool = False
) -> KeptSpan:
    """A kept span; parent 0 makes it a root."""
    span = Span(
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        start_time_unix_nano=BASE + round(start_ms * MS),
        end_time_unix_nano=BASE + round(end_ms * MS),
    )
    if error:
        span.status.code = 2  # type: ignore[assignment]
    return KeptSpan(service, span, 1.0, "all")


TRACE = [
    kept(3, 1, "pay", 50, 100, service="payment", error=True),
    kept(1, 0, "GET /", 0, 100, error=True),
    kept(2, 1, "cart", 0, 50, service="cart"),
    kept(4, 2, "HGETALL", 0, 0.1, service="cart"),
]


def test_a_trace_is_drawn_depth_first_with_bars_in_time() -> None:
    """Parents before children, siblings by start, bars where and as long as the spans ran, errors marked."""
    head, *lines = waterfall(TRACE, Style())
    assert head.split() == ["service", "operation", "0", "100", "ms"]
    bar = "█" * 26
    assert lines == [
        f"  shop                  GET /                                  {bar}   100 ms ✗",
        f"  cart                    cart                                 {bar[:13]:<26}  50.0 ms",
        f"  cart                      HGETALL                            {'▏':<26}   100 µs",
        f"  payment                 pay                                  {bar[:13]:>26}  50.0 ms ✗",
    ]


def test_lines_fit_100_columns() -> None:
    """However deep, long-named and many, lines stay within 100 columns, and what is left out is counted."""
    deep = [
        kept(n, n - 1, f"an.operation.with.a.very.long.Name/Method{n}", 0, 5, service="s" * 40) for n in range(1, 60)
    ]
    lines = waterfall(deep, Style(), max_rows=20)
    assert max(map(len, lines)) <= 100
    assert len(lines) == 22
    assert lines[-1].strip() == "… 39 more spans"


def test_repeated_calls_are_one_line() -> None:
    """Three or more neighbours of one name are one line, first start to last end, that stands for all below too."""
    spans = [kept(1, 0, "root", 0, 10)]
    for number in (10, 20, 30):
        spans += [kept(number, 1, "get", number / 10, number / 10 + 1), kept(number + 1, number, "sql", number / 10, 3)]
    first, second = rows_of(spans)
    assert (first.times, first.spans) == (1, 1)
    assert (second.times, second.spans) == (3, 6)
    assert (second.start_ns - BASE, second.end_ns - BASE) == (1 * MS, 4 * MS)
    assert " x3 " in waterfall(spans, Style())[-1]


def test_orphans_and_circles_are_drawn_once() -> None:
    """A span whose parent is missing stands at the top; spans that are their own ancestors end no program."""
    orphan = kept(5, 99, "late", 1, 2)
    assert [row.name for row in rows_of([kept(1, 0, "root", 0, 9), orphan])] == ["root", "late"]
    assert [row.name for row in rows_of([kept(7, 7, "self", 0, 1)])] == ["self"]


def test_plain_terminals_get_ascii() -> None:
    """Where the stream takes no Unicode, bars and marks are ASCII."""
    text = "\n".join(waterfall(TRACE, Style(unicode=False)))
    assert text.isascii()
    assert "#####" in text


def test_names_are_shortened_from_the_front() -> None:
    """Of `package.Service/Method` the package goes first, then the service, then the end."""
    name = "hipstershop.CheckoutService/PlaceOrder"
    assert short_name(name, 38) == name
    assert short_name(name, 30) == "CheckoutService/PlaceOrder"
    assert short_name(name, 20) == "…/PlaceOrder"
    assert short_name(name, 6) == "Place…"
    assert short_name("a plain long name", 8) == "a plain…"
