"""Dropped traces come back on real Kafka: by a late error, by a rescue, and they stay back over a crash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from tests.harness.kafka import KafkaCluster
from tests.harness.process import wait_until
from tests.harness.reading import Record
from tests.harness.tier import Tier
from tests.harness.traffic import Found, SpanSpec, TraceSpec, plan_traces, publish, read_sampled

pytestmark = pytest.mark.kafka

WAIT_S = 2.0
TICK_MS = 250
POLICIES = {
    "decision_wait": f"{WAIT_S:g}s",
    "retain_dropped": "5m",
    "policies": [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}],
}


def with_late_errors(traces: Sequence[TraceSpec]) -> list[TraceSpec]:
    """The late span of a trace that has one is an error."""
    return [replace(trace, late=tuple(replace(span, error=True) for span in trace.late)) for trace in traces]


def is_health(trace: TraceSpec) -> bool:
    return dict(trace.spans[0].attributes)["http.route"] == "/health"


def has_error(trace: TraceSpec) -> bool:
    return any(span.error for span in (*trace.spans, *trace.late))


def late_errors(records: Sequence[Record], with_error: set[bytes]) -> set[bytes]:
    """The traces whose first error came into the span topic after they had been decided, whatever the clock says."""
    first_ms: dict[bytes, int] = {}
    error_ms: dict[bytes, int] = {}
    for record in records:
        for resource in TracesData.FromString(record.value or b"").resource_spans:
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                first_ms.setdefault(span.trace_id, record.timestamp_ms)
                if span.status.code == Status.STATUS_CODE_ERROR:
                    error_ms.setdefault(span.trace_id, record.timestamp_ms)
    assert error_ms.keys() == with_error
    decided_after_ms = 1000 * WAIT_S + 2 * TICK_MS
    return {trace_id for trace_id, ms in error_ms.items() if ms - first_ms[trace_id] > decided_after_ms}


def still_later(traces: Sequence[TraceSpec]) -> list[TraceSpec]:
    """One more span without an error for each trace, and nothing else."""
    return [
        TraceSpec(trace.trace_id, (SpanSpec("payment", trace.trace_id[:8], trace.spans[0].span_id),))
        for trace in traces
    ]


def sampled(tier: Tier) -> Found:
    return read_sampled(tier.kafka.read_all(tier.topics["sampled"]))


def resurrected(tier: Tier) -> float:
    """How many traces the two workers say that late spans brought back; they report some times a second."""
    return sum(tier.metric(n, "tailsampler_second_look_traces_total", '{reason="resurrected"}') for n in (0, 1))


def rescue(tier: Tier, *arguments: str) -> set[bytes]:
    """What the command says it has written, or would."""
    workers = [word for number in range(len(tier.workers)) for word in ("--worker", tier.url(number))]
    done = subprocess.run(
        [sys.executable, "-m", "sampler.cli", "rescue", *workers, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {bytes.fromhex(line) for line in done.stdout.split()}


def test_dropped_traces_come_back_whole_and_stay_back(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """Two workers; a crash of both afterwards: their successor knows which traces came back."""
    traces = with_late_errors(plan_traces(900, seed=5, spread_s=1.0, late_after_s=6.0))
    by_error = {trace.trace_id for trace in traces if has_error(trace)}
    by_rescue = {trace.trace_id for trace in traces if is_health(trace)} - by_error
    assert len(by_rescue) > 30
    with Tier(kafka, topics("t"), tmp_path, POLICIES) as tier:
        tier.start_worker(wait=False)
        tier.start_worker()
        tier.wait_ready(0)
        publish(kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, 300.0)
        tier.wait_decided()

        late = late_errors(kafka.read_all(tier.topics["spans"]), by_error)
        wait_until(lambda: 30 < len(late) <= resurrected(tier) <= len(by_error), 10, f"{len(late)} resurrected traces")
        found = sampled(tier)
        assert found.trace_ids == by_error

        assert rescue(tier, "--where", 'http.route == "/health"', "--since", "5m", "--dry-run") == by_rescue
        assert rescue(tier, "--where", 'http.route == "/health"', "--since", "5m") == by_rescue
        found = sampled(tier)
        assert found.trace_ids == by_error | by_rescue
        by_id = {trace.trace_id: trace for trace in traces}
        assert all(set(spans) == by_id[each].span_ids for each, spans in found.spans.items())
        assert found.duplicated() == 0
        assert all(("sampling.policy", "rescue") in found.attributes[each] for each in by_rescue)

        wait_until(
            lambda: all(not tier.metric(n, "tailsampler_outputs_unacknowledged") for n in (0, 1)),
            10,
            "the last outputs",
        )
        # Both commit every second: what the decision table has by now must do.
        for worker in tier.workers:
            worker.kill()
        tier.start_worker()
        publish(kafka.bootstrap, tier.topics["spans"], tier.partitions, still_later(traces), 300.0)
        wait_until(lambda: tier.metric(2, "tailsampler_consumer_lag_records") == 0, 30, "the last spans")
        tier.wait_decided()
        found = sampled(tier)
        assert found.trace_ids == by_error | by_rescue
        assert all(set(spans) == {*by_id[each].span_ids, each[:8]} for each, spans in found.spans.items())
        assert found.duplicated() == 0
