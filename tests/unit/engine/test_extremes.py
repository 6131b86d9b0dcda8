"""Spans that nobody sends on purpose: huge, far too many, with clocks that are off; they cost what they weigh."""

from __future__ import annotations

from dataclasses import replace

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.policy_set import build_policy_set
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts, Settlement
from sampler.otlp import compile_plan, get_scanner
from sampler.otlp.wire import field

ALL = {"name": "all", "type": "always_sample"}
SLOW = {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}}
WALL_MS = 1 << 50
TRACE = bytes(range(1, 17))
SETTINGS = EngineSettings(decision_wait_ms=1000)


def engine(settings: EngineSettings = SETTINGS, spec: dict[str, object] = ALL) -> tuple[PartitionEngine, EngineCounts]:
    policies, counts = build_policy_set([spec]), EngineCounts()
    made = PartitionEngine(
        PartitionStart(0, Owner(1, 1), 0), settings, policies, get_scanner(), compile_plan(policies.span_conditions),
        ChunkStore(), DecisionMemory(), counts,
    )  # fmt: skip
    return made, counts


def settled(made: PartitionEngine) -> Settlement:
    made.advance(1 << 45, WALL_MS)
    settlement = made.settle()
    assert settlement is not None
    return settlement


def record(**span: object) -> bytes:
    data = TracesData()
    data.resource_spans.add().scope_spans.add().spans.add(trace_id=TRACE, span_id=TRACE[:8], **span)  # type: ignore[arg-type]
    return data.SerializeToString()


def many(first: int, count: int) -> bytes:
    """A record of so many spans of one trace, as short as spans are."""
    body = b"".join(
        b"\x12\x1c\x0a\x10" + TRACE + b"\x12\x08" + n.to_bytes(8, "big") for n in range(first, first + count)
    )
    return field(b"\x0a", field(b"\x12", body))


def test_an_attribute_of_ten_megabytes_is_a_dead_letter_and_takes_nothing_with_it() -> None:
    """Its span is larger than any record may be; the rest of its trace is written."""
    made, counts = engine()
    data = TracesData.FromString(record(name="large"))
    data.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="blob").value.string_value = "x" * 10_000_000
    small = TracesData.FromString(record(name="small"))
    small.resource_spans[0].scope_spans[0].spans[0].span_id = b"\x09" * 8
    made.append([(0, 1000, data.SerializeToString()), (1, 1001, small.SerializeToString())], WALL_MS)
    settlement = settled(made)
    assert [letter.reason for letter in settlement.dead_letters] == ["span_too_large"]
    names = [
        span.name
        for _, payload in settlement.outputs
        for resource in TracesData.FromString(payload).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert names == ["small"]
    assert settlement.watermark == 2
    assert counts.dead_letters["span_too_large"] == 1


def test_a_million_spans_in_one_trace_leave_in_records_that_fit() -> None:
    """Every one of them, in hundreds of records; none is larger than the topic takes."""
    made, _ = engine()
    for number in range(100):
        made.append([(number, 1000, many(number * 10_000 + 1, 10_000))], WALL_MS)
    settlement = settled(made)
    assert {trace_id for trace_id, _ in settlement.outputs} == {TRACE}
    assert max(len(payload) for _, payload in settlement.outputs) <= SETTINGS.max_output_bytes
    assert sum(payload.count(b"\x12\x08") for _, payload in settlement.outputs) >= 1_000_000
    assert settlement.watermark == 100


@pytest.mark.parametrize(
    ("limit", "reason"),
    [({"maximum_spans_per_trace": 20_000}, "span_limit"), ({"maximum_trace_size_bytes": 10**6}, "too_large")],
)
def test_limits_end_a_trace_that_grows_without_end(limit: dict[str, int], reason: str) -> None:
    """It is decided, or given up, when it reaches the limit, and what comes after follows: it does not grow on."""
    made, counts = engine(replace(SETTINGS, **limit))
    for number in range(20):
        made.append([(number, 1000, many(number * 10_000 + 1, 10_000))], WALL_MS)
        assert len(made.table) <= 1
        assert made.table.span_count <= 30_000
        made.settle()
    assert counts.early[reason] == 1
    assert sum(counts.late_spans.values()) > 100_000


@pytest.mark.parametrize("start_ns", [0, 1, 10**18, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("end_ns", [0, 1, 10**18, 2**63 - 1, 2**63, 2**64 - 1])
def test_clocks_of_spans_decide_nothing_but_their_own_latency(start_ns: int, end_ns: int) -> None:
    """A span of the year 0 or 2554 waits as long as any other, and is slow only if both its times say so."""
    made, _ = engine(spec=SLOW)
    made.append([(0, 1000, record(start_time_unix_nano=start_ns, end_time_unix_nano=end_ns))], WALL_MS)
    assert len(made.table) == 1
    made.advance(1999, WALL_MS)
    assert len(made.table) == 1
    kept = bool(settled(made).outputs)
    assert kept == (bool(start_ns and end_ns) and end_ns - start_ns >= 10**9)


@pytest.mark.parametrize("stamp_ms", [-1, 0, 1, 2**40, 2**62])
def test_a_record_with_an_impossible_time_takes_nothing_with_it(stamp_ms: int) -> None:
    """Kafka's -1 for no time, the year 1970, one far in the future: its trace is decided, and so are the others."""
    made, _ = engine()
    other = TracesData.FromString(record(name="other"))
    other.resource_spans[0].scope_spans[0].spans[0].trace_id = b"\x07" * 16
    made.append([(0, 10**9, record()), (1, stamp_ms, other.SerializeToString()), (2, 10**9 + 1, many(5, 3))], 10**9 + 5)
    made.advance(10**9 + 10_000, 10**9 + 10_000)
    settlement = made.settle()
    assert settlement is not None
    assert {trace_id for trace_id, _ in settlement.outputs} == {TRACE, b"\x07" * 16}
    assert settlement.watermark == 3


def test_spans_without_ids_are_counted_and_left_out() -> None:
    """Zero, empty or of another length: they belong to no trace, and the others of their record go on."""
    made, counts = engine()
    data = TracesData.FromString(record())
    spans = data.resource_spans[0].scope_spans[0].spans
    for trace_id, span_id in ((bytes(16), TRACE[:8]), (TRACE, bytes(8)), (b"", b""), (TRACE[:15], TRACE[:8])):
        spans.add(trace_id=trace_id, span_id=span_id)
    made.append([(0, 1000, data.SerializeToString())], WALL_MS)
    (output,) = settled(made).outputs
    assert output[0] == TRACE
    assert counts.invalid_spans == 4
