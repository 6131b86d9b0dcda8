"""What is known of a trace when it is decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from policies.conditions import Condition, TraceHasRoot, TraceInRange


class Summary(Protocol):
    """The fixed-size record of a trace that the scanner keeps while its spans arrive.

    Zero times are unset and take part in nothing. `bits` has bit i set when span condition i of the running policy set
    held for at least one span. `rv` is the explicit randomness (56 bits) of the tracestate entry `ot=`: the root
    span's, else that of the span with the smallest span id; -1 where no span carries one. `has_threshold`: at least
    one span carries `th`.
    """

    @property
    def start_unix_nano(self) -> int: ...
    @property
    def end_unix_nano(self) -> int: ...
    @property
    def span_count(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def has_error(self) -> bool: ...
    @property
    def has_root(self) -> bool: ...
    @property
    def bits(self) -> int: ...
    @property
    def rv(self) -> int: ...
    @property
    def has_threshold(self) -> bool: ...


NO_SPANS: Callable[[], Sequence[Any]] = tuple


class TraceView:
    """A trace as a policy sees it. Reading is free of side effects; `spans` decodes the payload on first use.

    `spans` is a sequence of `opentelemetry.proto.trace.v1.ResourceSpans` messages, in order of arrival, and is there
    only for policies that declare `reads = Reads.SPANS`.
    """

    __slots__ = ("_bit_of", "_load_spans", "_spans", "summary", "trace_id")

    def __init__(
        self,
        trace_id: bytes,
        summary: Summary,
        bit_of: Mapping[Condition, int],
        load_spans: Callable[[], Sequence[Any]] = NO_SPANS,
    ) -> None:
        self.trace_id = trace_id
        self.summary = summary
        self._bit_of = bit_of
        self._load_spans = load_spans
        self._spans: Sequence[Any] | None = None

    def matches(self, condition: Condition) -> bool:
        """Whether a declared condition holds; an undeclared span condition raises KeyError."""
        if isinstance(condition, TraceInRange):
            number: int = getattr(self, condition.what)
            return condition.low <= number <= condition.high
        if isinstance(condition, TraceHasRoot):
            return self.summary.has_root
        return bool(self.summary.bits >> self._bit_of[condition] & 1)

    @property
    def duration_ms(self) -> int:
        """max(end) - min(start) in whole milliseconds; 0 where no span carries both."""
        return duration_ms(self.summary)

    @property
    def span_count(self) -> int:
        """Spans that arrived, exact copies included."""
        return self.summary.span_count

    @property
    def size_bytes(self) -> int:
        """Bytes of the trace on the wire."""
        return self.summary.size_bytes

    @property
    def spans(self) -> Sequence[Any]:
        """The ResourceSpans of the trace, decoded once."""
        if self._spans is None:
            self._spans = self._load_spans()
        return self._spans


def duration_ms(summary: Summary) -> int:
    """Whole milliseconds between the first start and the last end of a trace; 0 where one of them is unset."""
    start, end = summary.start_unix_nano, summary.end_unix_nano
    return max(0, (end - start) // 1_000_000) if start and end else 0
