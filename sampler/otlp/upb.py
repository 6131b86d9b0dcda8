"""The scanner without a compiler: protobuf's own C parser over a slim schema, the same answers as the compiled one.

Chunks are equal as messages but not always byte for byte: headers of a mixed ResourceSpans are written anew by
protobuf, known fields first. Spans always travel as they came.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from sampler.otlp.annotate import annotate
from sampler.otlp.annotation import AnnotateResult, Annotation, varint
from sampler.otlp.errors import ScanError, growth_error, max_grown_bytes
from sampler.otlp.evaluate import Evaluation, Header, evaluation_of
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
    """One ResourceSpans of the record. `header_bytes` are those of its header and the headers of its scopes."""

    __slots__ = ("content", "header", "header_bytes", "mixed", "trace")

    def __init__(self, content: bytes, header: bytes) -> None:
        self.content = content
        self.header = header
        self.header_bytes = len(header)
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
    repeated = invalid = 0
    for content in _traces_data(record).resource_spans:
        section, left_out = _group_resource(content, evaluation, traces)
        invalid += left_out
        if section.mixed:
            repeated += section.header_bytes
    # Spans and the tags and lengths around them take less than twice the record; each header once a trace at most.
    if 2 * len(record) + len(traces) * repeated > max_grown_bytes(len(record)):
        _check_growth(traces, len(record))
    return traces, invalid


def _check_growth(traces: dict[bytes, _Trace], record_size: int) -> None:
    """ScanError where the chunks would take more bytes than they may; nothing is written to find that out."""
    size = sum(_chunk_size(trace) for trace in traces.values())
    if size > max_grown_bytes(record_size):
        raise growth_error(size, record_size)


def _group_resource(content: bytes, evaluation: Evaluation | None, traces: dict[bytes, _Trace]) -> tuple[_Section, int]:
    """(the section, number of its spans with invalid ids)."""
    message = _resource_spans(content)
    scopes = list(message.scope_spans)
    message.ClearField("scope_spans")
    section = _Section(content, message.SerializeToString())
    resource = evaluation.resource(message, section.header) if evaluation else None
    invalid = 0
    for scope_content in scopes:
        scope_message = _scope_spans(scope_content)
        spans = list(scope_message.spans)
        scope_message.ClearField("spans")
        header = scope_message.SerializeToString()
        scope = evaluation.scope(scope_message, header, resource) if evaluation and resource else None
        section.header_bytes += len(header)
        invalid += _group_spans(spans, section, header, evaluation, scope, traces)
    return section, invalid


def _group_spans(
    spans: list[bytes],
    section: _Section,
    header: bytes,
    evaluation: Evaluation | None,
    surrounding: Header | None,
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
        if evaluation and surrounding:
            evaluation.fold(span, content, surrounding, trace.summary)
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


def _chunk_size(trace: _Trace) -> int:
    """The length of `_chunk(trace)`."""
    size = 0
    for section, scopes in trace.resources:
        content = len(section.content)
        if section.mixed:
            content = len(section.header) + sum(
                _field_size(len(header) + sum(_field_size(len(span)) for span in spans)) for header, spans in scopes
            )
        size += _field_size(content)
    return size


def _field_size(content: int) -> int:
    """The size of a length-delimited field with a one-byte tag."""
    return 1 + len(varint(content)) + content
