"""OTLP in, kept traces out: agent and worker as processes on real Kafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode

from tests.harness.kafka import KafkaCluster
from tests.harness.recording import encode, kept_by_hand, read_rows, recording
from tests.harness.tier import Tier
from tests.harness.traffic import read_sampled

pytestmark = pytest.mark.kafka

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
VIP = {"name": "vip", "type": "string_attribute", "string_attribute": {"key": "user.tier", "values": ["vip"]}}
SPANS_PER_REQUEST = 500


class Remembering(SpanExporter):
    """Notes what the SDK exported, beside the real exporter."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: object) -> SpanExportResult:
        self.spans.extend(spans)  # type: ignore[arg-type]  # the SDK hands over a sequence of ReadableSpan
        return SpanExportResult.SUCCESS


def shop(tracer: trace.Tracer, number: int) -> None:
    """One request of a shop: three levels, every tenth fails, every seventh is of a good customer."""
    with tracer.start_as_current_span("POST /order", kind=trace.SpanKind.SERVER) as root:
        root.set_attribute("user.tier", "vip" if number % 7 == 0 else "free")
        with tracer.start_as_current_span("charge") as charge:
            for attempt in range(3):
                with tracer.start_as_current_span("INSERT", attributes={"db.system": "postgresql", "try": attempt}):
                    pass
            if number % 10 == 0:
                charge.set_status(Status(StatusCode.ERROR, "card refused"))
                charge.add_event("exception", {"exception.type": "CardRefused"})


def test_the_real_sdk_over_grpc_to_kept_traces(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """Traces exported by the OpenTelemetry SDK come out whole if a policy keeps them, attributes and events intact."""
    policies = {"decision_wait": "2s", "policies": [ERRORS, VIP]}
    with Tier(kafka, topics("sdk"), tmp_path, policies) as tier:
        tier.start_agent()
        tier.start_worker()
        seen = Remembering()
        provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
        exporter = OTLPSpanExporter(endpoint=f"http://{tier.grpc_endpoint}", insecure=True, timeout=20)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
        provider.add_span_processor(BatchSpanProcessor(seen, schedule_delay_millis=200))
        for number in range(200):
            shop(provider.get_tracer("tests"), number)
        assert provider.force_flush(20_000)
        provider.shutdown()
        tier.wait_decided()
        records = kafka.read_all(tier.topics["sampled"])

    by_trace: dict[bytes, dict[bytes, ReadableSpan]] = defaultdict(dict)
    for span in seen.spans:
        context = span.get_span_context()
        assert context is not None
        by_trace[context.trace_id.to_bytes(16, "big")][context.span_id.to_bytes(8, "big")] = span
    kept = {
        trace_id: spans
        for trace_id, spans in by_trace.items()
        if any(s.status.status_code is StatusCode.ERROR or (s.attributes or {}).get("user.tier") == "vip"
               for s in spans.values())
    }  # fmt: skip
    found = read_sampled(records)
    assert len(kept) == 200 // 10 + 29 - 3
    assert {t: set(spans) for t, spans in found.spans.items()} == {t: set(spans) for t, spans in kept.items()}
    assert found.duplicated() == 0
    for record in records:
        for resource_spans in TracesData.FromString(record.value or b"").resource_spans:
            assert {a.key: a.value.string_value for a in resource_spans.resource.attributes}["service.name"] == "shop"
            for out in resource_spans.scope_spans[0].spans:
                original = by_trace[out.trace_id][out.span_id]
                assert (out.name, len(out.events)) == (original.name, len(original.events))
                assert {a.key for a in out.attributes} - set(original.attributes or {}) == {
                    "sampling.rate",
                    "sampling.policy",
                }


def batches(rows: list[list[str]]) -> list[bytes]:
    """The rows as export requests, as they would have come: in order of time."""
    return [encode(rows[begin : begin + SPANS_PER_REQUEST]) for begin in range(0, len(rows), SPANS_PER_REQUEST)]


def test_the_recording_through_real_kafka_keeps_what_a_plain_script_keeps(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """Trace by trace, and every kept trace has all its spans once, although the file holds 883 exact copies."""
    path = recording()
    if not path.is_file():
        pytest.skip(f"the recording is not there: {path} (set SAMPLER_TRACE_DATA)")
    rows = read_rows(path)
    assert len(rows) - len({tuple(row) for row in rows}) == 883
    latency = {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}}
    draw = {"name": "draw", "type": "probabilistic", "probabilistic": {"sampling_percentage": 5}}
    policies = {"decision_wait": "15s", "policies": [latency, draw]}
    with Tier(kafka, topics("recording"), tmp_path, policies) as tier:
        tier.start_agent()
        tier.start_worker()
        with grpc.insecure_channel(tier.grpc_endpoint) as channel:
            export = channel.unary_unary(EXPORT)
            answers = [export.future(request, timeout=60) for request in batches(rows)]
            assert {answer.result() for answer in answers} == {b""}
        tier.wait_decided(90)
        found = read_sampled(kafka.read_all(tier.topics["sampled"]))
        assert tier.metric(0, "tailsampler_spans_received_total") == len(rows)
    kept = kept_by_hand(rows)
    assert len(kept) > 300
    assert {t.hex(): {s.hex() for s in spans} for t, spans in found.spans.items()} == kept
    assert found.duplicated() == 0
