"""What chart, compose file and units start, started: spans in at the agent, kept traces out at a backend."""

from __future__ import annotations

import random
import signal
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.harness.deployed import Part, Place, chart_parts, compose_parts, systemd_parts, write_mounted
from tests.harness.kafka import KafkaCluster
from tests.harness.otlp_backend import EXPORT_TRACES, BackendThread, OtlpBackend
from tests.harness.process import TestProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1500)]  # where Helm is not there yet, the first test builds it

TRACES = 60
SPAN_NAMES = ("order", "pay", "ship")
READY_S = 90.0
ARRIVED_S = 60.0


def requests(seed: int) -> Iterator[tuple[bytes, bool, bytes]]:
    """Trace id, whether the trace has an error, and a request with its three spans."""
    source = random.Random(seed)
    for number in range(TRACES):
        trace_id, failed = source.randbytes(16), number % 3 == 0
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for name in SPAN_NAMES:
            span = scope.spans.add(trace_id=trace_id, span_id=source.randbytes(8), name=name)
            span.start_time_unix_nano = 1_700_000_000_000_000_000
            span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
            span.status.code = 2 if failed and name == "pay" else 0
        yield trace_id, failed, request.SerializeToString()


def send(agent: Part, seed: int) -> set[bytes]:
    """Send traces to an agent, which acknowledges each; the ids of those with an error."""
    failed = set()
    with grpc.insecure_channel(f"127.0.0.1:{agent.ports['otlp-grpc']}") as channel:
        export = channel.unary_unary(EXPORT_TRACES)
        for trace_id, is_failed, request in requests(seed):
            assert export(request, timeout=30) == b""
            if is_failed:
                failed.add(trace_id)
    return failed


def names_by_trace(backend: OtlpBackend) -> dict[bytes, list[str]]:
    """Names of the spans that have arrived, by trace."""
    found: dict[bytes, list[str]] = defaultdict(list)
    for received in list(backend.received):
        for resource_spans in received.request.resource_spans:
            for span in (span for scope in resource_spans.scope_spans for span in scope.spans):
                found[span.trace_id].append(span.name)
    return found


def metric(part: Part, line: str) -> float:
    """The value of a series, 0 where there is none."""
    with urllib.request.urlopen(part.url("/metrics"), timeout=5) as answer:
        found = [text for text in answer.read().decode().splitlines() if text.startswith(f"{line} ")]
    return float(found[0].rsplit(" ", 1)[1]) if found else 0.0


def change_policies(worker: Part, process: TestProcess) -> None:
    """Exchange the mounted ConfigMap for one whose policies keep everything, and wait until they run."""
    policies = "decision_wait: 2s\npolicies: [{name: all, type: always_sample}]\n"
    write_mounted(worker.folder / "etc/tailsampler/policies", {"policies.yaml": policies})
    taken = 'tailsampler_policy_reloads_total{outcome="success"}'
    process.wait_until(lambda: metric(worker, taken) >= 1, ARRIVED_S, "the changed policies are taken")


@pytest.mark.parametrize("describe", [chart_parts, compose_parts, systemd_parts])
def test_what_is_deployed_samples(
    describe: Callable[[Place], Iterator[Part]], kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """The processes make their topics, become ready, keep every trace with an error whole, write nowhere but to their
    volumes, and end with 0 in the time they are given. From the chart, workers also take a changed ConfigMap.
    """
    processes: dict[str, TestProcess] = {}
    with BackendThread() as thread:
        backend = thread.backend
        place = Place(tmp_path, kafka.bootstrap, f"127.0.0.1:{backend.grpc_port}", topics("deployed"))
        parts = {part.name: part for part in describe(place)}
        assert set(parts) == {"agent", "worker", "exporter"}

        def arrive(expected: set[bytes], what: str) -> None:
            processes["exporter"].wait_until(lambda: expected <= names_by_trace(backend).keys(), ARRIVED_S, what)

        try:
            for name, part in parts.items():
                processes[name] = part.start()
            for name, part in parts.items():
                processes[name].wait_until(part.healthy, READY_S, f"{name} is ready")
            arrive(send(parts["agent"], 1), "every trace with an error is at the backend")
            if describe is chart_parts:
                change_policies(parts["worker"], processes["worker"])
                send(parts["agent"], 2)
                arrive({trace_id for trace_id, _, _ in requests(2)}, "every trace is at the backend")
            for process in processes.values():
                process.signal(signal.SIGTERM)
            for name, part in parts.items():
                assert processes[name].wait(part.stop_s) == 0, f"{name} did not end well"
                assert part.written == []
        finally:
            for name, process in processes.items():
                process.kill()
                print(f"--- {name}\n{process.output()[-6000:]}")
    assert all(sorted(names) == list(SPAN_NAMES) for names in names_by_trace(backend).values())
