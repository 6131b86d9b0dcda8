"""The pipeline's traces of itself: sent where asked, dropped where they come back, nothing at all when off."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from sampler.agent.service import Agent
from sampler.agent.settings import AgentSettings, PublisherSettings
from sampler.config.errors import ConfigError
from sampler.config.models import Config
from sampler.config.tracing import Tracing
from sampler.embedded.broker import EmbeddedBroker
from sampler.exporter.answers import Answer, Fate
from sampler.selftrace import OWN_ATTRIBUTE, hook, tracer_of
from sampler.selftrace.places import trace_sender, trace_worker
from tests.harness.otlp_backend import OtlpBackend, Received
from tests.unit.stream.pipeline_lab import Worker, make_log


@pytest.fixture
def memory() -> InMemorySpanExporter:
    """What was traced."""
    return InMemorySpanExporter()


@pytest.fixture
def tracer(memory: InMemorySpanExporter) -> Tracer:
    """A tracer that records everything."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return provider.get_tracer("tests")


def request(count: int) -> bytes:
    """An export request."""
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for number in range(count):
        scope.spans.add(trace_id=b"t" * 16, span_id=bytes([number + 1]) * 8, name="work")
    return message.SerializeToString()


async def test_an_agent_sends_its_spans_and_drops_them_where_they_come_back() -> None:
    """Each request makes a span at the backend, marked as our own; sent to the agent, it does not reach Kafka."""
    backend = OtlpBackend()
    await backend.start()
    with EmbeddedBroker({"otlp_spans": 1}) as broker:
        registry = CollectorRegistry()
        publisher = PublisherSettings(topic="otlp_spans", librdkafka={"bootstrap.servers": broker.bootstrap})
        tracing = Tracing.model_validate(
            {"endpoint": f"127.0.0.1:{backend.grpc_port}", "ratio": 1, "tls": {"insecure": True}}
        )  # fmt: skip
        agent = Agent(AgentSettings(publisher, "127.0.0.1:0", None, tracing=tracing), registry)
        await agent.start()
        try:
            assert await agent.publisher.wait_usable(10)
            assert (await agent.publisher.publish(request(3))).spans == 3
            while not backend.received:  # noqa: ASYNC110  another thread sends
                await asyncio.sleep(0.01)
            (received,) = backend.received[:1]
            assert spans_of(received) == [("agent.publish", {"tailsampler.request.size": len(request(3)),
                                           "tailsampler.spans": 3, "tailsampler.spans.rejected": 0})]  # fmt: skip
            resource = {each.key: each.value for each in received.request.resource_spans[0].resource.attributes}
            assert resource["service.name"].string_value == "tailsampler-agent"
            assert resource[OWN_ATTRIBUTE].bool_value
            both = received.request.SerializeToString() + request(2)
            assert (await agent.publisher.publish(both)).spans == 2
        finally:
            await agent.stop()
            await backend.stop()
    assert registry.get_sample_value("tailsampler_transform_changes_total", {"rule": "own_spans"}) == 1


def spans_of(received: Received) -> list[tuple[str, dict[str, Any]]]:
    """Names and attributes of the spans of a request."""
    return [
        (span.name, {each.key: each.value.int_value for each in span.attributes})
        for section in received.request.resource_spans
        for scope in section.scope_spans
        for span in scope.spans
    ]


def test_a_worker_traces_batches_with_the_settlements_in_them(tracer: Tracer, memory: InMemorySpanExporter) -> None:
    """Every batch makes a span, every settlement one inside, with what it wrote; the outcome is the same."""
    broker, _ = make_log(3, 200)
    worker = Worker(broker, 1)
    trace_worker(tracer, worker.pipeline, worker)
    worker.finish()
    spans = memory.get_finished_spans()
    batches = {span.context.span_id: span for span in spans if span.name == "worker.batch"}
    settlements = [span for span in spans if span.name == "worker.settlement"]
    assert sum(int(span.attributes["tailsampler.records"]) for span in batches.values()) == len(broker.log)  # type: ignore[index,arg-type]
    assert settlements
    assert all(span.parent is not None and span.parent.span_id in batches for span in settlements)
    written = sum(int(span.attributes["tailsampler.records"]) for span in settlements)  # type: ignore[index,arg-type]
    assert written == len(broker.sampled)


async def test_a_sender_traces_what_it_sends(tracer: Tracer, memory: InMemorySpanExporter) -> None:
    """A request to a backend makes a span with the fate of it."""

    class Sender:
        async def send(self, body: bytes) -> Answer:
            return Answer(Fate.LATER, "UNAVAILABLE")

    sender = Sender()
    trace_sender(tracer, sender, "tempo")
    assert (await sender.send(b"12345")).code == "UNAVAILABLE"
    (span,) = memory.get_finished_spans()
    assert span.name == "exporter.send"
    assert dict(span.attributes or {}) == {
        "tailsampler.backend": "tempo", "tailsampler.request.size": 5, "tailsampler.answer": "LATER"
    }  # fmt: skip


def test_a_failure_is_recorded_and_goes_on(tracer: Tracer, memory: InMemorySpanExporter) -> None:
    """What a hooked method raises comes through, and is an event of its span."""
    owner = SimpleNamespace(work=lambda: 1 / 0)
    hook(tracer, owner, "work", "fails")
    with pytest.raises(ZeroDivisionError):
        owner.work()
    (span,) = memory.get_finished_spans()
    assert [event.name for event in span.events] == ["exception"]


def test_off_is_nothing_at_all() -> None:
    """Without an endpoint there is no tracer, and without a tracer a method stays the very same object."""
    assert tracer_of(Tracing(), "agent") is None
    worker = Worker(make_log(3, 4)[0], 1)
    trace_worker(None, worker.pipeline, worker)
    assert "process" not in vars(worker.pipeline)
    assert "send" not in vars(worker)


@pytest.mark.parametrize(
    ("tracing", "agent"),
    [
        ("localhost:4317", {}),
        ("http://127.0.0.1:4318", {}),
        ("127.0.0.1:4317", {"grpc": {"endpoint": "0.0.0.0:4317"}}),
        ("collector:5317", {"grpc": {"endpoint": "collector:5317"}}),
        ("[::1]:4317", {}),
    ],
)
def test_our_own_receivers_are_refused(tracing: str, agent: dict[str, Any]) -> None:
    """An endpoint that is a receiver of this configuration is an error that names both."""
    with pytest.raises(ValidationError, match="would become its own input"):
        Config.model_validate({"tracing": {"endpoint": tracing}, "agent": agent})


def test_other_places_are_taken() -> None:
    """Another port, another machine, or a receiver that is off is no receiver of ours."""
    off = {"grpc": {"enabled": False}}
    for endpoint, agent in (("localhost:5317", {}), ("collector:4317", {}), ("localhost:4317", off)):
        Config.model_validate({"tracing": {"endpoint": endpoint}, "agent": agent})


def test_without_the_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing asked for without the extra is a mistake in the configuration, told by key."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(ConfigError, match=r"tracing\.endpoint: needs the OpenTelemetry SDK.*tailsampler\[sdk\]"):
        tracer_of(Tracing(endpoint="collector:4317"), "agent")
