"""The loads of the benchmarks are what the figures say they are."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from benchmarks import wire
from benchmarks.kept import compare, expected_kept
from benchmarks.loads import LOADS, PARTITIONS, RECORD_BYTES, Load, LoadName, sarama_partition
from benchmarks.requests import SPANS_PER_REQUEST, RequestPool

START_MS = 1_700_000_000_000
SPANS = 20_000


def load_of(name: LoadName, *, closing_after_ms: int = 0) -> Load:
    return Load(name, SPANS, START_MS, 60_000, closing_after_ms=closing_after_ms)


def spans_in(value: bytes) -> list[Span]:
    data = TracesData.FromString(value)
    return [span for rs in data.resource_spans for ss in rs.scope_spans for span in ss.spans]


@pytest.mark.parametrize("name", LOADS)
def test_every_trace_is_there_whole_in_its_partition(name: LoadName) -> None:
    """Each form holds the same traces, every span once, in the partition of the Collector's partitioner."""
    load = load_of(name)
    found: dict[bytes, list[bytes]] = defaultdict(list)
    for record in load.records():
        for span in spans_in(record.value):
            assert sarama_partition(span.trace_id) == record.partition
            found[span.trace_id].append(span.span_id)
    assert {trace_id: sorted(ids) for trace_id, ids in found.items()} == {
        trace_id: sorted(load.span_ids(number)) for number, trace_id in enumerate(load.trace_ids)
    }


@pytest.mark.parametrize("name", LOADS)
def test_timestamps_of_a_partition_never_fall(name: LoadName) -> None:
    """Records of a partition come in the order of their timestamps, the closing one last and behind every decision."""
    load = load_of(name, closing_after_ms=10_000)
    last = [0] * PARTITIONS
    for record in load.records():
        assert record.timestamp_ms >= last[record.partition]
        last[record.partition] = record.timestamp_ms
    assert min(last) > START_MS + 60_000 + 10_000


def test_a_span_has_ten_attributes_and_about_390_bytes() -> None:
    """The spans are of the size and shape that the figures name."""
    load = load_of("keyed10")
    records = list(load.records())
    assert 350 < sum(len(record.value) for record in records) / SPANS < 420
    assert {len(span.attributes) for record in records[:100] for span in spans_in(record.value)} == {10}
    assert all(record.key == spans_in(record.value)[0].trace_id.hex().encode() for record in records[:100])


def test_packed_records_are_of_256_kib_and_a_trace_comes_in_three_chunks() -> None:
    """A packed record holds chunks of one ResourceSpans each, and no trace is whole in one of them."""
    chunks: Counter[bytes] = Counter()
    for record in load_of("packed").records():
        assert record.key is None
        assert len(record.value) <= RECORD_BYTES
        for resource_spans in TracesData.FromString(record.value).resource_spans:
            (trace_id,) = {span.trace_id for ss in resource_spans.scope_spans for span in ss.spans}
            chunks[trace_id] += 1
    assert set(chunks.values()) == {3}


def test_what_is_special_about_a_trace_shows_on_its_spans() -> None:
    """The kept set rests on facts that a reader of the spans finds as well, and is about 15 % of the traces."""
    load = load_of("keyed10")
    for number, record in enumerate(load.records()):
        spans = spans_in(record.value)
        values = [{a.key: a.value for a in span.attributes} for span in spans]
        seen = set()
        if any(span.status.code == 2 for span in spans):
            seen.add(wire.ERROR)
        if max(s.end_time_unix_nano for s in spans) - min(s.start_time_unix_nano for s in spans) > 10**9:
            seen.add(wire.SLOW)
        if any(value["user.tier"].string_value == "vip" for value in values):
            seen.add(wire.VIP)
        if any(500 <= value["http.response.status_code"].int_value <= 599 for value in values):
            seen.add(wire.SERVER_ERROR)
        assert seen == ({load.special[number]} - {wire.ORDINARY})
    assert 0.13 < len(expected_kept(load)) / load.traces < 0.18


def test_the_comparison_sees_every_kind_of_fault() -> None:
    """A lost, a partial, a doubled, a foreign and an unannotated trace are each told."""
    load = load_of("keyed10")
    expected = expected_kept(load)
    records = list(load.records())
    kept = [annotated(records[number].value, rate) for number, rate in expected.values()]
    assert compare(load, expected, kept).ok
    other = next(n for n, trace_id in enumerate(load.trace_ids) if trace_id not in expected)
    partial = TracesData.FromString(kept[1])
    del partial.resource_spans[0].scope_spans[0].spans[3]
    plain = records[next(iter(expected.values()))[0]].value
    cases = {
        "traces lost": kept[1:],
        "traces not whole": [kept[0], partial.SerializeToString(), *kept[2:]],
        "traces with spans twice or foreign": [*kept, kept[0]],
        "traces too many": [*kept, records[other].value],
        "spans with wrong annotations": [plain, *kept[1:]],
    }
    for fault, values in cases.items():
        assert list(compare(load, expected, values).faults) == [fault]


def annotated(value: bytes, rate: float) -> bytes:
    data = TracesData.FromString(value)
    for span in data.resource_spans[0].scope_spans[0].spans:
        span.attributes.add(key="sampling.rate").value.double_value = rate
        span.attributes.add(key="sampling.policy").value.string_value = "some"
    return data.SerializeToString()


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two loads of one seed are equal, those of another are not."""
    first, again = (list(load_of("packed").records()) for _ in range(2))
    other = list(Load("packed", SPANS, START_MS, 60_000, seed=2).records())
    assert first == again
    assert first != other


def test_requests_hold_512_spans_of_one_service_and_the_expected_traces() -> None:
    """The agent's load is counted from its seed alone, and no two requests share a trace."""
    pool = RequestPool(3)
    counted: Counter[bytes] = Counter()
    for number in range(40):
        body = pool.request(number)
        assert 170_000 < len(body) < 210_000
        assert len(TracesData.FromString(body).resource_spans) == 1
        counted.update(span.trace_id for span in spans_in(body))
    assert counted.total() == 40 * SPANS_PER_REQUEST
    assert counted == dict(pool.expected(40))
    assert set(counted.values()) == {1, 2, 3}
