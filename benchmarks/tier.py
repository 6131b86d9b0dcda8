"""A worker process of a benchmark: its files, its start, and its readings."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from benchmarks.loads import PARTITIONS
from benchmarks.measure import Usage, usage_when
from tests.harness.kafka import KafkaCluster
from tests.harness.process import TestProcess, free_ports

Table: TypeAlias = Literal["memory", "rocksdb", "spilling"]
ScannerName: TypeAlias = Literal["compiled", "upb"]
MEMORY_LIMIT_MIB: dict[Table, int] = {"memory": 4096, "rocksdb": 0, "spilling": 256}
"""`memory` never spills, on `rocksdb` every chunk goes to disk, `spilling` is the default of the configuration."""

POLICIES = [
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}},
    {"name": "vip", "type": "string_attribute", "string_attribute": {"key": "user.tier", "values": ["vip"]}},
    {
        "name": "server-errors",
        "type": "numeric_attribute",
        "numeric_attribute": {"key": "http.response.status_code", "min_value": 500, "max_value": 599},
    },
    {"name": "tenth", "type": "probabilistic", "probabilistic": {"sampling_percentage": 10}},
]
STARTED = re.compile(r"fetching [1-9]\d* partitions")
"""What the worker says when its data plane is given its partitions: its group and its tables are up by then."""
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Setup:
    """How a worker is set up for one run."""

    table: Table
    scanner: ScannerName
    decision_wait_ms: int
    librdkafka: dict[str, str | int]


class BenchmarkWorker:
    """`tailsampler worker` on a given span topic; its other topics and its files are its own. Gone after `with`."""

    def __init__(self, kafka: KafkaCluster, span_topic: str, run: str, setup: Setup) -> None:
        self._kafka = kafka
        self.topics = {"spans": span_topic} | {
            name: f"{run}-{name}" for name in ("sampled", "decisions", "keyspace", "dead_letter")
        }
        self._folder = Path(tempfile.mkdtemp(prefix="tailsampler-bench-"))
        (self._port,) = free_ports(1)
        worker = {
            "data_dir": str(self._folder / "data"),
            "trace_table": {"memory_limit_mib": MEMORY_LIMIT_MIB[setup.table]},
            "scanner": setup.scanner,
            "initial_offset": "earliest",
        }
        config: dict[str, Any] = {
            "kafka": {
                "brokers": [kafka.bootstrap], "topics": self.topics, "group_id": run, "create_topics": False,
                "librdkafka": setup.librdkafka,
            },
            "worker": worker,
            "web": {"endpoint": f"127.0.0.1:{self._port}"},
        }  # fmt: skip
        policies = {"tail_sampling": {"decision_wait": f"{setup.decision_wait_ms}ms", "policies": POLICIES}}
        # JSON is YAML.
        files = {"config.yaml": config, "policies.yaml": policies}
        for name, content in files.items():
            (self._folder / name).write_text(json.dumps(content))
        arguments = [part for name in files for part in (f"--{name.split('.')[0]}", str(self._folder / name))]
        command = [sys.executable, "-m", "sampler.cli", "worker", *arguments]
        self.process = TestProcess(command, self._folder / "worker.log")

    def __enter__(self) -> Self:
        for name, topic in self.topics.items():
            if name != "spans":
                compact = {"cleanup.policy": "compact"} if name in {"decisions", "keyspace"} else {}
                self._kafka.create_topic(topic, PARTITIONS, config=compact)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        if error is not None:
            print(self.process.output()[-6000:], file=sys.stderr)
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> Usage:
        """Start the process, and return what it had used when it began to fetch spans (the reading just before)."""
        self.process.start()
        return usage_when(
            self.process.pid,
            lambda: STARTED.search(self.process.output()) is not None,
            START_S,
            f"a worker that fetches\n{self.process.output()[-3000:]}",
            before=True,
        )

    def metric(self, name: str) -> float:
        """The sum of a metric's series; 0 where there are none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}(\{{[^}}]*\}})? ", line))

    def own_topics(self) -> list[str]:
        """The topics to delete when the run is over."""
        return [topic for name, topic in self.topics.items() if name != "spans"]
