"""Broker, agent and worker of the demo, and what the worker says of itself."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from sampler.clock import monotonic_s
from sampler.config import Config
from sampler.demo.children import Child, ChildError
from sampler.embedded.broker import EmbeddedBroker

PARTITIONS = 12
"""The embedded broker keeps 5 MiB a partition: room for the whole recording, kept whole."""
READY_S = 60.0
LOOK_S = 0.1
HTTP_S = 2.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the demo listens, all on the loopback address."""

    grpc: int
    http: int
    agent_web: int
    worker_web: int


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What a worker has done so far, as its /metrics say."""

    traces: dict[str, int]
    """Traces decided: sampled, not_sampled, dropped."""
    spans: dict[str, int]
    """Their spans, exact copies included."""
    by_policy: dict[str, int]
    """Traces dropped, by policy."""
    waiting: int
    """Undecided traces."""
    records_out: int
    """Records on the sampled topic that the broker acknowledged."""
    late_spans: int

    @property
    def decided(self) -> int:
        """Traces decided, either way."""
        return sum(self.traces.values())


class Stack:
    """The running pipeline; a `with` block ends with everything stopped and reaped."""

    def __init__(self, policies: Path, folder: Path) -> None:
        self.topics = Config().kafka.topics
        self.ports = choose_ports()
        self._policies = policies
        self._folder = folder
        self._broker: EmbeddedBroker | None = None
        self._children: list[Child] = []
        self._pause = threading.Event()

    def __enter__(self) -> Self:
        """Start the processes; `wait_ready` waits for them."""
        topics = self.topics
        own = dict.fromkeys((topics.spans, topics.sampled, topics.decisions), PARTITIONS)
        self._broker = EmbeddedBroker(topics={**own, topics.keyspace: 1, topics.dead_letter: 1})
        common = ["--brokers", self.bootstrap, "--no-create-topics", "--log-level", "info"]
        try:
            self._children.append(Child("agent", ["agent", *common, *self._agent_options()], self._folder))
            self._children.append(Child("worker", ["worker", *common, *self._worker_options()], self._folder))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything."""
        self.stop()

    @property
    def bootstrap(self) -> str:
        """The broker's address."""
        assert self._broker is not None
        return self._broker.bootstrap

    def check(self) -> None:
        """ChildError if a process has ended."""
        for child in self._children:
            child.check()

    def wait_ready(self) -> None:
        """Until agent and worker can do their work; ChildError where one does not come up."""
        self._wait(lambda: all(_ready(port) for port in (self.ports.agent_web, self.ports.worker_web)))

    def worker_state(self) -> WorkerState | None:
        """The worker's metrics; None while it does not answer."""
        page = _get(self.ports.worker_web, "/metrics")
        return parse_state(page) if page is not None else None

    def logs(self) -> str:
        """The ends of the processes' logs."""
        return "\n".join(f"end of the {child.name}'s log:\n{child.tail()}" for child in self._children)

    def stop(self) -> None:
        """Stop what runs: the agent first, so that nothing comes in any more."""
        for child in self._children:
            child.stop()
        if self._broker is not None:
            self._broker.close()

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = monotonic_s() + READY_S
        while not condition():
            self.check()
            if monotonic_s() > deadline:
                raise ChildError(f"agent and worker are not ready after {READY_S:.0f} s\n{self.logs()}")
            self._pause.wait(LOOK_S)

    def _agent_options(self) -> list[str]:
        ports = self.ports
        return [
            "--grpc-endpoint", f"localhost:{ports.grpc}", "--http-endpoint", f"localhost:{ports.http}",
            "--web-endpoint", f"localhost:{ports.agent_web}",
        ]  # fmt: skip

    def _worker_options(self) -> list[str]:
        return [
            "--policies", str(self._policies), "--data-dir", str(self._folder / "worker"),
            "--web-endpoint", f"localhost:{self.ports.worker_web}",
        ]  # fmt: skip


def choose_ports() -> Ports:
    """The usual ports where they are free, else any free ones."""
    holders: list[socket.socket] = []
    try:
        return Ports(*(_free_port(usual, holders) for usual in (4317, 4318, 8484, 8485)))
    finally:
        for holder in holders:
            holder.close()


def parse_state(page: str) -> WorkerState:
    """The state from the text of /metrics."""
    traces: dict[str, int] = {}
    spans: dict[str, int] = {}
    dropped: dict[str, int] = {}
    plain: dict[str, int] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            name, value = sample.name.removeprefix("tailsampler_"), int(sample.value)
            match name:
                case "traces_decided_total":
                    traces[sample.labels["decision"]] = value
                case "spans_decided_total":
                    spans[sample.labels["decision"]] = value
                case "policy_traces_total" if sample.labels["decision"] == "dropped":
                    dropped[sample.labels["policy"]] = value
                case "late_spans_total":
                    plain[name] = plain.get(name, 0) + value
                case "traces_buffered" | "output_records_total":
                    plain[name] = value
    return WorkerState(
        traces, spans, dropped, plain.get("traces_buffered", 0), plain.get("output_records_total", 0),
        plain.get("late_spans_total", 0),
    )  # fmt: skip


def _free_port(usual: int, holders: list[socket.socket]) -> int:
    for port in (usual, 0):
        holder = socket.socket()
        # A port that an earlier run has just left counts as free, as it does for the servers.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:
            holder.close()
            continue
        holders.append(holder)
        return int(holder.getsockname()[1])
    raise ChildError("no free port on the loopback address")


def _ready(port: int) -> bool:
    return _get(port, "/readyz") is not None


def _get(port: int, path: str) -> str | None:
    """The body of a page, None where there is no answer or no 200."""
    connection = http.client.HTTPConnection("localhost", port, timeout=HTTP_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
        return body if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
