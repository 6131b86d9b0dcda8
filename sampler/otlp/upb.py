"""The scanner without a compiler: protobuf's own C parser over a slim schema, the same answers as the compiled one.

Chunks are equal as messages but not always byte for byte: headers of a mixed ResourceSpans are written anew by
protobuf, known fields first. Spans always travel as they came.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from sampler.otlp.annotate import annotate
from sampler.otlp.annotation import AnnotateResult, Annotation, varint
from sampler.otlp.errors import ScanError
from sampler.otlp.evaluate import Evaluation, evaluation_of
from sampler.otlp.partition import Hasher, check_hasher, plain_partition_of
from sampler.otlp.plan import ScanPlan
from sampler.otlp.results import ScanResult, SplitResult
from sampler.otlp.schema import SLIM
from sampler.otlp.summary import PlainSummary, Summary
from sampler.otlp.walk import find_fault

_check = SLIM["CheckedTracesData"].FromString
_traces_data = SLIM["TracesData"].FromString
_resource_spans = SLIM["ResourceSpans"].FromString
_scope_spans = SLIM["ScopeSpans"].FromString
_resource = SLIM["Resource"].FromString
_scope = SLIM["Scope"].FromString
_span = SLIM["Span"].FromString

_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)

_Scopes = list[tuple[bytes, list[bytes]]]
"""(header of a ScopeSpans, spans) in order."""


class _Trace:
    """What a record holds of one trace: its ResourceSpans as (header, scopes, whole bytes) with the mark 'mixed'."""

    __slots__ = ("resources", "spans", "summary")

    def __init__(self) -> None:
        self.resources: list[tuple[_Section, _Scopes]] = []
        self.summary = PlainSummary()
        self.spans = 0


class _Section:
    """One ResourceSpans of the record."""

    __slots__ = ("content", "header", "mixed", "trace")

    def __init__(self, content: bytes, header: bytes) -> None:
        self.content = content
        self.header = header
        self.trace: bytes | None = None
        self.mixed = False


class UpbScanner:
    """`sampler.otlp.Scanner` on protobuf; keeps nothing between calls."""

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
            counts.append(trace.spans)
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
    traces: dict[bytes, _Trace] = {}
    invalid = 0
    for content in _traces_data(record).resource_spans:
        invalid += _group_resource(content, evaluation, traces)
    return traces, invalid


def _group_resource(content: bytes, evaluation: Evaluation | None, traces: dict[bytes, _Trace]) -> int:
    message = _resource_spans(content)
    resources = [_resource(resource) for resource in message.resource]
    resource_bits = evaluation.resource(resources) if evaluation else 0
    scopes = list(message.scope_spans)
    message.ClearField("scope_spans")
    section = _Section(content, message.SerializeToString())
    invalid = 0
    for scope_content in scopes:
        scope_message = _scope_spans(scope_content)
        scope_resources = [_scope(scope) for scope in scope_message.scope]
        bits = resource_bits | evaluation.scope(scope_resources) if evaluation else 0
        spans = list(scope_message.spans)
        scope_message.ClearField("spans")
        header = scope_message.SerializeToString()
        invalid += _group_spans(spans, section, header, evaluation, bits, traces)
    return invalid


def _group_spans(
    spans: list[bytes],
    section: _Section,
    header: bytes,
    evaluation: Evaluation | None,
    bits: int,
    traces: dict[bytes, _Trace],
) -> int:
    invalid = 0
    runs: dict[bytes, list[bytes]] = {}
    for content in spans:
        span = _span(content)
        trace_id, span_id = span.trace_id, span.span_id
        if len(trace_id) != 16 or len(span_id) != 8 or trace_id == _NO_TRACE or span_id == _NO_SPAN:
            invalid += 1
            section.mixed = True
            continue
        trace = traces.get(trace_id)
        if trace is None:
            trace = traces[trace_id] = _Trace()
        run = runs.get(trace_id)
        if run is None:
            run = runs[trace_id] = _new_run(trace, trace_id, section, header)
        run.append(content)
        trace.spans += 1
        if evaluation:
            evaluation.fold(span, content, bits, trace.summary)
    return invalid


def _new_run(trace: _Trace, trace_id: bytes, section: _Section, header: bytes) -> list[bytes]:
    if section.trace is None:
        section.trace = trace_id
    elif section.trace != trace_id:
        section.mixed = True
    if not trace.resources or trace.resources[-1][0] is not section:
        trace.resources.append((section, []))
    run: list[bytes] = []
    trace.resources[-1][1].append((header, run))
    return run


def _chunk(trace: _Trace) -> bytes:
    """The trace's spans as one TracesData; a ResourceSpans that holds only them is copied as it is."""
    parts: list[bytes] = []
    for section, scopes in trace.resources:
        content = section.content
        if section.mixed:
            inner = [section.header]
            for header, spans in scopes:
                scope = b"".join([header, *[b"\x12" + varint(len(span)) + span for span in spans]])
                inner.append(b"\x12" + varint(len(scope)) + scope)
            content = b"".join(inner)
        parts.append(b"\x0a" + varint(len(content)) + content)
    return b"".join(parts)
