"""Writes the spans of a kept trace in plain Python; byte for byte what `_compiled/annotate.pyx` writes.

A span is copied as it is, without its tracestate where that changes and without attributes of our names; what is
written is appended to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from google.protobuf.message import DecodeError

from sampler.otlp.annotation import AnnotateResult, Annotation, Suffix, suffix_for, varint
from sampler.otlp.schema import SLIM
from sampler.otlp.walk import fields

_RESOURCE_SPANS, _SPANS, _TRACE_STATE, _ATTRIBUTE = 0x0A, 0x12, 0x1A, 0x4A
_slim_span = SLIM["Span"].FromString

Section = tuple[int, bytes]
"""Number of a ResourceSpans or ScopeSpans among those of the call, and its header: every field but the spans."""


def annotate(chunks: Sequence[bytes], annotation: Annotation, max_size_bytes: int) -> AnnotateResult:
    """The kept trace as it leaves; ScanError where a chunk is no valid TracesData."""
    keys = (annotation.rate_attribute.encode(), annotation.policy_attribute.encode())
    suffixes: dict[tuple[bytes, float], Suffix] = {}
    probability_of: dict[bytes, float] = {}
    seen: set[tuple[bytes, bytes, bytes]] = set()
    copies = 0
    layout = _Layout(max_size_bytes)
    for resource, scope, span in _spans(chunks):
        identity = (resource[1], scope[1], span)
        if identity in seen:
            copies += 1
            continue
        seen.add(identity)
        probability = probability_of.get(resource[1])
        if probability is None:
            probability = probability_of[resource[1]] = annotation.probability_for(resource[1])

        def suffix_of(tracestate: bytes, probability: float = probability) -> Suffix:
            key = (tracestate, probability)
            if key not in suffixes:
                suffixes[key] = suffix_for(annotation, tracestate, probability)
            return suffixes[key]

        layout.add(resource, scope, _rewritten(span, keys, suffix_of))
    return AnnotateResult(layout.payloads(), layout.spans, copies, layout.oversize)


def divide(payload: bytes, max_size_bytes: int) -> list[bytes]:
    """The spans of a TracesData as they are, in pieces of at most this size; a span that is larger is alone in its own.

    ScanError where it is no valid TracesData.
    """
    layout = _Layout(max_size_bytes)
    for resource, scope, span in _spans([payload]):
        layout.add(resource, scope, span)
    return [*layout.payloads(), *layout.oversize]


def _spans(chunks: Sequence[bytes]) -> Iterator[tuple[Section, Section, bytes]]:
    """Every span under its resource and scope sections."""
    resources = scopes = 0
    for chunk in chunks:
        for part in fields(chunk, 0, len(chunk)):
            if part.tag != _RESOURCE_SPANS:
                continue
            resources += 1
            header, inner = _cut(chunk, part.value, part.end)
            for start, end in inner:
                scopes += 1
                scope_header, spans = _cut(chunk, start, end)
                for first, last in spans:
                    yield (resources, header), (scopes, scope_header), chunk[first:last]


def _cut(data: bytes, at: int, end: int) -> tuple[bytes, list[tuple[int, int]]]:
    """(header, places of the contents of fields 2) of a ResourceSpans or ScopeSpans."""
    header, inner = [], []
    for field in fields(data, at, end):
        if field.tag == _SPANS:
            inner.append((field.value, field.end))
        else:
            header.append(data[field.start : field.end])
    return b"".join(header), inner


def _rewritten(span: bytes, keys: tuple[bytes, bytes], suffix_of: Callable[[bytes], Suffix]) -> bytes:
    if keys[0] not in span and keys[1] not in span:
        try:
            if not _slim_span(span).HasField("trace_state"):
                return span + suffix_of(b"").fields
        except DecodeError:
            pass  # the walk below finds the place
    parts = list(fields(span, 0, len(span)))
    tracestate = b""
    for field in parts:
        if field.tag == _TRACE_STATE:
            tracestate = span[field.value : field.end]
    suffix = suffix_of(tracestate)
    kept = []
    for field in parts:
        if field.tag == _TRACE_STATE and not suffix.keep_tracestate:
            continue
        if field.tag == _ATTRIBUTE and _key(span, field.value, field.end) in keys:
            continue
        kept.append(span[field.start : field.end])
    return b"".join([*kept, suffix.fields])


def _key(data: bytes, at: int, end: int) -> bytes:
    key = b""
    for field in fields(data, at, end):
        if field.tag == 0x0A:
            key = data[field.value : field.end]
    return key


def _field_size(content: int) -> int:
    return 1 + max(1, (content.bit_length() + 6) // 7) + content


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


class _Layout:
    """Puts spans into payloads of limited size, in order; a span that fits none goes apart."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._payloads: list[bytes] = []
        self._open: list[tuple[Section, Section, bytes]] = []
        self._closed_bytes = 0  # of the open payload: finished ResourceSpans fields
        self._resource_bytes = 0  # of the open ResourceSpans: header and finished ScopeSpans fields
        self._scope_bytes = 0  # of the open ScopeSpans: header and spans
        self.spans = 0
        self.oversize: list[bytes] = []

    def add(self, resource: Section, scope: Section, span: bytes) -> None:
        size = _field_size(len(span))
        alone = _field_size(len(resource[1]) + _field_size(len(scope[1]) + size))
        if alone > self._limit:
            self.oversize.append(_payload([(resource, scope, span)]))
            return
        self.spans += 1
        closed, outer, inner = self._sizes_with(resource, scope, size)
        if self._open and closed + _field_size(outer + _field_size(inner)) > self._limit:
            self._flush()
            closed, outer, inner = self._sizes_with(resource, scope, size)
        self._closed_bytes, self._resource_bytes, self._scope_bytes = closed, outer, inner
        self._open.append((resource, scope, span))

    def _sizes_with(self, resource: Section, scope: Section, size: int) -> tuple[int, int, int]:
        """(closed, resource, scope) bytes if a span of `size` came next."""
        if self._open:
            last_resource, last_scope, _ = self._open[-1]
            if last_scope[0] == scope[0]:
                return self._closed_bytes, self._resource_bytes, self._scope_bytes + size
            outer = self._resource_bytes + _field_size(self._scope_bytes)
            if last_resource[0] == resource[0]:
                return self._closed_bytes, outer, len(scope[1]) + size
            return self._closed_bytes + _field_size(outer), len(resource[1]), len(scope[1]) + size
        return 0, len(resource[1]), len(scope[1]) + size

    def _flush(self) -> None:
        self._payloads.append(_payload(self._open))
        self._open = []

    def payloads(self) -> list[bytes]:
        """Every payload, the open one included."""
        if self._open:
            self._flush()
        return self._payloads


def _payload(entries: Sequence[tuple[Section, Section, bytes]]) -> bytes:
    """The TracesData of spans in order, one ResourceSpans and ScopeSpans for each stretch with the same section."""
    tree: list[tuple[Section, list[tuple[Section, list[bytes]]]]] = []
    for resource, scope, span in entries:
        if not tree or tree[-1][0][0] != resource[0]:
            tree.append((resource, []))
        scopes = tree[-1][1]
        if not scopes or scopes[-1][0][0] != scope[0]:
            scopes.append((scope, []))
        scopes[-1][1].append(_field(b"\x12", span))
    out = []
    for resource, scopes in tree:
        inner = [_field(b"\x12", b"".join([scope[1], *spans])) for scope, spans in scopes]
        out.append(_field(b"\x0a", b"".join([resource[1], *inner])))
    return b"".join(out)
