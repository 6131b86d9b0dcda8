"""Cutting a part that is too large for one Kafka record, at borders where OTLP allows it.

A part comes from the scanner: a sequence of ResourceSpans, each with spans of one trace. Only parts beyond the
largest message come here, so this is plain Python on wire bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from sampler.otlp import wire
from sampler.otlp.errors import max_grown_bytes
from sampler.otlp.walk import Field, fields

# Tags of opentelemetry.proto.trace.v1: field number << 3 | length-delimited
SCOPE_SPANS = 0x12  # in ResourceSpans
SPANS = 0x12  # in ScopeSpans


def cut(part: bytes, limit: int) -> tuple[list[bytes], int]:
    """Cut a part into pieces of at most `limit` bytes.

    Returns the pieces, in order, and the number of spans that are in none: those that are longer than the limit with
    their resource and scope. As each piece repeats these, a hostile request could grow without bound: spans whose
    resource and scope alone take more than half of the limit are in no piece either, nor is what comes when the pieces
    have outgrown the part by as much as the scanner allows.
    """
    pieces: list[bytes] = []
    lost = 0
    allowance = max_grown_bytes(len(part))
    for field in fields(part, 0, len(part)):
        if field.end - field.start <= limit:
            pieces.append(part[field.start : field.end])
        else:
            smaller, too_large = _cut_resource_spans(part, field, limit, allowance)
            pieces += smaller
            allowance -= sum(map(len, smaller))
            lost += too_large
    return list(_packed(pieces, limit)), lost


def _packed(pieces: list[bytes], limit: int) -> Iterator[bytes]:
    chunks: list[bytes] = []
    size = 0
    for piece in pieces:
        if chunks and size + len(piece) > limit:
            yield b"".join(chunks)
            chunks, size = [], 0
        chunks.append(piece)
        size += len(piece)
    if chunks:
        yield b"".join(chunks)


def _cut_resource_spans(part: bytes, outer: Field, limit: int, allowance: int) -> tuple[list[bytes], int]:
    fixed, scopes = _without(part, outer, SCOPE_SPANS)
    pieces: list[bytes] = []
    lost = 0
    for scope in scopes:
        scope_fixed, spans = _without(part, scope, SPANS)
        taken: list[bytes] = []
        size = 0
        room = limit - len(_resource_spans(fixed, scope_fixed, [])) - 10  # 10: both lengths may need 5 bytes more
        if room < limit // 2 or allowance < 0:
            lost += len(spans)
            continue
        before = len(pieces)
        for span in spans:
            value = part[span.start : span.end]
            if len(value) > room:
                lost += 1
                continue
            if taken and size + len(value) > room:
                pieces.append(_resource_spans(fixed, scope_fixed, taken))
                taken, size = [], 0
            taken.append(value)
            size += len(value)
        if taken:
            pieces.append(_resource_spans(fixed, scope_fixed, taken))
        allowance -= sum(map(len, pieces[before:]))
    return pieces, lost


def _resource_spans(fixed: bytes, scope_fixed: bytes, spans: list[bytes]) -> bytes:
    scope = scope_fixed + b"".join(spans)
    return wire.field(b"\x0a", fixed + wire.field(b"\x12", scope))


def _without(part: bytes, outer: Field, tag: int) -> tuple[bytes, list[Field]]:
    """The bytes of a message's other fields, and the fields with that tag."""
    others: list[bytes] = []
    found: list[Field] = []
    for field in fields(part, outer.value, outer.end):
        if field.tag == tag:
            found.append(field)
        else:
            others.append(part[field.start : field.end])
    return b"".join(others), found
