"""The scanner without a compiler: protobuf's own C parser over a slim schema, the same answers as the compiled one.

Chunks are the same bytes too, but for tags and lengths around sections and spans: where those came in more bytes than
they need, they are written anew. All that they enclose travels as it came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from sampler.otlp.annotate import annotate
from sampler.otlp.annotation import AnnotateResult, Annotation
from sampler.otlp.errors import ScanError, growth_error, max_grown_bytes
from sampler.otlp.evaluate import Evaluation, Owner, evaluation_of
from sampler.otlp.partition import Hasher, check_hasher, plain_partition_of
from sampler.otlp.plan import ScanPlan
from sampler.otlp.results import ScanResult, SplitResult
from sampler.otlp.schema import SLIM
from sampler.otlp.sections import Scopes, SlimScopes, cut, read, resource_spans
from sampler.otlp.summary import PlainSummary, Summary
from sampler.otlp.walk import find_fault
from sampler.otlp.wire import field, field_size

_check = SLIM["CheckedTracesData"].FromString

_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)

_Part: TypeAlias = tuple[bytes, Scopes]
"""Header of a ResourceSpans; of some of its ScopeSpans the header and some of the spans."""


class _Trace:
    """What a record holds of one trace: whole ResourceSpans, and parts of those that it shares with others."""

    __slots__ = ("pieces", "summary")

    def __init__(self) -> None:
        self.pieces: list[bytes | _Part] = []
        self.summary = PlainSummary()


class UpbScanner:
    """`sampler.otlp.Scanner` on protobuf; what it learns of attributes and headers is kept on the plan."""

    name = "upb"

    def scan(self, plan: ScanPlan, record: bytes) -> ScanResult:
        """Cut a record into one chunk a trace, each with its summary; ScanError where it is no valid TracesData."""
        traces, invalid = _grouped(record, evaluation_of(plan))
        whole = len(traces) == 1 and not invalid
        result: list[tuple[bytes, bytes, Summary]] = []
        for trace_id, trace in traces.items():
            chunk = record if whole else _chunk(trace)
            trace.summary.size_bytes = len(chunk)
            result.append((trace_id, chunk, trace.summary))
        return ScanResult(result, invalid)

    def split(self, request: bytes, partitions: int, hasher: Hasher) -> SplitResult:
        """Pack a request's spans by partition; ScanError where it is no valid TracesData."""
        check_hasher(partitions, hasher)
        traces, invalid = _grouped(request, None)
        parts: dict[int, tuple[list[bytes], list[int]]] = {}
        for trace_id, trace in traces.items():
            chunks, counts = parts.setdefault(plain_partition_of(trace_id, partitions, hasher), ([], []))
            chunks.append(_chunk(trace))
            counts.append(trace.summary.span_count)
        packed = [(partition, b"".join(chunks), sum(counts)) for partition, (chunks, counts) in sorted(parts.items())]
        return SplitResult(packed, sum(count for _, _, count in packed), invalid)

    def annotate(self, chunks: Sequence[bytes], annotation: Annotation, max_size_bytes: int) -> AnnotateResult:
        """The kept trace as it leaves; ScanError where a chunk is no valid TracesData."""
        return annotate(chunks, annotation, max_size_bytes)


def _grouped(record: bytes, evaluation: Evaluation | None) -> tuple[dict[bytes, _Trace], int]:
    """(what each trace has of the record, number of spans with invalid ids)."""
    try:
        _check(record)
    except DecodeError:
        raise find_fault(record) or ScanError(0, "protobuf cannot read it") from None
    traces: defaultdict[bytes, _Trace] = defaultdict(_Trace)
    invalid = repeated = 0
    for content in resource_spans(record):
        header, sections = read(content)
        trace_id = _only_trace(sections)
        if trace_id is None:
            mixed = _Mixed(content, traces)
            owners = [mixed.group(number, spans) for number, (_, spans) in enumerate(sections)]
            invalid += mixed.invalid
            repeated += mixed.header_bytes
        else:
            trace = traces[trace_id]
            trace.pieces.append(content)
            owners = [trace.summary] * len(sections)
        if evaluation is None:
            _count(sections, owners)
        else:
            evaluation.fold(header, sections, owners, content)
    # Spans and the tags and lengths around them take less than twice the record; each header once a trace at most.
    if 2 * len(record) + len(traces) * repeated > max_grown_bytes(len(record)):
        _check_growth(traces, len(record))
    return traces, invalid


def _check_growth(traces: dict[bytes, _Trace], record_size: int) -> None:
    """ScanError where the chunks would take more bytes than they may; nothing is written to find that out."""
    size = sum(_chunk_size(trace) for trace in traces.values())
    if size > max_grown_bytes(record_size):
        raise growth_error(size, record_size)


def _only_trace(sections: SlimScopes) -> bytes | None:
    """The trace of all these spans; None where there are several or none, or one with an invalid id."""
    only: bytes | None = None
    for _, spans in sections:
        for span in spans:
            trace_id, span_id = span.trace_id, span.span_id
            if trace_id != only:
                if only is not None or len(trace_id) != 16 or trace_id == _NO_TRACE:
                    return None
                only = trace_id
            if len(span_id) != 8 or span_id == _NO_SPAN:
                return None
    return only


class _Mixed:
    """A ResourceSpans that holds several traces, or spans with invalid ids, which are left out."""

    def __init__(self, content: bytes, traces: defaultdict[bytes, _Trace]) -> None:
        self.invalid = 0
        self._traces = traces
        self._header, self._scopes = cut(content)
        self._parts: dict[bytes, Scopes] = {}

    @property
    def header_bytes(self) -> int:
        """The size of its header and of those of its scopes."""
        return len(self._header) + sum(len(header) for header, _ in self._scopes)

    def group(self, number: int, spans: Sequence[Any]) -> Owner:
        """Put the spans of a scope with their traces."""
        header, contents = self._scopes[number]
        runs: dict[bytes, tuple[PlainSummary, list[int]]] = {}
        for place, span in enumerate(spans):
            trace_id, span_id = span.trace_id, span.span_id
            if len(trace_id) != 16 or len(span_id) != 8 or trace_id == _NO_TRACE or span_id == _NO_SPAN:
                self.invalid += 1
                continue
            run = runs.get(trace_id)
            if run is None:
                trace = self._traces[trace_id]
                run = runs[trace_id] = trace.summary, []
                if trace_id not in self._parts:
                    self._parts[trace_id] = []
                    trace.pieces.append((self._header, self._parts[trace_id]))
                self._parts[trace_id].append((header, []))
            run[1].append(place)
            self._parts[trace_id][-1][1].append(contents[place])
        return list(runs.values())


def _count(sections: SlimScopes, owners: Sequence[Owner]) -> None:
    """Take no more than the number of the spans into the summaries of their traces."""
    for (_, spans), owner in zip(sections, owners, strict=True):
        for summary, places in [(owner, spans)] if isinstance(owner, PlainSummary) else owner:
            summary.span_count += len(places)


def _chunk(trace: _Trace) -> bytes:
    """The trace's spans as one TracesData; a ResourceSpans that holds only them is copied as it is."""
    chunk = [field(b"\x0a", piece if isinstance(piece, bytes) else _written(piece)) for piece in trace.pieces]
    return chunk[0] if len(chunk) == 1 else b"".join(chunk)


def _written(part: _Part) -> bytes:
    header, scopes = part
    inner = [b"".join([scope_header, *[field(b"\x12", span) for span in spans]]) for scope_header, spans in scopes]
    return b"".join([header, *[field(b"\x12", scope) for scope in inner]])


def _chunk_size(trace: _Trace) -> int:
    """The length of `_chunk(trace)`."""
    return sum(field_size(len(piece) if isinstance(piece, bytes) else _size(piece)) for piece in trace.pieces)


def _size(part: _Part) -> int:
    """The length of `_written(part)`."""
    header, scopes = part
    return len(header) + sum(
        field_size(len(scope_header) + sum(field_size(len(span)) for span in spans)) for scope_header, spans in scopes
    )
