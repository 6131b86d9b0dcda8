"""A decision is remembered as long as late spans and replays need it, whatever the wait and the remembered time are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.policy_set import build_policy_set
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory, trustworthy
from sampler.engine.decision_record import DecisionRecord, Owner, decode
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.otlp import compile_plan, get_scanner

ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
POLICIES = build_policy_set([ERRORS])
FAR_FUTURE_MS = 10**15
MINUTE_MS = 60_000


def span(trace: int, number: int, error: bool) -> bytes:
    """A record with one span."""
    data = TracesData()
    out = data.resource_spans.add().scope_spans.add().spans.add(
        trace_id=trace.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name="op", parent_span_id=b"parentid"
    )  # fmt: skip
    out.status.code = 2 if error else 0
    return data.SerializeToString()


@dataclass
class Partition:
    """A partition's log, what outlives a crash, and the engine that works on it now; outputs are acknowledged at once.

    `traces` has the trace of every span, `left` how often a span was written, `verdicts` what was decided on a trace.
    """

    wait_ms: int
    ttl_ms: int
    log: list[tuple[int, int, bytes]] = field(default_factory=list)
    table: dict[bytes, bytes] = field(default_factory=dict)
    committed: int = 0
    term: int = 0
    traces: dict[int, int] = field(default_factory=dict)
    left: Counter[int] = field(default_factory=Counter)
    verdicts: dict[int, set[str]] = field(default_factory=dict)
    counts: EngineCounts = field(default_factory=EngineCounts)

    def __post_init__(self) -> None:
        self.engine = self.begin()

    def begin(self) -> PartitionEngine:
        """A new owner's engine, with what the table says."""
        memory, handled = DecisionMemory(), 0
        believed, others = trustworthy([decode(key, value) for key, value in self.table.items()])
        assert others == []
        for record in believed:
            memory.restore(record)
            handled = max(handled, record.next_offset)
        self.term += 1
        return PartitionEngine(
            PartitionStart(0, Owner(self.term, 1), self.committed, handled),
            EngineSettings(decision_wait_ms=self.wait_ms, decision_ttl_ms=self.ttl_ms), POLICIES, get_scanner(),
            compile_plan(POLICIES.span_conditions), ChunkStore(), memory, self.counts,
        )  # fmt: skip

    def crash(self) -> None:
        """A new owner reads everything again from the committed offset."""
        self.engine.close()
        self.engine = self.begin()
        for record in self.log[self.committed :]:
            self.take(record)

    def come(self, at_ms: int, trace: int, error: bool) -> None:
        """One more span; they are numbered from 1."""
        number = len(self.log) + 1
        self.log.append((number - 1, at_ms, span(trace, number, error)))
        self.traces[number] = trace
        self.take(self.log[-1])

    def take(self, record: tuple[int, int, bytes]) -> None:
        self.engine.append([record], FAR_FUTURE_MS)
        self.settle()

    def settle(self) -> None:
        settlement = self.engine.settle()
        if settlement is None:
            return
        for _, payload in settlement.outputs:
            for resource_spans in TracesData.FromString(payload).resource_spans:
                for scope_spans in resource_spans.scope_spans:
                    self.left.update(int.from_bytes(out.span_id, "big") for out in scope_spans.spans)
        for record in settlement.records:
            for trace_id, verdict in record:
                self.verdicts.setdefault(int.from_bytes(trace_id, "big"), set()).add(verdict.decision)
        self.table |= {record.key: record.encode() for record in settlement.records}
        for key in self.engine.expire_decisions(self.committed):
            del self.table[key]

    def commit(self) -> None:
        self.committed = max(self.committed, self.engine.watermark)

    def records(self) -> list[DecisionRecord]:
        return [decode(key, value) for key, value in self.table.items()]


def test_a_late_span_is_not_decided_anew_when_its_replay_comes_after_the_decision_has_expired() -> None:
    """With a wait of 30 minutes the watermark is half an hour behind: the late span comes again after a crash."""
    it = Partition(wait_ms=30 * MINUTE_MS, ttl_ms=10 * MINUTE_MS)
    it.come(0, 1, error=False)
    for minute in range(1, 66):
        it.come(minute * MINUTE_MS, 1 if minute == 39 else 100 + minute, error=minute == 39)
        it.commit()
    assert it.committed <= 39
    it.crash()
    it.come(66 * MINUTE_MS, 1, error=True)
    it.come(99 * MINUTE_MS, 200, error=False)
    assert it.counts.replayed_spans == 1
    assert it.counts.late_spans == {"not_sampled": 2}
    assert it.left == {}


def test_the_table_holds_no_more_than_is_needed() -> None:
    """With a short wait what is older than the remembered time is gone from it; with a long one the wait counts."""
    for wait_ms, most_ms in ((1000, 11 * MINUTE_MS), (30 * MINUTE_MS, 32 * MINUTE_MS)):
        it = Partition(wait_ms, ttl_ms=10 * MINUTE_MS)
        for tick in range(600):
            it.come(tick * 10_000, tick + 1, error=False)
            it.commit()
        times = [record.stream_time_ms for record in it.records()]
        assert 10 * MINUTE_MS <= max(times) - min(times) <= most_ms
        assert len(it.engine.memory) <= len(times) * 8 / 7 + 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 3), st.integers(0, 3000), st.booleans()),
        st.sampled_from(["commit", "crash"]),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.sampled_from([500, 5_000, 40_000]), st.sampled_from([8_000, 20_000]))
def test_every_trace_is_decided_once_and_every_span_leaves_once(
    steps: list[str | tuple[int, int, bool]], wait_ms: int, ttl_ms: int
) -> None:
    """As long as its spans are closer together than the remembered time: over late spans, crashes and old commits."""
    it = Partition(wait_ms, ttl_ms)
    now_ms, traces, seen_ms = 1000, 0, dict[int, tuple[int, int]]()
    for step in steps:
        if step == "commit":
            it.commit()
        elif step == "crash":
            it.crash()
        else:
            place, gap_ms, error = step
            now_ms += int(gap_ms)
            trace, last_ms = seen_ms.get(int(place), (0, -ttl_ms))
            if now_ms - last_ms >= ttl_ms:
                traces += 1
                trace = traces
            seen_ms[int(place)] = trace, now_ms
            it.come(now_ms, trace, bool(error))
    it.crash()
    it.engine.advance(now_ms + wait_ms + 250, FAR_FUTURE_MS)
    it.settle()
    assert sum(it.counts.traces_decided.values()) == traces
    assert [len(decisions) for decisions in it.verdicts.values()] == [1] * traces
    kept = [number for number, trace in it.traces.items() if it.verdicts[trace] == {"sampled"}]
    assert it.left == Counter(kept)
