"""Traces for the wire tests: builders of bytes, random valid requests, and a re-encoder that only changes the form."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Literal

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData

from sampler.otlp import native
from sampler.otlp.walk import fields
from sampler.otlp.wire import varint

SCANNERS: tuple[Literal["compiled", "upb"], ...] = ("compiled", "upb") if native.COMPILED else ("upb",)
TRACE_A, TRACE_B = bytes(range(1, 17)), bytes(range(21, 37))
SPAN_ID = b"\1\2\3\4\5\6\7\x08"


def field(number: int, content: bytes | int, wire: int | None = None) -> bytes:
    """One field: bytes are length-delimited, integers varints, unless `wire` says otherwise."""
    if isinstance(content, bytes):
        wire = 2 if wire is None else wire
        return varint(number << 3 | wire) + (varint(len(content)) + content if wire == 2 else content)
    return varint(number << 3 | 0) + varint(content)


def attribute(key: str, value: bytes) -> bytes:
    """A KeyValue around an encoded AnyValue."""
    return field(1, key.encode()) + field(2, value)


def text(value: str) -> bytes:
    """An AnyValue with a string."""
    return field(1, value.encode())


def span_bytes(*extra: bytes, trace_id: bytes = TRACE_A, span_id: bytes = SPAN_ID) -> bytes:
    """The content of a span with valid ids and whatever fields are added."""
    return field(1, trace_id) + field(2, span_id) + b"".join(extra)


def record_of(*spans: bytes, resource: bytes = b"", scope: bytes = b"") -> bytes:
    """A TracesData with one resource and scope; the headers are encoded fields."""
    return field(1, resource + field(2, scope + b"".join(field(2, span) for span in spans)))


def own_part(data: TracesData, trace_id: bytes) -> list[ResourceSpans]:
    """What a message holds of one trace, without resources and scopes that have no span of it."""
    parts = []
    for resource_spans in data.resource_spans:
        part = ResourceSpans()
        part.CopyFrom(resource_spans)
        for index in range(len(part.scope_spans) - 1, -1, -1):
            spans = part.scope_spans[index].spans
            for position in range(len(spans) - 1, -1, -1):
                if spans[position].trace_id != trace_id or not valid(spans[position]):
                    del spans[position]
            if not spans:
                del part.scope_spans[index]
        if part.scope_spans:
            parts.append(part)
    return parts


def valid(span: Span) -> bool:
    """Whether both ids are of the right length and not all zero."""
    return len(span.trace_id) == 16 and len(span.span_id) == 8 and any(span.trace_id) and any(span.span_id)


KEYS = ("a", "b", "tier", "service.name", "http.response.status_code", "k" * 300, "")
TEXTS = ("", "x", "vip", "GET /cart", "ä", "x" * 200)
TRACESTATES = (
    "ot=th:8",
    "ot=th:c;rv:0123456789abcd",
    "dd=s:1, ot=rv:ffffffffffffff",
    "ot=th:XYZ;rv:12",
    "vendor=1",
    " ot=th:0;x:y ,dd=t",
    "ot=",
    "ot=rv:00000000000001;th:123456789abcdef",
    ",,",
)


class Generator:
    """Random valid requests; the same seed gives the same request."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.trace_ids = [self.random.randbytes(16) for _ in range(self.random.randint(1, 4))]
        self.invalid_ids = self.random.random() < 0.2

    def request(self) -> TracesData:
        """A request with a handful of spans, some of one trace, some mixed."""
        data = TracesData()
        for _ in range(self.random.randint(0, 3)):
            part = data.resource_spans.add()
            if self.random.random() < 0.8:
                part.resource.SetInParent()
                self.attributes(part.resource.attributes)
                part.resource.dropped_attributes_count = self.random.choice((0, 7))
            part.schema_url = self.random.choice(("", "https://schema"))
            ids = self.trace_ids if self.random.random() < 0.6 else self.trace_ids[:1]
            for _ in range(self.random.randint(0, 3)):
                scope_spans = part.scope_spans.add(schema_url=self.random.choice(("", "u")))
                if self.random.random() < 0.7:
                    scope_spans.scope.name = self.random.choice(TEXTS)
                    self.attributes(scope_spans.scope.attributes)
                for _ in range(self.random.randint(0, 4)):
                    self.span(scope_spans.spans.add(), self.random.choice(ids))
        return data

    def span(self, span: Span, trace_id: bytes) -> None:
        """Fill a span; most fields are sometimes absent."""
        pick = self.random.choice
        span.trace_id, span.span_id = trace_id, self.random.randbytes(8)
        if self.invalid_ids and self.random.random() < 0.3:
            span.trace_id = pick((trace_id, bytes(16), b"", trace_id[:8]))
            span.span_id = pick((bytes(8), b"", b"123456789"))
        span.parent_span_id = pick((b"", bytes(8), SPAN_ID, b"1"))
        span.name, span.kind, span.flags = pick(TEXTS), self.random.randint(0, 5), pick((0, 1, 256, 2**32 - 1))
        if self.random.random() < 0.4:
            span.trace_state = pick(TRACESTATES)
        span.start_time_unix_nano = pick((0, 10, 2**63, 1_700_000_000_000_000_000 + self.random.randrange(10**9)))
        span.end_time_unix_nano = pick((0, 5, 2**64 - 1, 1_700_000_001_000_000_000 + self.random.randrange(10**9)))
        if self.random.random() < 0.5:
            span.status.code, span.status.message = pick((0, 1, 2, 9)), pick(("", "broken"))
        self.attributes(span.attributes)
        for _ in range(self.random.choice((0, 0, 1, 2))):
            event = span.events.add(time_unix_nano=5, name=pick(TEXTS))
            self.attributes(event.attributes)
        if self.random.random() < 0.2:
            link = span.links.add(trace_id=trace_id, span_id=SPAN_ID, flags=3)
            self.attributes(link.attributes)

    def attributes(self, into: Iterable[KeyValue]) -> None:
        """Add a few attributes, with duplicates and values of every type."""
        for _ in range(self.random.choice((0, 1, 3))):
            entry = into.add(key=self.random.choice(KEYS))  # type: ignore[attr-defined]
            if self.random.random() < 0.95:
                self.value(entry.value)

    def value(self, value: AnyValue) -> None:
        """Set one of the kinds of value, or none."""
        match self.random.randint(0, 8):
            case 0 | 1 | 2:
                value.string_value = self.random.choice(TEXTS)
            case 3 | 4:
                value.int_value = self.random.choice((0, 1, 500, 599, -1, 2**63 - 1, -(2**63)))
            case 5:
                value.bool_value = self.random.random() < 0.5
            case 6:
                value.double_value = 1.5
            case 7:
                value.array_value.values.add(string_value="vip")
                value.kvlist_value.values.add(key="a", value=AnyValue(int_value=500))
            case _:
                value.SetInParent()


_INNER = {
    "data": {0x0A: "resource_spans"},
    "resource_spans": {0x0A: "resource", 0x12: "scope_spans"},
    "resource": {0x0A: "attribute"},
    "scope_spans": {0x0A: "scope", 0x12: "span"},
    "scope": {0x1A: "attribute"},
    "span": {0x4A: "attribute", 0x5A: "event", 0x6A: "link", 0x7A: "status"},
    "event": {0x1A: "attribute"},
    "link": {0x22: "attribute"},
    "status": {},
    "attribute": {0x12: "value"},
    "value": {},
}
UNKNOWN = (
    field(100, b"unknown"),
    field(101, 2**64 - 1),
    field(102, bytes(8), 1),
    field(103, bytes(4), 5),
    b"\xc3\x06" + field(1, b"in a group") + b"\xcb\x06\xcc\x06" + b"\xc4\x06",
    field(2**29 - 1, b""),
)


def reencoded(data: bytes, chance: random.Random, kind: str = "data", *, long_lengths: bool = True) -> bytes:
    """The same message in another form: fields in another order, unknown fields put in, lengths in too many bytes.

    Fields of the same number keep their order, because that is part of what a message means.
    """
    parts: dict[int, list[bytes]] = {}
    for part in fields(data, 0, len(data)):
        inner = _INNER[kind].get(part.tag)
        whole = data[part.start : part.end]
        if inner is not None:
            content = reencoded(data[part.value : part.end], chance, inner, long_lengths=long_lengths)
            length = varint(len(content))
            if long_lengths and chance.random() < 0.1:
                length = length[:-1] + bytes([length[-1] | 0x80]) + b"\x00" if len(length) < 5 else length
            whole = varint(part.tag) + length + content
        parts.setdefault(part.tag >> 3, []).append(whole)
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        unknown = chance.choice(UNKNOWN)
        parts.setdefault(int.from_bytes(unknown[:2], "little") + 2**30, []).append(unknown)
    order = [number for number, wholes in parts.items() for _ in wholes]
    chance.shuffle(order)
    queues = {number: iter(wholes) for number, wholes in parts.items()}
    return b"".join(next(queues[number]) for number in order)
