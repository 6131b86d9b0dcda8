"""What the exporter tells of itself and of every backend."""

from __future__ import annotations

from typing import Final, Literal, get_args

from sampler.metrics.specs import PREFIX, CounterSpec, GaugeSpec, HistogramSpec, MetricSet

LetterReason = Literal["not_otlp", "refused", "too_large", "max_elapsed"]
"""Why a record goes to the dead-letter topic."""
LETTER_REASONS: Final = get_args(LetterReason)

REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class ExporterMetrics(MetricSet):
    """Counters of one exporter; `backend` is the name that the configuration gives it."""

    title = "Exporter"
    prefix = PREFIX + "exporter_"

    read_records_total = CounterSpec("Records read from the topics of the backend.", ("backend",))
    skipped_records_total = CounterSpec("Records of which the route lets nothing through.", ("backend",))
    expired_records_total = CounterSpec(
        "Records that the topic no longer held when they were to be read: lost for this backend.", ("backend",)
    )
    sent_spans_total = CounterSpec("Spans that the backend has accepted, rejected ones not counted.", ("backend",))
    sent_records_total = CounterSpec("Records that the backend has accepted.", ("backend",))
    sent_bytes_total = CounterSpec("Bytes of accepted requests before compression.", ("backend",))
    rejected_spans_total = CounterSpec(
        "Spans that the backend said it has thrown away of requests it accepted (partial success).", ("backend",)
    )
    failed_requests_total = CounterSpec(
        "Requests that were not accepted, by gRPC's or HTTP's code, `timeout` or `connection`.", ("backend", "code")
    )
    retried_requests_total = CounterSpec("Requests sent again after a failure that may pass.", ("backend",))
    split_requests_total = CounterSpec(
        "Requests cut in two, because they were refused as too large or for something in them.", ("backend",)
    )
    dead_letters_total = CounterSpec("Records sent to the dead-letter topic.", ("backend", "reason"))
    dead_letter_failures_total = CounterSpec("Times that Kafka did not take a dead letter; it is sent again.")
    request_seconds = HistogramSpec("Time of a request until its answer.", ("backend",), REQUEST_BUCKETS)
    requests_in_flight = GaugeSpec("Requests sent and not answered yet.", ("backend",))
    in_flight_bytes = GaugeSpec("Bytes of records read and not accepted yet.", ("backend",))
    reading_paused = GaugeSpec("1 while nothing is read because too much is not accepted yet.", ("backend",))
    backend_failing = GaugeSpec("1 from a failed request until one is accepted.", ("backend",))
    batch_limit_bytes = GaugeSpec(
        "Size of requests, lower than the configured one where the backend has refused larger ones.", ("backend",)
    )
    lag_records = GaugeSpec("Records not accepted yet in the partitions that this process reads.", ("backend",))
    lag_seconds = GaugeSpec(
        "Age of the oldest record that was read and is not accepted yet, by its timestamp; 0 where there is none.",
        ("backend",),
    )
    partitions_assigned = GaugeSpec("Partitions that this process reads for the backend.", ("backend",))
    rebalances_total = CounterSpec("Times that the group gave or took partitions.", ("backend",))


class BackendMetrics:
    """The series of one backend; every one exists from the start."""

    def __init__(self, metrics: ExporterMetrics, backend: str) -> None:
        self.read_records = metrics.read_records_total.labels(backend)
        self.skipped_records = metrics.skipped_records_total.labels(backend)
        self.expired_records = metrics.expired_records_total.labels(backend)
        self.sent_spans = metrics.sent_spans_total.labels(backend)
        self.sent_records = metrics.sent_records_total.labels(backend)
        self.sent_bytes = metrics.sent_bytes_total.labels(backend)
        self.rejected_spans = metrics.rejected_spans_total.labels(backend)
        self.retried_requests = metrics.retried_requests_total.labels(backend)
        self.split_requests = metrics.split_requests_total.labels(backend)
        self.request_seconds = metrics.request_seconds.labels(backend)
        self.requests_in_flight = metrics.requests_in_flight.labels(backend)
        self.in_flight_bytes = metrics.in_flight_bytes.labels(backend)
        self.reading_paused = metrics.reading_paused.labels(backend)
        self.backend_failing = metrics.backend_failing.labels(backend)
        self.batch_limit_bytes = metrics.batch_limit_bytes.labels(backend)
        self.lag_records = metrics.lag_records.labels(backend)
        self.lag_seconds = metrics.lag_seconds.labels(backend)
        self.partitions_assigned = metrics.partitions_assigned.labels(backend)
        self.rebalances = metrics.rebalances_total.labels(backend)
        self._metrics = metrics
        self._backend = backend
        for reason in LETTER_REASONS:
            metrics.dead_letters_total.labels(backend, reason)

    def failed(self, code: str) -> None:
        """A request was answered with this code."""
        self._metrics.failed_requests_total.labels(self._backend, code).inc()

    def dead_letter(self, reason: LetterReason) -> None:
        """Kafka has a dead letter."""
        self._metrics.dead_letters_total.labels(self._backend, reason).inc()
