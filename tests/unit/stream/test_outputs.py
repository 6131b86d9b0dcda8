"""Outputs before a broker that refuses: nothing is lost, nothing is given up, and it is asked no more than needed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sampler.engine.settlement import DeadLetter, Settlement
from sampler.engine.watermark import PendingSettlement, Watermark
from sampler.stream import outputs as outputs_module
from sampler.stream.outputs import Outputs
from tests.unit.stream.pipeline_lab import Broker, make_log, spans_in
from tests.unit.stream.refusing_kafka import DEAD, SAMPLED, RefusedWorker, RefusingKafka, make_outputs

SMALLEST = 64


@pytest.fixture(autouse=True, scope="module")
def _small_world() -> Iterator[None]:
    """Spans of tests are small, so the size of a sane topic is too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs_module, "SMALLEST_LIMIT_BYTES", SMALLEST)
        yield


def trace(number: int, sizes: list[int]) -> tuple[bytes, bytes]:
    """A trace with spans whose names have these sizes."""
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    for index, size in enumerate(sizes):
        scope.spans.add(trace_id=number.to_bytes(16, "big"), span_id=(index + 1).to_bytes(8, "big"), name="n" * size)
    return number.to_bytes(16, "big"), data.SerializeToString()


def begun(outputs: Outputs, traces: list[tuple[bytes, bytes]], letters: list[DeadLetter]) -> PendingSettlement:
    settlement = Settlement(traces, letters, [], 1)
    pending = Watermark(0).begin(settlement)
    pending.recordings = []  # there is nothing to record
    outputs.send(settlement, pending, 0)
    return pending


def turn(outputs: Outputs, kafka: RefusingKafka, times: int, step_s: float = 1.0, start_s: float = 0.0) -> None:
    for number in range(times):
        kafka.answer(1000)
        outputs.send_again(start_s + number * step_s)
    kafka.answer(1000)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.NOT_ENOUGH_REPLICAS, KafkaError._MSG_TIMED_OUT, KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.KAFKA_STORAGE_ERROR, KafkaError.POLICY_VIOLATION, KafkaError.INVALID_RECORD,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    ],
)  # fmt: skip
def test_what_is_refused_is_kept_and_sent_again(code: int) -> None:
    """Whatever the error: the settlement waits, it is not failed, and all is written once when the broker takes it."""
    kafka = RefusingKafka(Broker([]), error=code)
    outputs = make_outputs(kafka)
    traces = [trace(number, [5]) for number in range(50)]
    pending = begun(outputs, traces, [DeadLetter(3, b"junk", "no OTLP", "not_otlp")])
    turn(outputs, kafka, 200)
    assert not pending.failed
    assert pending.unacknowledged == 51
    assert len(outputs) == 51
    assert SAMPLED in outputs.refused
    assert outputs.failures[KafkaError(code).name().strip("_").lower()] >= 51
    kafka.error = None
    turn(outputs, kafka, 30, start_s=200)
    assert (pending.unacknowledged, pending.failed, len(outputs), outputs.unacknowledged_bytes) == (0, False, 0, 0)
    assert outputs.refused == ""
    assert sorted(kafka.broker.sampled) == sorted(payload for _, payload in traces)
    assert [headers["tailsampler.offset"] for _, headers in kafka.letters] == [b"3"]


def test_a_broker_that_refuses_is_asked_with_one_message_now_and_then() -> None:
    """Not with all that waits, and less often the longer it lasts."""
    kafka = RefusingKafka(Broker([]), error=KafkaError.NOT_ENOUGH_REPLICAS, batch_bytes=1)
    outputs = make_outputs(kafka)
    begun(outputs, [trace(number, [5]) for number in range(1000)], [])
    kafka.answer(1000)
    before = kafka.requests
    turn(outputs, kafka, 3600, step_s=0.1)
    assert 30 <= kafka.requests - before <= 45


def test_what_nobody_waits_for_is_not_sent_again() -> None:
    """A partition was given up, or what was under way thrown away: then it is the next owner's to decide."""
    for purged in (False, True):
        kafka = RefusingKafka(Broker([]), error=KafkaError.NOT_ENOUGH_REPLICAS)
        outputs = make_outputs(kafka)
        pending = begun(outputs, [trace(number, [5]) for number in range(20)], [])
        turn(outputs, kafka, 3)
        if purged:
            outputs.purge()
        else:
            pending.failed = True
        kafka.error = None
        turn(outputs, kafka, 30, start_s=10)
        assert len(kafka.broker.sampled) <= 1  # the probe that was under way
        assert (pending.unacknowledged, pending.failed, len(outputs), outputs.unacknowledged_bytes) == (0, True, 0, 0)
        assert outputs.refused == ""


def test_a_batch_that_is_too_large_goes_in_smaller_batches() -> None:
    """Each of its records would fit: none is cut, and batches are smaller from then on."""
    kafka = RefusingKafka(Broker([]), limits={SAMPLED: 300})
    outputs = make_outputs(kafka)
    traces = [trace(number, [20]) for number in range(40)]
    pending = begun(outputs, traces, [])
    turn(outputs, kafka, 5, step_s=0.01)
    assert pending.unacknowledged == 0
    assert sorted(kafka.broker.sampled) == sorted(payload for _, payload in traces)
    assert kafka.batch_bytes <= 300
    refused = sum(outputs.failures.values())
    begun(outputs, traces, [])
    turn(outputs, kafka, 1)
    assert sum(outputs.failures.values()) == refused
    assert outputs.limits == {}


def test_a_span_that_cannot_fit_becomes_a_dead_letter() -> None:
    """With its trace and its size in the header; the spans beside it are written."""
    kafka = RefusingKafka(Broker([]), limits={SAMPLED: 400})
    outputs = make_outputs(kafka)
    pending = begun(outputs, [trace(7, [20, 900, 30, 350])], [])
    turn(outputs, kafka, 20)
    assert (pending.unacknowledged, pending.failed, outputs.unacknowledged_bytes) == (0, False, 0)
    assert sum(spans_in(kafka.broker.sampled)[(7).to_bytes(16, "big")].values()) == 3
    ((span, headers),) = kafka.letters
    assert len(TracesData.FromString(span).resource_spans[0].scope_spans[0].spans[0].name) == 900
    assert headers["tailsampler.reason"] == b"span_too_large"
    assert b"00000000000000000000000000000007" in headers["tailsampler.error"]
    assert outputs.dead_letters == {"span_too_large": 1}


def test_of_a_dead_letter_that_is_too_large_the_beginning_is_left() -> None:
    """Also where our own producer refuses it: what cannot be written must not stop everything behind it."""
    kafka = RefusingKafka(Broker([]), limits={DEAD: 200}, largest_bytes=1500)
    outputs = make_outputs(kafka)
    pending = begun(outputs, [], [DeadLetter(3, b"j" * 4000, "no OTLP", "not_otlp")])
    turn(outputs, kafka, 10)
    assert pending.unacknowledged == 0
    ((value, headers),) = kafka.letters
    assert 100 <= len(value) <= 200
    assert "tailsampler.cut" in headers


def test_a_topic_that_takes_nothing_is_waited_for() -> None:
    """A limit below any sane record is a mistake: spans do not become dead letters for it."""
    kafka = RefusingKafka(Broker([]), limits={SAMPLED: 10})
    outputs = make_outputs(kafka)
    traces = [trace(number, [1]) for number in range(5)]
    assert all(len(payload) <= SMALLEST for _, payload in traces)
    pending = begun(outputs, traces, [])
    turn(outputs, kafka, 50)
    assert pending.unacknowledged == 5
    assert "too large" in outputs.refused
    kafka.limits.clear()
    turn(outputs, kafka, 30, start_s=50)
    assert pending.unacknowledged == 0
    assert kafka.letters == []


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 600), min_size=1, max_size=8), min_size=1, max_size=12),
    st.integers(SMALLEST * 2, 1200),
    st.lists(st.sampled_from([None, KafkaError.NOT_ENOUGH_REPLICAS, KafkaError._MSG_TIMED_OUT]), max_size=6),
)
def test_every_span_leaves_once_whatever_the_topic_takes(
    sizes: list[list[int]], limit: int, errors: list[int | None]
) -> None:
    """Whole records, pieces or dead letters: every span is in one of them, and every byte is counted down."""
    kafka = RefusingKafka(Broker([]), limits={SAMPLED: limit})
    outputs = make_outputs(kafka)
    pendings, start_s = [], 0.0
    for number, spans in enumerate(sizes):
        kafka.error = errors[number] if number < len(errors) else None
        pendings.append(begun(outputs, [trace(number, spans)], []))
        turn(outputs, kafka, 3, start_s=start_s)
        start_s += 3
    kafka.error = None
    turn(outputs, kafka, 200, start_s=start_s)
    assert all(pending.unacknowledged == 0 and not pending.failed for pending in pendings)
    assert (len(outputs), outputs.unacknowledged_bytes, outputs.refused) == (0, 0, "")
    found = spans_in([*kafka.broker.sampled, *kafka.broker.dead])
    assert {int.from_bytes(t, "big"): sorted(s.values()) for t, s in found.items()} == {
        number: [1] * len(spans) for number, spans in enumerate(sizes)
    }
    assert all(len(payload) <= limit for payload in kafka.broker.sampled)
    for letter in kafka.broker.dead:
        assert sum(spans_in([letter]).popitem()[1].values()) == 1
        assert len(letter) > limit


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fetch"), st.integers(1, 60)),
        st.tuples(st.just("refuse"), st.sampled_from([KafkaError.NOT_ENOUGH_REPLICAS, KafkaError._MSG_TIMED_OUT])),
        st.tuples(st.just("accept"), st.just(0)),
        st.tuples(st.just("limit"), st.integers(SMALLEST * 2, 300)),
        st.tuples(st.just("turn"), st.integers(1, 4)),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("rebalance"), st.integers(1, 2)),
        st.tuples(st.just("lease"), st.just(0)),
    ),
    max_size=50,
)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), STEPS)
def test_a_pipeline_before_a_broker_that_refuses_loses_nothing(seed: int, steps: list[tuple[str, int]]) -> None:
    """Refusals, rebalances and lost leases in any order: every kept trace is written whole, and no other."""
    broker, kept = make_log(seed, 240)
    worker, harmless = RefusedWorker(broker, 1), True
    for step, amount in steps:
        match step:
            case "fetch" if not worker.outputs.refused:
                worker.fetch(amount)
            case "refuse":
                worker.kafka.error = amount
            case "accept":
                worker.kafka.error = None
            case "limit":
                worker.kafka.limits = {SAMPLED: amount}
            case "turn":
                for _ in range(amount):
                    worker.turn()
            case "commit":
                worker.commit()
            case "rebalance":
                harmless = False
                worker.commit()
                if worker.pipeline.unfinished:
                    worker.outputs.purge(in_flight=False)
                worker.rebalanced(amount)
            case "lease":
                harmless = False
                worker.outputs.purge()
                worker.pipeline.start_over()
    worker.kafka.error = None
    worker.finish()
    found = spans_in(
        [
            *broker.sampled,
            *(letter for letter, headers in worker.kafka.letters if b"span_too" in headers["tailsampler.reason"]),
        ]
    )
    assert {trace_id: set(spans) for trace_id, spans in found.items()} == kept
    if harmless:
        assert all(times == 1 for spans in found.values() for times in spans.values())
