"""`KafkaSpanExporter` in the real SDK, before an embedded broker."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult

from sampler.config.errors import ConfigError
from sampler.embedded.broker import EmbeddedBroker
from sampler.otlp import partition_of
from sampler.sdk import KafkaSpanExporter

TOPIC, PARTITIONS = "otlp_spans", 3


@pytest.fixture
def kafka() -> Iterator[EmbeddedBroker]:
    """An embedded broker with the span topic."""
    with EmbeddedBroker({TOPIC: PARTITIONS}) as running:
        yield running


def provider_of(*processors: Any) -> TracerProvider:
    """A provider of the SDK that is shut down by the test."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def make_spans(provider: TracerProvider, traces: int) -> None:
    """Traces of three spans."""
    tracer = provider.get_tracer("tests")
    for number in range(traces):
        with tracer.start_as_current_span(f"order {number}"):
            for step in ("pay", "ship"):
                with tracer.start_as_current_span(step):
                    pass


def stored(broker: EmbeddedBroker) -> list[tuple[int, Any]]:
    """(partition, span) of all that is in the topic."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader", "fetch.wait.max.ms": 10})
    try:
        partitions = [TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)]
        left = sum(consumer.get_watermark_offsets(one, timeout=10)[1] for one in partitions)
        consumer.assign(partitions)
        found = []
        while left:
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            left -= 1
            data = TracesData.FromString(message.value())
            found += [
                (message.partition(), span)
                for section in data.resource_spans
                for scope in section.scope_spans
                for span in scope.spans
            ]
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize("processor", [SimpleSpanProcessor, BatchSpanProcessor])
def test_spans_are_stored_once_in_the_partition_of_their_trace(kafka: EmbeddedBroker, processor: Any) -> None:
    """Behind either processor of the SDK every span is in its trace's partition once the provider is shut down."""
    exporter = KafkaSpanExporter(kafka.bootstrap)
    provider = provider_of(processor(exporter))
    make_spans(provider, 300)
    provider.shutdown()
    spans = stored(kafka)
    assert len(spans) == 900
    assert len({span.span_id for _, span in spans}) == 900
    assert all(partition_of(span.trace_id, PARTITIONS) == partition for partition, span in spans)
    counts = exporter.counts
    assert (counts.accepted, counts.exported, counts.failed, counts.refused) == (900, 900, 0, 0)


def test_force_flush_waits_for_kafka(kafka: EmbeddedBroker) -> None:
    """After `force_flush` has said true all spans made before are stored; while Kafka is away it says false in time."""
    exporter = KafkaSpanExporter(kafka.bootstrap, schedule_delay_ms=60_000)
    provider = provider_of(SimpleSpanProcessor(exporter))
    assert exporter.force_flush()
    make_spans(provider, 5)
    assert exporter.force_flush()
    assert len(stored(kafka)) == 15
    kafka.broker_down()
    make_spans(provider, 5)
    assert not exporter.force_flush(50)
    kafka.broker_up()
    assert exporter.force_flush()
    assert len({span.span_id for _, span in stored(kafka)}) == 30
    provider.shutdown()


def test_what_does_not_fit_is_refused_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Without a Kafka spans wait up to the limit; the rest is refused at once, counted, and said once."""
    exporter = KafkaSpanExporter("127.0.0.1:1", max_queue_size=20, max_batch_size=20, shutdown_timeout_ms=1,
                                 schedule_delay_ms=60_000)  # fmt: skip
    exporter._start()
    provider = provider_of()
    tracer = provider.get_tracer("tests")
    spans = [tracer.start_span(str(number)) for number in range(50)]
    for span in spans:
        span.end()
    with caplog.at_level(logging.WARNING, "sampler.sdk"):
        results = Counter(exporter.export([span]) for span in spans[:30])  # type: ignore[list-item]
        assert exporter.export(spans[30:]) is SpanExportResult.FAILURE  # type: ignore[arg-type]
    counts = exporter.counts
    # One batch may have left the queue for the thread that sends.
    assert counts.accepted in {20, 40}
    assert counts.accepted + counts.refused == 50
    assert results[SpanExportResult.FAILURE] + 20 == counts.refused or counts.accepted == 40
    assert caplog.text.count("were refused so far") == 1
    exporter.shutdown()
    assert counts.failed == counts.accepted
    assert exporter.export(spans[:1]) is SpanExportResult.FAILURE  # type: ignore[arg-type]
    assert counts.refused + counts.accepted == 51


def test_nothing_private_reaches_kafka(kafka: EmbeddedBroker) -> None:
    """The exporter's transformation is done before anything is written."""
    exporter = KafkaSpanExporter(
        kafka.bootstrap, transform={"rules": [{"action": "rewrite", "pattern": "token=[^&]+"}]}
    )
    provider = provider_of(SimpleSpanProcessor(exporter))
    with provider.get_tracer("tests").start_as_current_span("GET /?token=s3cret", attributes={"url": "?token=s3cret"}):
        pass
    provider.shutdown()
    ((_, span),) = stored(kafka)
    assert b"s3cret" not in span.SerializeToString()
    assert span.name == "GET /?****"


def test_settings_come_from_arguments_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument goes before a variable, a variable before the default; mistakes are told by key."""
    monkeypatch.setenv("TAILSAMPLER_KAFKA_BROKERS", "one:9092,two:9092")
    monkeypatch.setenv("TAILSAMPLER_KAFKA_TOPIC", "from_env")
    monkeypatch.setenv("TAILSAMPLER_KAFKA_SASL_USERNAME", "shop")
    monkeypatch.setenv("TAILSAMPLER_KAFKA_SASL_PASSWORD", "pa55word")
    monkeypatch.setenv("TAILSAMPLER_KAFKA_TLS_INSECURE", "false")
    settings = KafkaSpanExporter(topic="argument", kafka={"librdkafka": {"linger.ms": 3}})._options.publisher
    assert settings.topic == "argument"
    expected = {
        "bootstrap.servers": "one:9092,two:9092", "security.protocol": "SASL_SSL", "sasl.username": "shop",
        "sasl.password": "pa55word", "linger.ms": 3,
    }  # fmt: skip
    assert {key: settings.librdkafka[key] for key in expected} == expected
    assert "pa55word" not in repr(settings)
    monkeypatch.setenv("TAILSAMPLER_KAFKA_PARTITIONER", "random")
    with pytest.raises(ConfigError, match=r"KafkaSpanExporter.*kafka\.partitioner"):
        KafkaSpanExporter()


def test_the_settings_of_the_pipeline_can_be_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """With TAILSAMPLER_CONFIG the blocks `kafka:` and `agent.transform:` of that file hold."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "kafka: {brokers: 'k:1', topics: {spans: theirs}}\nagent: {transform: {max_attributes: 3}}\n"
    )  # fmt: skip
    monkeypatch.setenv("TAILSAMPLER_CONFIG", str(path))
    options = KafkaSpanExporter()._options
    assert options.publisher.topic == "theirs"
    assert options.transform.max_attributes == 3


FORKS = """
import os, sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from sampler.sdk import KafkaSpanExporter
exporter = KafkaSpanExporter(sys.argv[1], schedule_delay_ms=60_000)
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("tests")
def span(name):
    with tracer.start_as_current_span(name):
        pass
span("before, sent")
assert exporter.force_flush()
span("before, waiting")
child = os.fork()
span("child" if child == 0 else "parent")
provider.shutdown()
assert exporter.counts.exported == (1 if child == 0 else 3), exporter.counts
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("done")
"""


def test_parent_and_child_of_a_fork_export_each_span_once(kafka: EmbeddedBroker) -> None:
    """A child has a thread and connections of its own; what waited at the fork is sent by the parent alone."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, kafka.bootstrap],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr
    assert sorted(span.name for _, span in stored(kafka)) == ["before, sent", "before, waiting", "child", "parent"]


EXITS = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from sampler.sdk import KafkaSpanExporter
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(KafkaSpanExporter(sys.argv[1], schedule_delay_ms=60_000)))
with provider.get_tracer("tests").start_as_current_span("the last"):
    pass
"""


def test_what_waits_at_the_end_of_the_program_is_stored(kafka: EmbeddedBroker) -> None:
    """The SDK shuts its provider down when the interpreter ends, and that stores what waits, without a complaint."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXITS, kafka.bootstrap],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    assert [span.name for _, span in stored(kafka)] == ["the last"]


NO_KAFKA = """
import logging, threading
from sampler.sdk import KafkaSpanExporter
lines, enough = [], threading.Event()
def count(record):
    lines.append(record)
    if len(lines) == 3:
        enough.set()
    return True
exporter = KafkaSpanExporter("127.0.0.1:1", shutdown_timeout_ms=1)
logging.getLogger("sampler.sdk.librdkafka").filters.insert(0, count)
exporter._start()
assert enough.wait(30)
exporter.shutdown()
"""


def test_librdkafka_is_quiet_in_a_program_without_logging() -> None:
    """Of the lines that it writes while no broker answers one comes through, from Python's logging and not its own."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", NO_KAFKA], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    said = [line for line in run.stderr.splitlines() if "#producer-" in line]
    assert len(said) == 1, run.stderr
    assert said[0].startswith("FAIL [tailsampler-sdk#")


def test_without_the_sdk_one_sentence_says_what_to_install() -> None:
    """Importing the package without the OpenTelemetry SDK says which extra is missing."""
    code = "import sys; sys.modules['opentelemetry.sdk'] = None; sys.modules['opentelemetry.sdk.trace'] = None\n"
    code += "try:\n import sampler.sdk\nexcept ImportError as e:\n print(e)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == (
        "sampler.sdk needs the OpenTelemetry SDK, which is not installed: pip install 'tailsampler[sdk]'\n"
    )


def test_export_may_be_called_from_many_threads(kafka: EmbeddedBroker) -> None:
    """Spans that end in eight threads at once are all stored."""
    exporter = KafkaSpanExporter(kafka.bootstrap, max_batch_size=64)
    provider = provider_of(SimpleSpanProcessor(exporter))
    threads = [threading.Thread(target=make_spans, args=(provider, 50)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    provider.shutdown()
    assert len(stored(kafka)) == 8 * 150
    assert exporter.counts.exported == 1200


def test_the_sdk_finds_the_exporter_by_name() -> None:
    """`OTEL_TRACES_EXPORTER=tailsampler_kafka` names this class."""
    (found,) = entry_points(group="opentelemetry_traces_exporter", name="tailsampler_kafka")
    assert found.load() is KafkaSpanExporter
