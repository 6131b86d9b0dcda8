"""OTLP bytes of the load's spans, put together from templates: building 2 million spans takes seconds, not minutes.

Written without the product's code and without protobuf objects. A span carries ten attributes and is about 380 bytes on
the wire; with its share of the resource that makes the 390 bytes the figures speak of.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

SERVICES = ("storefront", "checkout", "payment", "shipping", "currency", "cart", "email", "catalogue")
ATTRIBUTES_PER_SPAN = 10
VARIANTS = 16
"""Different ordinary spans: attribute values of a real stream repeat."""

ORDINARY, ERROR, SLOW, VIP, SERVER_ERROR = range(5)
"""What is special about a trace: nothing, a span with status ERROR, longer than 1 s, user.tier vip, a status of 5xx."""


def varint(number: int) -> bytes:
    """A non-negative number as a protobuf varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def attribute(number: int, key: str, value: str | int) -> bytes:
    """A KeyValue, as field `number` of its message."""
    inner = field(1, value.encode()) if isinstance(value, str) else b"\x18" + varint(value)
    return field(number, field(1, key.encode()) + field(2, inner))


def _resource(service: str) -> bytes:
    attributes = {"service.name": service, "service.instance.id": f"{service}-7c9d5f6b4-x2kqp"}
    return field(1, b"".join(attribute(1, key, value) for key, value in attributes.items()))


RESOURCES = tuple(_resource(service) for service in SERVICES)
SCOPE = field(1, field(1, b"benchmarks.load"))


def _span_attributes(variant: int, special: int) -> bytes:
    values: dict[str, str | int] = {
        "http.request.method": ("GET", "POST")[variant % 2],
        "http.route": f"/api/v1/orders/{variant:02d}/items",
        "http.response.status_code": 503 if special == SERVER_ERROR else (200, 201, 204, 404)[variant % 4],
        "user.tier": "vip" if special == VIP else ("free", "pro", "team")[variant % 3],
        "server.address": f"node-{variant:02d}.svc.cluster",
        "server.port": 8080 + variant,
        "url.scheme": "https",
        "network.protocol.version": "1.1",
        "app.request.bytes": 1000 + 37 * variant,
        "app.cache.result": ("hit", "miss")[variant // 2 % 2],
    }
    assert len(values) == ATTRIBUTES_PER_SPAN
    return b"".join(attribute(9, key, value) for key, value in values.items())


def _name_and_kind(variant: int) -> bytes:
    return field(5, f"{('GET', 'POST')[variant % 2]} /api/v1/orders/{variant:02d}".encode()) + b"\x30\x02"


NAMES = tuple(_name_and_kind(variant) for variant in range(VARIANTS))
# What follows the times of a span: its attributes and, where it failed, its status.
ENDINGS = tuple(
    tuple(
        _span_attributes(variant, special) + (field(15, b"\x18\x02") if special == ERROR else b"")
        for special in range(5)
    )
    for variant in range(VARIANTS)
)
_TIMES = struct.Struct("<BQBQ").pack


def span(
    trace_id: bytes, span_id: bytes, parent_id: bytes, start_ns: int, end_ns: int, variant: int, special: int
) -> bytes:
    """One span as field 2 of a ScopeSpans; the root has an empty parent."""
    parent = b"\x22\x08" + parent_id if parent_id else b""
    times = _TIMES(0x39, start_ns, 0x41, end_ns)
    name, ending = NAMES[variant], ENDINGS[variant][special]
    length = 28 + len(parent) + len(name) + len(times) + len(ending)
    # Two bytes of length: every span is between 128 and 16,383 bytes.
    return b"".join(
        (
            bytes((0x12, length & 0x7F | 0x80, length >> 7)),
            b"\x0a\x10", trace_id, b"\x12\x08", span_id, parent, name, times, ending,
        )
    )  # fmt: skip


def resource_spans(service: int, spans: Sequence[bytes]) -> bytes:
    """TracesData with one ResourceSpans of these spans; concatenated ones are again TracesData."""
    return field(1, RESOURCES[service] + field(2, SCOPE + b"".join(spans)))
