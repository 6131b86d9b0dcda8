"""What a trace is before it is sent: spans with times relative to the trace's own start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

AttributeValue: TypeAlias = str | bool | int | float
Attributes: TypeAlias = Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a span, `at_ns` after the start of the trace."""

    name: str
    at_ns: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One span; `start_ns` and `end_ns` count from the start of its trace.

    `kind` and `status` are OTLP's numbers (kind 1 INTERNAL, 2 SERVER, 3 CLIENT, 4 PRODUCER, 5 CONSUMER; status 0
    UNSET, 1 OK, 2 ERROR). `parent_id` is empty for a root.
    """

    service: str
    span_id: bytes
    parent_id: bytes
    name: str
    start_ns: int
    end_ns: int
    kind: int = 0
    status: int = 0
    status_message: str = ""
    attributes: Attributes = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace. `spans` may hold exact copies, as a real export does."""

    trace_id: bytes
    spans: tuple[Span, ...]

    @property
    def duration_ns(self) -> int:
        """From the first start to the last end."""
        return max(span.end_ns for span in self.spans) - min(span.start_ns for span in self.spans)

    @property
    def has_error(self) -> bool:
        """Whether a span has the status ERROR."""
        return any(span.status == 2 for span in self.spans)

    @property
    def distinct_spans(self) -> int:
        """Spans, exact copies counted once."""
        return len({span.span_id for span in self.spans})
