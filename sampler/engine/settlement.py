"""What one step of a partition leaves behind for the edges to carry out.

The order matters: produce `outputs`, `routed` and `dead_letters`; when the broker has acknowledged them all, put
`records` into the decision table; only then may the watermark be committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sampler.engine.decision_record import DecisionRecord
from sampler.otlp.services import ServiceCounter


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A payload that cannot be sampled: the offset it came from, where it is a record, and what is wrong with it."""

    offset: int | None
    value: bytes
    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """Outputs (trace id, payload), dead letters, decisions, and the offset below which nothing is open any more.

    `routed` are outputs that go elsewhere: (name of the place, trace id, payload).
    """

    outputs: Sequence[tuple[bytes, bytes]]
    dead_letters: Sequence[DeadLetter]
    records: Sequence[DecisionRecord]
    watermark: int
    routed: Sequence[tuple[str, bytes, bytes]] = ()

    @property
    def written_traces(self) -> set[bytes]:
        """The traces of which something is written out."""
        return {trace_id for trace_id, _ in self.outputs} | {trace_id for _, trace_id, _ in self.routed}


@dataclass(slots=True)
class EngineCounts:
    """What happened since the counts were last collected; plain numbers, because a metric call per span would cost
    more than sampling it.
    """

    records: int = 0
    received_bytes: int = 0
    spans: int = 0
    traces_started: int = 0
    invalid_spans: int = 0
    mispartitioned_spans: int = 0
    replayed_spans: int = 0
    traces_rescanned: int = 0
    span_copies: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    traces_decided: Counter[str] = field(default_factory=Counter)
    spans_decided: Counter[str] = field(default_factory=Counter)
    by_policy: Counter[tuple[str, str]] = field(default_factory=Counter)
    tenant_traces: Counter[tuple[str, str]] = field(default_factory=Counter)
    tenant_spans: Counter[tuple[str, str]] = field(default_factory=Counter)
    budget_traces: Counter[str] = field(default_factory=Counter)
    """Traces that the budget did not keep, by tenant; empty for the default policies."""
    budget_spans: Counter[str] = field(default_factory=Counter)
    early: Counter[str] = field(default_factory=Counter)
    late_spans: Counter[str] = field(default_factory=Counter)
    second_looks: Counter[str] = field(default_factory=Counter)
    latency_ms: Counter[int] = field(default_factory=Counter)
    bytes_decided: Counter[str] = field(default_factory=Counter)
    policy_spans: Counter[tuple[str, str]] = field(default_factory=Counter)
    policy_bytes: Counter[tuple[str, str]] = field(default_factory=Counter)
    policy_weight: dict[str, float] = field(default_factory=dict)
    """For how many traces those stand that each policy kept."""
    sampling_rates: Counter[float] = field(default_factory=Counter)
    """Kept traces by the number of traces that each stands for."""
    by_spans: list[int] = field(default_factory=list)
    """Decided traces by their number of spans, grouped by `engine.tally.SPAN_BOUNDS`; [] where there are none."""
    span_sum: int = 0
    """Spans of decided traces."""
    rootless_traces: int = 0
    examples: dict[int, bytes] = field(default_factory=dict)
    """The id of a kept trace by latency in ms, where one was kept."""
    services: ServiceCounter | None = field(default=None, compare=False)
    """Counts what arrives by service, where that is wanted."""
