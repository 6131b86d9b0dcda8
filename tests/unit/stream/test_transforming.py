"""`worker.transform` and trace context on the way out of a worker."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from prometheus_client import CollectorRegistry

from sampler.config import Config
from sampler.engine.settlement import DeadLetter, Settlement
from sampler.engine.watermark import PendingSettlement, Watermark
from sampler.stream.transforming import transformed


class Sink:
    """Takes what is sent."""

    unacknowledged_bytes = 5

    def __init__(self) -> None:
        self.sent: list[Settlement] = []

    def send(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None:
        """Kept."""
        self.sent.append(settlement)


def payload(number: int, *names: str, **attributes: str) -> tuple[bytes, bytes]:
    """A trace with spans of these names."""
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    for index, name in enumerate(names):
        span = scope.spans.add(trace_id=bytes([number]) * 16, span_id=(index + 1).to_bytes(8, "big"), name=name)
        for key, value in attributes.items():
            span.attributes.add(key=key.replace("_", ".")).value.string_value = value
    return bytes([number]) * 16, data.SerializeToString()


def config(kafka: dict[str, Any] | None = None, **transform: Any) -> Config:
    """A configuration with this `worker.transform`."""
    return Config.model_validate({"worker": {"transform": transform}, "kafka": kafka or {}})


def test_without_a_block_there_is_nothing_between() -> None:
    """The sink itself is used, so that nothing is paid."""
    sink = Sink()
    assert transformed(sink, Config(), CollectorRegistry()) is sink


def test_outputs_are_changed_and_waited_for() -> None:
    """Kept traces leave changed, dropped ones not at all, dead letters as they came; each is waited for."""
    sink = Sink()
    between = transformed(
        sink,
        config(rules=[{"action": "delete", "keys": "password"}], drop_spans=[{"span_names": "health"}]),
        CollectorRegistry(),
    )
    letter = DeadLetter(1, b"password", "bad", "not_otlp")
    settlement = Settlement(
        [payload(1, "a", password="x"), payload(2, "health")],
        [letter],
        [],
        7,
        [("place", *payload(3, "b", password="y"))],
    )
    pending = Watermark(0).begin(settlement)
    between.send(settlement, pending, 0)
    (sent,) = sink.sent
    assert list(sent.outputs) == [payload(1, "a")]
    assert list(sent.routed) == [("place", *payload(3, "b"))]
    assert (list(sent.dead_letters), sent.watermark) == ([letter], 7)
    assert pending.unacknowledged == 3
    assert between.unacknowledged_bytes == 5


def test_annotations_are_never_cut_off() -> None:
    """The limit on attributes spares the rate and the policy."""
    sink = Sink()
    between = transformed(sink, config(max_attributes=1), CollectorRegistry())
    settlement = Settlement([payload(1, "a", one="1", two="2", sampling_rate="4", sampling_policy="p")], [], [], 0)
    between.send(settlement, Watermark(0).begin(settlement), 0)
    (span,) = TracesData.FromString(sink.sent[0].outputs[0][1]).resource_spans[0].scope_spans[0].spans
    assert [each.key for each in span.attributes] == ["sampling.rate", "sampling.policy"]
    assert span.dropped_attributes_count == 2


def test_what_grows_beyond_a_record_leaves_in_several() -> None:
    """A trace that hashing has made too large is divided, and all its records are waited for."""
    sink = Sink()
    between = transformed(
        sink,
        config({"max_message_bytes": 65_536}, salt="pepper and salt", rules=[{"action": "hash", "keys": "k"}]),
        CollectorRegistry(),
    )
    settlement = Settlement([payload(1, *["n" * 20] * 1000, k="v")], [], [], 0)
    pending = Watermark(0).begin(settlement)
    between.send(settlement, pending, 0)
    outputs = sink.sent[0].outputs
    assert pending.unacknowledged == len(outputs) > 1
    assert all(len(value) <= 65_536 - 1024 for _, value in outputs)
    spans = [
        span for _, value in outputs for span in TracesData.FromString(value).resource_spans[0].scope_spans[0].spans
    ]
    assert len(spans) == 1000
