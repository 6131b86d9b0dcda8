"""Writes the spans of a kept trace in plain Python; byte for byte what `_compiled/annotate.pyx` writes.

A span is copied as it is, without its tracestate where that changes and without attributes of our names; what is
written is appended to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from google.protobuf.message import DecodeError

from sampler.otlp.annotation import AnnotateResult, Annotation, Suffix, suffix_for
from sampler.otlp.errors import ScanError
from sampler.otlp.schema import SLIM
from sampler.otlp.sections import cut, resource_spans
from sampler.otlp.walk import fields, find_span_fault
from sampler.otlp.wire import field, field_size

_TRACE_STATE, _ATTRIBUTE = 0x1A, 0x4A
_MAX_FRAME = 6
"""Bytes of tag and length around a message, at most."""
_slim_span = SLIM["LeavingSpan"].FromString

Section = tuple[int, bytes]
"""A number that no other section of the call has, and the header: every field but the scopes or spans in it."""


def annotate(chunks: Sequence[bytes], annotation: Annotation, max_size_bytes: int) -> AnnotateResult:
    """The kept trace as it leaves; ScanError where a chunk is no valid TracesData."""
    keys = (annotation.rate_attribute.encode(), annotation.policy_attribute.encode())
    suffixes = _Suffixes(annotation)
    seen: set[tuple[bytes, bytes, bytes]] = set()
    copies = 0
    layout = _Layout(max_size_bytes)
    numbers = count()
    for chunk in chunks:
        try:
            for resource, scope, span in _spans(chunk, numbers):
                identity = (resource[1], scope[1], span)
                if identity in seen:
                    copies += 1
                    continue
                seen.add(identity)
                layout.add(resource, scope, _rewritten(span, keys, suffixes, resource[1]))
        except (DecodeError, ScanError):
            raise _fault(chunk) from None
    return AnnotateResult(layout.payloads(), layout.spans, copies, layout.oversize)


class _Suffixes(dict[tuple[bytes, bytes], Suffix]):
    """The suffix of a span, by the header of its resource and its tracestate."""

    def __init__(self, annotation: Annotation) -> None:
        self._annotation = annotation

    def __missing__(self, key: tuple[bytes, bytes]) -> Suffix:
        resource, tracestate = key
        probability = self._annotation.probability_for(resource)
        suffix = self[key] = suffix_for(self._annotation, tracestate, probability)
        return suffix


def divide(payload: bytes, max_size_bytes: int) -> list[bytes]:
    """The spans of a TracesData as they are, in pieces of at most this size; a span that is larger is alone in its own.

    ScanError where it is no valid TracesData.
    """
    layout = _Layout(max_size_bytes)
    try:
        for resource, scope, span in _spans(payload, count()):
            layout.add(resource, scope, span)
    except DecodeError:
        raise _fault(payload) from None
    return [*layout.payloads(), *layout.oversize]


def _fault(chunk: bytes) -> ScanError:
    """Where a chunk that cannot be read goes wrong."""
    return find_span_fault(chunk) or ScanError(0, "protobuf cannot read it")


def _spans(chunk: bytes, numbers: Iterator[int]) -> Iterator[tuple[Section, Section, bytes]]:
    """Every span under its resource and scope sections, which get the next numbers."""
    for content in resource_spans(chunk):
        header, scopes = cut(content)
        resource = (next(numbers), header)
        for scope_header, spans in scopes:
            scope = (next(numbers), scope_header)
            for span in spans:
                yield resource, scope, span


def _rewritten(span: bytes, keys: tuple[bytes, bytes], suffixes: _Suffixes, resource: bytes) -> bytes:
    if keys[0] not in span and keys[1] not in span:
        try:
            if not _slim_span(span).HasField("trace_state"):
                return span + suffixes[resource, b""].fields
        except DecodeError:
            pass  # the walk below judges: it lets groups in attributes be one level deeper
    parts = list(fields(span, 0, len(span)))
    tracestate = b""
    for part in parts:
        if part.tag == _TRACE_STATE:
            tracestate = span[part.value : part.end]
    suffix = suffixes[resource, tracestate]
    kept = []
    for part in parts:
        if part.tag == _TRACE_STATE and not suffix.keep_tracestate:
            continue
        if part.tag == _ATTRIBUTE and _key(span, part.value, part.end) in keys:
            continue
        kept.append(span[part.start : part.end])
    return b"".join([*kept, suffix.fields])


def _key(data: bytes, at: int, end: int) -> bytes:
    key = b""
    for part in fields(data, at, end):
        if part.tag == 0x0A:
            key = data[part.value : part.end]
    return key


class _Layout:
    """Puts spans into payloads of limited size, in order; a span that fits none goes apart."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._payloads: list[bytes] = []
        self._open: list[tuple[Section, Section, bytes]] = []
        self._closed_bytes = 0  # of the open payload: finished ResourceSpans fields
        self._resource_bytes = 0  # of the open ResourceSpans: header and finished ScopeSpans fields
        self._scope_bytes = 0  # of the open ScopeSpans: header and spans
        self._bytes_at_most = 0  # of the open payload
        self.spans = 0
        self.oversize: list[bytes] = []

    def add(self, resource: Section, scope: Section, span: bytes) -> None:
        size = field_size(len(span))
        if self._open and self._open[-1][1][0] == scope[0] and self._bytes_at_most + size <= self._limit:
            self._scope_bytes += size
            self._bytes_at_most += size
            self.spans += 1
            self._open.append((resource, scope, span))
            return
        alone = field_size(len(resource[1]) + field_size(len(scope[1]) + size))
        if alone > self._limit:
            self.oversize.append(_payload([(resource, scope, span)]))
            return
        self.spans += 1
        closed, outer, inner = self._sizes_with(resource, scope, size)
        if self._open and closed + field_size(outer + field_size(inner)) > self._limit:
            self._flush()
            closed, outer, inner = self._sizes_with(resource, scope, size)
        self._closed_bytes, self._resource_bytes, self._scope_bytes = closed, outer, inner
        self._bytes_at_most = closed + outer + inner + 2 * _MAX_FRAME
        self._open.append((resource, scope, span))

    def _sizes_with(self, resource: Section, scope: Section, size: int) -> tuple[int, int, int]:
        """(closed, resource, scope) bytes if a span of `size` came next."""
        if self._open:
            last_resource, last_scope, _ = self._open[-1]
            if last_scope[0] == scope[0]:
                return self._closed_bytes, self._resource_bytes, self._scope_bytes + size
            outer = self._resource_bytes + field_size(self._scope_bytes)
            if last_resource[0] == resource[0]:
                return self._closed_bytes, outer, len(scope[1]) + size
            return self._closed_bytes + field_size(outer), len(resource[1]), len(scope[1]) + size
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
        scopes[-1][1].append(field(b"\x12", span))
    out = []
    for resource, scopes in tree:
        inner = [field(b"\x12", b"".join([scope[1], *spans])) for scope, spans in scopes]
        out.append(field(b"\x0a", b"".join([resource[1], *inner])))
    return b"".join(out)
