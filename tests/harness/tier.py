"""A sampling tier for tests: topics on a real Kafka, and workers as real processes."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.kafka import KafkaCluster
from tests.harness.process import TestProcess, free_ports, sampler_process, wait_until

READY_S = 60.0


class Tier:
    """Workers of one group over topics of its own. Everything it started is gone at the end of the `with` block."""

    def __init__(
        self, kafka: KafkaCluster, prefix: str, folder: Path, policies: dict[str, Any], *, partitions: int = 4,
        session_timeout: str = "6s", worker: dict[str, Any] | None = None, copies: int = 1,
        timestamps: str = "LogAppendTime",
    ) -> None:  # fmt: skip
        """`copies` of every partition, of which all but one must be in sync; `timestamps` of the span topic."""
        self.kafka = kafka
        self.partitions = partitions
        self.copies = copies
        self._timestamps = timestamps
        self.topics = {
            name: f"{prefix}-{name}" for name in ("spans", "sampled", "decisions", "keyspace", "dead_letter")
        }
        self.group = f"{prefix}-group"
        self.client: dict[str, Any] = {}
        """What the `kafka:` block of processes started from now on has beside or in place of the usual."""
        self._folder = folder
        self._worker = {"session_timeout": session_timeout, "heartbeat_interval": "1s", **(worker or {})}
        # JSON is YAML: no quoting rules to get wrong here.
        self.policies = folder / "policies.yaml"
        self.write_policies(json.dumps({"tail_sampling": policies}))
        self.workers: list[TestProcess] = []
        self._urls: list[str] = []
        self._agents: list[TestProcess] = []
        self.grpc_endpoint = self.http_endpoint = ""

    def __enter__(self) -> Self:
        for name in self.topics:
            self.create_topic(name)
        return self

    def create_topic(self, name: str) -> None:
        """Create one of `topics`, as the product does."""
        compact = {"cleanup.policy": "compact"} if name in {"decisions", "keyspace"} else {}
        config = {"message.timestamp.type": self._timestamps} if name == "spans" else compact
        in_sync = {"min.insync.replicas": str(max(1, self.copies - 1))}
        self.kafka.create_topic(self.topics[name], self.partitions, self.copies, {**config, **in_sync})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self._agents, *self.workers):
            process.kill()
            if error is not None:
                print(f"--- {process.log}\n{process.output()[-8000:]}")

    def config(self, name: str, port: int, *, brokers: str | None = None, worker: dict[str, Any] | None = None) -> Path:
        """The configuration file of one process."""
        path = self._folder / f"{name}.yaml"
        kafka = {
            "brokers": brokers or self.kafka.bootstrap,
            "topics": self.topics,
            "group_id": self.group,
            "create_topics": False,
            **self.client,
        }
        worker = {**self._worker, "data_dir": str(self._folder / name), **(worker or {})}
        agent = {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": "127.0.0.1:0"}}
        web = {"endpoint": f"127.0.0.1:{port}"}
        path.write_text(json.dumps({"kafka": kafka, "worker": worker, "agent": agent, "web": web}))
        return path

    def start_worker(
        self, *, wait: bool = True, brokers: str | None = None, worker: dict[str, Any] | None = None
    ) -> TestProcess:
        """Start one more worker and, unless told otherwise, wait until it is ready.

        It may have other `brokers` and other settings in its `worker:` block than the rest.
        """
        number = len(self.workers)
        (port,) = free_ports(1)
        config = self.config(f"worker-{number}", port, brokers=brokers, worker=worker)
        process = sampler_process(
            ["worker", "--config", str(config), "--policies", str(self.policies)],
            self._folder / f"worker-{number}.log",
        ).start()
        self.workers.append(process)
        self._urls.append(f"http://127.0.0.1:{port}")
        if wait:
            self.wait_ready(number)
        return process

    def start_agent(self) -> TestProcess:
        """Start an agent on free ports and wait until it is ready; `grpc_endpoint` and `http_endpoint` name them."""
        grpc_port, http_port, web_port = free_ports(3)
        self.grpc_endpoint, self.http_endpoint = f"127.0.0.1:{grpc_port}", f"127.0.0.1:{http_port}"
        process = sampler_process(
            ["agent", "--config", str(self.config("agent", web_port)), "--grpc-endpoint", self.grpc_endpoint,
             "--http-endpoint", self.http_endpoint],
            self._folder / "agent.log",
        ).start()  # fmt: skip
        self._agents.append(process)
        process.wait_for_http(f"http://127.0.0.1:{web_port}/readyz", READY_S)
        return process

    def write_policies(self, text: str) -> None:
        """Replace the policy file as a whole, as deployments do: workers that run find out by themselves."""
        new = self.policies.with_suffix(".new")
        new.write_text(text)
        new.replace(self.policies)

    def data_dir(self, number: int) -> Path:
        """The data folder of a worker that was not given another one."""
        return self._folder / f"worker-{number}"

    def url(self, number: int) -> str:
        """Where a worker serves its metrics and health."""
        return self._urls[number]

    def wait_ready(self, number: int) -> None:
        """Wait until a worker says that it is ready."""
        self.workers[number].wait_for_http(f"{self._urls[number]}/readyz", READY_S)

    def metric(self, number: int, name: str, labels: str = "") -> float:
        """The value of a metric of a worker, 0 where it has no such series."""
        with urllib.request.urlopen(f"{self._urls[number]}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f"{name}{labels} "):
                    return float(line.rsplit(" ", 1)[1])
        return 0.0

    def wait_decided(self, timeout_s: float = 60.0) -> None:
        """Wait until every record of the span topic is decided, its outputs acknowledged and its offset committed."""
        ends = {p: end for p, end in self.kafka.end_offsets(self.topics["spans"]).items() if end}

        logs = "\n".join

        def committed() -> bool:
            if not any(worker.running for worker in self.workers):
                raise AssertionError("every worker has ended:\n" + logs(w.output()[-4000:] for w in self.workers))
            now = self.kafka.committed(self.group, self.topics["spans"])
            return all(now.get(p, 0) >= end for p, end in ends.items())

        wait_until(
            committed, timeout_s, f"commits up to {ends}", lambda: logs(w.output()[-4000:] for w in self.workers)
        )
