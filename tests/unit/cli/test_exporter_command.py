"""`tailsampler exporter` and what `tailsampler run` makes of backends, as processes before an embedded broker."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from sampler.cli.run import parts
from sampler.config.models import Config
from sampler.embedded.broker import EmbeddedBroker
from tests.harness.otlp_backend import BackendThread, Reaction
from tests.harness.process import TestProcess, free_ports, sampler_process
from tests.harness.reading import committed_offsets
from tests.unit.exporter.exporter_lab import span_ids, trace

TOPICS = {"otlp_spans_sampled": 2, "otlp_spans_dead_letter": 1}
START_S = 60.0


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """An embedded broker with the topics of an exporter."""
    with EmbeddedBroker(TOPICS, rebalance_delay_ms=1) as running:
        yield running


def config_file(folder: Path, broker: EmbeddedBroker, backends: list[dict[str, Any]], web_port: int = 0) -> Path:
    """A configuration for one exporter."""
    path = folder / "config.yaml"
    config = {
        "kafka": {"brokers": broker.bootstrap, "create_topics": False, "librdkafka": {"fetch.wait.max.ms": 10}},
        "exporter": {"backends": backends, "session_timeout": "1s", "commit_interval": "50ms"},
        "web": {"endpoint": f"127.0.0.1:{web_port}"},
    }
    path.write_text(json.dumps(config))
    return path


def write(broker: EmbeddedBroker, values: list[bytes]) -> None:
    """Fill the sampled topic."""
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number, value in enumerate(values):
        producer.produce("otlp_spans_sampled", value, partition=number % 2)
    assert producer.flush(10) == 0


def committed(broker: EmbeddedBroker) -> int:
    """Records that the group of the backend has committed."""
    client = {"bootstrap.servers": broker.bootstrap}
    return sum(committed_offsets(client, "tailsampler-exporter-one", "otlp_spans_sampled").values())


def test_killed_and_started_again(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """`kill -9` in the middle of a request loses nothing; SIGTERM ends with 0."""
    values = [trace(number) for number in range(50)]
    write(broker, values)
    (web_port,) = free_ports(1)
    with BackendThread() as stage:
        stage.backend.script.append(Reaction(stall=True))
        block = {"name": "one", "endpoint": f"127.0.0.1:{stage.backend.grpc_port}", "tls": {"insecure": True}}
        config = config_file(tmp_path, broker, [block], web_port)
        process = sampler_process(["exporter", "--config", str(config)], tmp_path / "exporter.log")
        with process:
            process.wait_until(lambda: not stage.backend.script, START_S, "a request")
            process.kill()
            assert process.returncode == -9
            stage.release()
            process.start()
            process.wait_until(lambda: committed(broker) == len(values), START_S, "all offsets")
            process.wait_for_http(f"http://127.0.0.1:{web_port}/readyz", START_S)
            assert process.terminate() == 0, process.output()
        assert stage.backend.spans.keys() == span_ids(values).keys()


def test_without_backends_there_is_nothing_to_do(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """An exporter without backends, or with a route that cannot be followed, says what to write and ends with 2."""
    empty = run_to_end(tmp_path, config_file(tmp_path, broker, []))
    assert "exporter.backends" in empty
    block = {"name": "one", "endpoint": "tempo:4317", "route": {"tenants": ["acme"]}}
    wrong = run_to_end(tmp_path, config_file(tmp_path, broker, [block]))
    assert "exporter.backends[0] (one): route.tenants" in wrong


def run_to_end(folder: Path, config: Path) -> str:
    """What an exporter says that ends with 2."""
    process: TestProcess = sampler_process(["exporter", "--config", str(config)], folder / f"{config.stem}.log").start()
    assert process.wait(START_S) == 2, process.output()
    return process.output()


def test_run_starts_an_exporter_where_there_are_backends(tmp_path: Path) -> None:
    """`run` has one more part, with a port of its own, that gets the policy file and the plugins too."""
    backends = [{"name": "one", "endpoint": "tempo:4317"}]
    plain = Config.model_validate({"web": {"endpoint": "127.0.0.1:8000"}})
    config = Config.model_validate({"web": {"endpoint": "127.0.0.1:8000"}, "exporter": {"backends": backends}})
    policies = tmp_path / "policies.yaml"
    assert [part.name for part in parts(plain, [], policies, 2, tmp_path)] == ["agent", "worker-1", "worker-2"]
    made = parts(config, ["--brokers", "k:1"], policies, 2, tmp_path, ("--plugins", "mine.py"))
    assert made[-1].name == "exporter"
    *argv, endpoint = made[-1].argv[3:]
    assert argv == [
        "exporter", "--brokers", "k:1", "--policies", str(policies), "--plugins", "mine.py", "--web-endpoint"
    ]  # fmt: skip
    assert endpoint not in {argument for part in made[:-1] for argument in part.argv}


def test_from_otlp_in_to_otlp_out(tmp_path: Path) -> None:
    """`tailsampler run` with the embedded broker takes spans and sends the kept traces to the backend."""
    policies = tmp_path / "policies.yaml"
    policies.write_text("tail_sampling: {decision_wait: 1s, policies: [{name: all, type: always_sample}]}")
    grpc_port, http_port = free_ports(2)
    with BackendThread() as stage:
        config = {
            "agent": {
                "grpc": {"endpoint": f"127.0.0.1:{grpc_port}"},
                "http": {"endpoint": f"127.0.0.1:{http_port}"},
            },
            "exporter": {
                "backends": [
                    {
                        "name": "one",
                        "endpoint": f"http://127.0.0.1:{stage.backend.http_port}",
                        "protocol": "http",
                    }
                ]
            },
            "web": {"endpoint": "127.0.0.1:0"},
            "worker": {"data_dir": str(tmp_path / "data")},
        }
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps(config))
        argv = ["run", "--config", str(path), "--policies", str(policies)]
        with sampler_process(argv, tmp_path / "run.log") as process:
            value = trace(1)
            request = urllib.request.Request(
                f"http://127.0.0.1:{http_port}/v1/traces", value, {"Content-Type": "application/x-protobuf"}
            )

            def sent() -> bool:
                try:
                    with urllib.request.urlopen(request, timeout=5) as answer:
                        return bool(answer.status == 200)
                except OSError:
                    return False

            process.wait_until(sent, START_S, "an agent that takes spans")
            process.wait_until(lambda: bool(stage.backend.spans), START_S, "a kept trace at the backend")
            assert process.terminate() == 0, process.output()
        assert stage.backend.spans.keys() == span_ids([value]).keys()
