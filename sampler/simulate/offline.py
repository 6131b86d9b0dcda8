"""Policy sets over one read of spans, by the worker's engine: all is gathered first, then decided as one tick."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.policy_set import Verdict
from sampler.config import PolicyFile
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import AnnotationSettings, EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.otlp import AnnotateResult, Annotation, ScanError, Scanner, ScanPlan, ScanResult, SplitResult, compile_plan
from sampler.otlp.partition import Hasher
from sampler.simulate.inputs import InputError, Record

ENDLESS_MS = 1 << 62
"""A wait that never ends: no trace falls due while the input is read."""
WHOLE_TRACE = (1 << 31) - 1
"""Kept traces are not cut for a broker's limit."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy set made of the input: a verdict for every trace, and the kept traces as they would leave."""

    verdicts: Mapping[bytes, Verdict]
    outputs: Sequence[tuple[bytes, bytes]]
    """(trace id, TracesData); empty where `written` was not asked for."""
    policy_errors: Mapping[str, str]
    """The latest error of each policy that raised."""


class Offline:
    """One policy set at work on an input. `written` asks for kept traces too, which `Outcome.outputs` then holds."""

    def __init__(self, policies: PolicyFile, scanner: Scanner, *, written: bool = False) -> None:
        self.scanner = _OfflineScanner(scanner, written)
        self._policies = policies
        self._offset = 0
        policy_set = policies.policy_set
        self._counts = EngineCounts()
        self._engine = PartitionEngine(
            PartitionStart(partition=0, owner=Owner(0, 0), offset=0),
            offline_settings(policies),
            policy_set,
            self.scanner,
            compile_plan(policy_set.span_conditions),
            ChunkStore(),
            DecisionMemory(),
            self._counts,
        )

    @property
    def invalid_spans(self) -> int:
        """Spans left out so far because their trace or span id is malformed."""
        return self._counts.invalid_spans

    def take(self, record: bytes) -> None:
        """Gather the spans of a request; ScanError where it is no TracesData."""
        # Offline all spans are of one moment: time 0 of the engine.
        self._engine.append([(self._offset, 0, record)], wall_ms=0)
        self._offset += 1
        if self.scanner.failure is not None:
            raise self.scanner.failure

    def finish(self) -> Outcome:
        """Decide every trace on all that was gathered."""
        self._engine.decide_all()
        settlement = self._engine.settle()
        policy_set = self._policies.policy_set
        if settlement is None:
            return Outcome({}, [], {})
        verdicts = {trace_id: verdict for record in settlement.records for trace_id, verdict in record}
        outputs = [*settlement.outputs, *((trace_id, payload) for _, trace_id, payload in settlement.routed)]
        return Outcome(verdicts, outputs, dict(policy_set.last_errors))


class _OfflineScanner:
    """The worker's scanner, which also counts the spans of every trace, and writes kept traces only where asked."""

    def __init__(self, inner: Scanner, written: bool) -> None:
        self.name = inner.name
        self.spans: dict[bytes, int] = {}
        """Spans by trace, in order of first appearance."""
        self.failure: ScanError | None = None
        self._inner = inner
        self._written = written

    def scan(self, plan: ScanPlan, record: bytes) -> ScanResult:
        try:
            result = self._inner.scan(plan, record)
        except ScanError as error:
            # The engine takes it for a dead letter and goes on.
            self.failure = error
            raise
        spans = self.spans
        for trace_id, _, summary in result.traces:
            spans[trace_id] = spans.get(trace_id, 0) + summary.span_count
        return result

    def split(self, request: bytes, partitions: int, hasher: Hasher) -> SplitResult:
        return self._inner.split(request, partitions, hasher)

    def annotate(self, chunks: Sequence[bytes], annotation: Annotation, max_size_bytes: int) -> AnnotateResult:
        if self._written:
            return self._inner.annotate(chunks, annotation, max_size_bytes)
        return AnnotateResult([], 0, 0, [])


def offline_settings(policies: PolicyFile) -> EngineSettings:
    """The engine's settings of a policy file, without its waits: all spans of the input belong together."""
    block = policies.tail_sampling
    return EngineSettings(
        decision_wait_ms=ENDLESS_MS,
        maximum_trace_size_bytes=block.maximum_trace_size_bytes,
        maximum_spans_per_trace=block.maximum_spans_per_trace,
        max_output_bytes=WHOLE_TRACE,
        annotation=AnnotationSettings(
            incoming_probability=policies.incoming_probability,
            incoming_probability_default=policies.incoming_probability_default,
        ),
    )


@dataclass(frozen=True, slots=True)
class Simulation:
    """Spans of each trace, in order of first appearance, and what each policy set made of them."""

    spans: Mapping[bytes, int]
    invalid_spans: int
    outcomes: Sequence[Outcome]


def simulate(
    policies: Sequence[PolicyFile], records: Iterable[Record], scanner: Scanner, *, written: bool = False
) -> Simulation:
    """Run every policy set over one read of `records`; InputError at the first that is no OTLP."""
    runs = [Offline(each, scanner, written=written) for each in policies]
    for record in records:
        for run in runs:
            try:
                run.take(record.value)
            except ScanError as error:
                raise InputError(record.path, record.line, _no_protobuf(record, error)) from error
    outcomes = [run.finish() for run in runs]
    return Simulation(runs[0].scanner.spans if runs else {}, runs[0].invalid_spans if runs else 0, outcomes)


def _no_protobuf(record: Record, error: Any) -> str:
    if record.line:
        return str(error)
    return f"{error} (expected OTLP JSON, one request a line, or one protobuf TracesData)"
