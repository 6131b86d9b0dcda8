"""A real Prometheus scrapes `tailsampler run` on a real Kafka: every panel of every dashboard has data."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from deploy.prometheus.build import RULES
from tests.harness.kafka import KafkaCluster
from tests.harness.monitoring import queries
from tests.harness.otlp_backend import EXPORT_TRACES, BackendThread
from tests.harness.process import TestProcess, free_ports, sampler_process, wait_until
from tests.harness.prometheus import Prometheus
from tests.harness.tier import Tier

pytestmark = pytest.mark.kafka

ONLY_IN_TROUBLE = {
    "tailsampler_output_failures_total": "there is a series for each error with which Kafka refuses an output",
    "tailsampler_exporter_failed_requests_total": "there is a series for each code with which a backend refuses",
    "tailsampler_policy_too_slow_total": "a plugin has series once it was not asked for want of time",
}
"""What queries with these metrics wait for."""
SERVICES = ("storefront", "checkout", "payment")
POLICIES = {
    "decision_wait": "1s",
    "policies": [
        {"name": "no-probes", "type": "drop", "drop": {"drop_sub_policy": [
            {"name": "probe", "type": "string_attribute", "string_attribute": {"key": "probe", "values": ["yes"]}}]}},
        {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"name": "shares", "type": "dynamic",
         "dynamic": {"key": ["service"], "goal": {"mean_rate": 4}, "interval_ms": 1000}},
        {"name": "mine", "type": "noisy_neighbour"},
    ],
    "budget": {"spans_per_second": 1_000_000, "interval": "1s"},
    "tenants": {"attribute": "tenant", "sets": {"gold": {"policies": [{"name": "all", "type": "always_sample"}]}}},
}  # fmt: skip
PLUGIN = '''
from policies.contract import Policy, PolicyConfig
from policies.rset import NEVER


class NoisyNeighbour(Policy):
    """Keeps nothing, and is a plugin."""

    type = "noisy_neighbour"

    class Config(PolicyConfig):
        """Nothing to set."""

    def evaluate(self, trace):
        return NEVER

    def describe(self):
        return "nothing"
'''


class Traffic:
    """Traces of three spans, sent through the agent until `stop`; counts what was accepted."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, name="traffic", daemon=True)
        self.spans: Counter[str] = Counter()

    def _send(self) -> None:
        rng = random.Random(7)
        with grpc.insecure_channel(self._endpoint) as channel:
            export = channel.unary_unary(EXPORT_TRACES)
            while not self._stop.wait(0.1):
                data, counts = request(rng)
                export(data, timeout=30)
                self.spans += counts

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more; what was sent is acknowledged."""
        self._stop.set()
        self._thread.join()


def request(rng: random.Random) -> tuple[bytes, Counter[str]]:
    """Twenty traces with their number of spans by service; some fail, some are probes, some of a tenant."""
    data, counts = TracesData(), Counter[str]()
    for number in range(20):
        trace_id, parent = rng.randbytes(16), b""
        for service in SERVICES:
            resource_spans = data.resource_spans.add()
            attributes = resource_spans.resource.attributes
            attributes.add(key="service.name").value.string_value = service
            if number == 0:
                attributes.add(key="tenant").value.string_value = "gold"
            span_id = rng.randbytes(8)
            span = resource_spans.scope_spans.add().spans.add(
                trace_id=trace_id, span_id=span_id, parent_span_id=parent, name="op",
                start_time_unix_nano=10**18, end_time_unix_nano=10**18 + 10**7,
            )  # fmt: skip
            if number == 1:
                span.attributes.add(key="probe").value.string_value = "yes"
            if number == 2:
                span.status.code = Status.STATUS_CODE_ERROR
            parent = span_id
            counts[service] += 1
    return data.SerializeToString(), counts


@contextmanager
def everything(kafka: KafkaCluster, prefix: str, folder: Path, backend: str) -> Iterator[tuple[str, str]]:
    """`tailsampler run` with two workers and an exporter; (address of OTLP/gRPC, address of the page of all)."""
    with Tier(kafka, prefix, folder, POLICIES) as tier:
        grpc_port, http_port = free_ports(2)
        (folder / "plugin.py").write_text(PLUGIN)
        config: dict[str, Any] = json.loads(tier.config("all", 0).read_text())
        config["agent"] = {
            "grpc": {"endpoint": f"127.0.0.1:{grpc_port}"},
            "http": {"endpoint": f"127.0.0.1:{http_port}"},
        }
        config["exporter"] = {"backends": [{"name": "tempo", "endpoint": backend, "tls": {"insecure": True}}]}
        path = folder / "all.yaml"
        path.write_text(json.dumps(config))
        arguments = ["run", "--config", str(path), "--policies", str(tier.policies), "--workers", "2",
                     "--plugins", str(folder / "plugin.py")]  # fmt: skip
        with sampler_process(arguments, folder / "run.log") as process:
            page = page_of(process)
            process.wait_for_http(f"http://{page}/readyz", 90)
            yield f"127.0.0.1:{grpc_port}", page


def page_of(process: TestProcess) -> str:
    """Where the page of all processes is, as the command says it."""
    process.wait_for_log("of all processes")
    line = next(line for line in process.output().splitlines() if "of all processes" in line)
    return line.split("http://", 1)[1].split(" ", 1)[0]


def concrete(promql: str) -> str:
    """A panel's query with all jobs chosen, over the last quarter of a minute."""
    return promql.replace("$job", ".*").replace("$instance", ".*").replace("$__rate_interval", "15s")


def without_data(prometheus: Prometheus) -> list[str]:
    """The panels' queries, and the recorded ones, that have no series now, but for those that wait for trouble."""
    return [
        f"{where}: {promql}"
        for where, promql in queries()
        if not where.startswith("Tailsampler")
        and not any(name in promql for name in ONLY_IN_TROUBLE)
        and not prometheus.query(concrete(promql))
    ]


def test_every_panel_has_data(kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path) -> None:
    """One target tells of all processes; no alert fires; the numbers are those of the traffic, exemplars those kept."""
    with (
        BackendThread() as behind,
        everything(kafka, topics("metrics"), tmp_path, f"127.0.0.1:{behind.backend.grpc_port}") as (endpoint, page),
        Prometheus(tmp_path / "prometheus", {"tailsampler": [page]}, [RULES]) as prometheus,
        Traffic(endpoint) as traffic,
    ):
        wait_until(
            lambda: not without_data(prometheus), 120, "data in every panel",
            lambda: "\n".join([*without_data(prometheus), prometheus.targets()]),
        )  # fmt: skip
        traffic.stop()
        total = sum(traffic.spans.values())
        for counter in ("agent_spans_accepted_total", "spans_received_total", "spans_decided_total"):
            query = f"sum(tailsampler_{counter})"
            wait_until(
                lambda query=query: prometheus.value(query) == total, 60, f"{query} = {total}", prometheus.targets
            )
        for service, spans in traffic.spans.items():
            assert prometheus.value(f'sum(tailsampler_service_received_spans_total{{service="{service}"}})') == spans
        kept = "sum(tailsampler_service_sampled_spans_total)"
        wait_until(lambda: prometheus.value(kept) == sum(behind.backend.spans.values()), 60, "all kept spans delivered")
        assert prometheus.value("min(tailsampler_retention_seconds)") == 7 * 86400
        processes = {each["metric"]["process"] for each in prometheus.query("tailsampler_ready == 1")}
        assert processes == {"run", "agent", "worker-1", "worker-2", "exporter"}
        assert prometheus.query('ALERTS{alertstate="firing"}') == []
        found = prometheus.get(
            "query_exemplars", query="tailsampler_decision_latency_seconds_bucket", start="0", end="9999999999"
        )
        ids = {bytes.fromhex(each["labels"]["trace_id"]) for series in found for each in series["exemplars"]}
        delivered = {
            span.trace_id
            for received in behind.backend.received
            for resource_spans in received.request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        }
        assert ids
        assert ids <= delivered
