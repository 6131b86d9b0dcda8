"""`KafkaSpanExporter`: spans of a Python service straight into the span topic."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from sampler.clock import monotonic_s
from sampler.redaction import transform_of
from sampler.sdk.counts import Counts
from sampler.sdk.options import Limits, read_options
from sampler.sdk.pump import Pump

log = logging.getLogger(__name__)

SAY_EVERY_S = 60.0


class KafkaSpanExporter(SpanExporter):
    """Writes spans to Kafka as the agent does: partitioned by trace, packed, stored by all in-sync replicas.

    `export` puts spans into a bounded queue and returns at once, whatever Kafka does; what does not fit is refused,
    counted in `counts` and said in the log. A thread, started with the first spans, sends them. After a fork the child
    begins with an empty queue and a thread of its own, and the parent sends what was waiting.

        provider.add_span_processor(SimpleSpanProcessor(KafkaSpanExporter("kafka:9092")))

    ConfigError where the settings cannot be used.
    """

    def __init__(
        self,
        brokers: str | list[str] | None = None,
        topic: str | None = None,
        *,
        kafka: Mapping[str, Any] | None = None,
        transform: Mapping[str, Any] | None = None,
        max_queue_size: int = 16_384,
        max_batch_size: int = 512,
        schedule_delay_ms: float = 200.0,
        shutdown_timeout_ms: float = 10_000.0,
        max_buffer_bytes: int = 16 * 1024 * 1024,
        trace_context_headers: bool = False,
    ) -> None:
        """`kafka` and `transform` are the blocks `kafka:` and `agent.transform:` of config.yaml.

        What is not given is taken from the environment (TAILSAMPLER_KAFKA_BROKERS and others, see docs/sdk.md).
        `max_queue_size` and `max_batch_size` count spans. With `trace_context_headers` records of one trace carry W3C
        `traceparent` and `tracestate`.
        """
        self._options = read_options(brokers, topic, kafka, transform, max_buffer_bytes, os.environ)
        self._publisher = replace(self._options.publisher, trace_context=trace_context_headers)
        self._limits = Limits(max_queue_size, max_batch_size, schedule_delay_ms, shutdown_timeout_ms)
        self.counts = Counts()
        self._transform = transform_of(self._options.transform)
        self._lock = threading.Lock()
        self._pump: Pump | None = None
        self._down = False
        self._say_again_s = 0.0
        itself = weakref.ref(self)

        def forked() -> None:
            exporter = itself()
            if exporter is not None:
                exporter._forked()

        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=forked)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take the spans, without waiting; FAILURE where not all of them were taken."""
        pump = self._pump or self._start()
        if pump is None:
            self.counts.refused += len(spans)
            return SpanExportResult.FAILURE
        if pump.offer(spans) == len(spans):
            return SpanExportResult.SUCCESS
        self._say_refused()
        return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether all spans taken so far are stored, or found to be unfit for it, within that time."""
        pump = self._pump
        return pump is None or pump.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Store what was taken, at most for `shutdown_timeout_ms`, and take nothing more."""
        with self._lock:
            pump, self._pump, self._down = self._pump, None, True
        if pump is None:
            return
        pump.close(self._limits.shutdown_timeout_ms / 1000)
        if self.counts.failed:
            log.warning("%d of %d spans were not exported", self.counts.failed, self.counts.accepted)

    def _start(self) -> Pump | None:
        with self._lock:
            if self._pump is None and not self._down:
                try:
                    self._pump = Pump(self._publisher, self._limits, self.counts, self._transform)
                except RuntimeError as error:
                    # The interpreter is ending: it starts no more threads.
                    log.warning("spans cannot be exported: %s", error)
                    self._down = True
            return self._pump

    def _say_refused(self) -> None:
        now_s = monotonic_s()
        if now_s >= self._say_again_s:
            self._say_again_s = now_s + SAY_EVERY_S
            log.warning(
                "%d spans were refused so far: %d wait for Kafka, more than that are not kept (max_queue_size)",
                self.counts.refused, self._limits.max_queue_size,
            )  # fmt: skip

    def _forked(self) -> None:
        """In a child: the thread and the connections of the parent are not here, and its spans not ours."""
        if self._pump is not None:
            # Its destructors would wait for threads that do not exist.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._pump))
        self._lock = threading.Lock()
        self._pump = None
        self.counts = Counts()
