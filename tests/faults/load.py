"""The live load of a fault scenario, from a process of its own: traces whose spans arrive over several records.

`python -m tests.faults.load PLAN`, the plan as JSON. All records are made before it says `ready`; they are sent, each
at its time, from when the file `go` exists; at the end it says how many the brokers did not take.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Producer

from sampler.otlp import message_key, partition_of
from tests.harness.process import TestProcess
from tests.harness.traffic import SERVICES, SpanSpec, encode

SPANS = 12
SPANS_A_RECORD = 3
SPREAD_S = 2.0
"""The records of a trace come within so long after its first one."""
LATE_EVERY = 8
LATE_AFTER_S = 7.0
"""One trace in so many has one more span, which comes so long after the first: after the decision."""
SLICE_S = 0.005
FLUSH_S = 120.0

_TRACE_ID = b"\xf5trace-id-16byte"


def _span_id(number: int) -> bytes:
    return b"\xf5\xf5span" + bytes([0xF5, number])


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is sent. `shifts` are (from, to, shift), all in seconds: records sent in that time of the load by two traces
    in three have a timestamp that is off by so much, which only a topic with CreateTime shows.
    """

    bootstrap: str
    topic: str
    partitions: int
    go: str
    seconds: float
    seed: int = 1
    traces_per_s: float = 500.0
    shifts: Sequence[tuple[float, float, float]] = ()


class Send(NamedTuple):
    """One record: when, in seconds from the start, where to, what, and by how much its timestamp is off."""

    at_s: float
    partition: int
    key: bytes
    value: bytes
    shift_s: float = 0.0


class Load:
    """The process that sends a plan; it has begun when `with` is entered, and all is sent when it is left.

    `module` is what sends it, with `arguments` behind the plan.
    """

    def __init__(
        self, plan: LoadPlan, log: Path, module: str = "tests.faults.load", arguments: Sequence[str] = ()
    ) -> None:
        self.plan = plan
        self._began_s = 0.0
        self._process = TestProcess([sys.executable, "-m", module, json.dumps(asdict(plan)), *arguments], log)

    def __enter__(self) -> Load:
        self._process.start()
        self._process.wait_for_log("ready", 60)
        Path(self.plan.go).touch()
        self._began_s = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            self._process.kill()
            return
        status = self._process.wait(self.plan.seconds + FLUSH_S)
        assert status == 0, f"the load ended with {status}:\n{self._process.output()}"

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self._process.output()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self._began_s

    def until(self, seconds: float) -> None:
        """Return when the load has run for so long."""
        assert self._process.running or self.elapsed_s >= self.plan.seconds, self._process.output()
        # Time itself is the condition: a fault strikes so many seconds into the load.
        time.sleep(max(0.0, seconds - self.elapsed_s))


def shapes() -> dict[tuple[bool, bool, bool], list[bytes]]:
    """The records of a trace by (has an error, is a health check, is of staging), with placeholders for ids."""
    made = {}
    for error, health, staging in product((False, True), repeat=3):
        attributes = (
            ("http.route", "/health" if health else "/cart"),
            ("deployment.environment", "staging" if staging else "prod"),
            ("http.request.method", "GET"),
            ("server.address", "shop.example.com"),
        )
        spans = [
            SpanSpec(SERVICES[n // 4 % 3], _span_id(n), _span_id(0) if n else b"", attributes, error and n == SPANS - 2)
            for n in range(SPANS + 1)
        ]
        groups = [spans[n : n + SPANS_A_RECORD] for n in range(0, SPANS, SPANS_A_RECORD)]
        made[error, health, staging] = [encode(_TRACE_ID, group, time.time_ns()) for group in (*groups, spans[SPANS:])]
    return made


def sends(plan: LoadPlan) -> list[Send]:
    """Every record of a plan, in order of time: 10 % of the traces with an error, health checks, staging."""
    rng, templates = random.Random(plan.seed), shapes()
    made: list[Send] = []
    for number in range(int(plan.seconds * plan.traces_per_s)):
        records = templates[rng.random() < 0.1, rng.random() < 0.1, rng.random() < 0.1]
        trace_id, root_id = rng.randbytes(16), rng.randbytes(8)
        key, partition = message_key(trace_id), partition_of(trace_id, plan.partitions, "sarama")
        began = number / plan.traces_per_s
        times = [began, *(began + rng.uniform(0, SPREAD_S) for _ in records[1:-1]), began + LATE_AFTER_S]
        for index, (at_s, template) in enumerate(zip(times, records, strict=True)):
            late = index == len(records) - 1
            if at_s > plan.seconds or (late and number % LATE_EVERY):
                continue
            value = template.replace(_TRACE_ID, trace_id).replace(_span_id(0), root_id)
            for n in range(index * SPANS_A_RECORD, SPANS + 1 if late else (index + 1) * SPANS_A_RECORD):
                value = value.replace(_span_id(n), rng.randbytes(8))
            shift_s = next((s for begin, end, s in plan.shifts if begin <= at_s < end and number % 3), 0.0)
            made.append(Send(at_s, partition, key, value, shift_s))
    return sorted(made, key=lambda send: send.at_s)


def _due(planned: Sequence[Send], began_s: float) -> Iterator[list[Send]]:
    """Slices of the plan, each when its time has come."""
    at = 0
    while at < len(planned):
        now_s = time.monotonic() - began_s
        end = at
        while end < len(planned) and planned[end].at_s <= now_s:
            end += 1
        yield list(planned[at:end])
        at = end
        # Paces the load.
        time.sleep(SLICE_S)


def main() -> None:
    """Send the plan named on the command line."""
    plan = LoadPlan(**json.loads(sys.argv[1]))
    planned = sends(plan)
    refused = 0

    def delivered(error: Any, _: Any) -> None:
        nonlocal refused
        refused += error is not None

    producer = Producer(
        {
            "bootstrap.servers": plan.bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "delivery.timeout.ms": int(FLUSH_S * 1000),
            "queue.buffering.max.messages": 1_000_000,
            "topic.metadata.propagation.max.ms": 1000,
            "log_level": 0,
        }
    )
    producer.list_topics(plan.topic, timeout=30)
    print("ready", len(planned), flush=True)
    while not Path(plan.go).exists():
        time.sleep(0.01)
    for due in _due(planned, time.monotonic()):
        for send in due:
            written_ms = time.time_ns() // 1_000_000 + int(send.shift_s * 1000)
            producer.produce(
                plan.topic, send.value, send.key, send.partition, on_delivery=delivered, timestamp=written_ms
            )
        producer.poll(0)
    left = producer.flush(FLUSH_S)
    print(f"sent {len(planned)}, refused {refused}, left {left}", flush=True)


if __name__ == "__main__":
    main()
