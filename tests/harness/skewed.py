"""Live traffic that is spread unequally over partitions, for as long as a test wants it."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from confluent_kafka import Producer

from sampler.otlp import message_key, partition_of
from tests.harness.traffic import SpanSpec, encode

T = TypeVar("T")
STEP_S = 0.02
JOIN_S = 40.0


class SkewedTraffic:
    """Publishes traces from a thread inside the `with` block, each whole in one record, `weights` of them by partition.

    `keys` are values of the attribute `key`, with how many parts of the traces have them. Of every hundred traces
    exactly so many hundredths are of a partition, and of a key.
    """

    def __init__(
        self, bootstrap: str, topic: str, weights: Sequence[float], traces_per_s: float, *, spans: int = 2,
        keys: dict[str, float] | None = None, seed: int = 1,
    ) -> None:  # fmt: skip
        self._draw = random.Random(seed)
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "log_level": 0})
        self._topic = topic
        self._partitions = len(weights)
        self._wanted = self._turns(dict(enumerate(weights)))
        self._keys = self._turns(keys or {"": 1.0})
        self._traces_per_s = traces_per_s
        self._spans = spans
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="skewed-traffic", daemon=True)
        self.sent: Counter[int] = Counter()
        """Traces sent so far, by partition."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        began, count = time.monotonic(), 0
        while not self._stop.wait(STEP_S):
            # Behind, as on a machine that was busy, it goes on from now: a burst would be another load than the test's.
            due = int((time.monotonic() - began) * self._traces_per_s)
            for _ in range(min(due - count, int(5 * STEP_S * self._traces_per_s) + 1)):
                self._send()
            count = due
            self._producer.poll(0)
        self._producer.flush(JOIN_S)

    def _turns(self, parts: dict[T, float]) -> Iterator[T]:
        hundred = [each for each, part in parts.items() for _ in range(round(100 * part))]
        while True:
            self._draw.shuffle(hundred)
            yield from hundred

    def _send(self) -> None:
        wanted, key = next(self._wanted), next(self._keys)
        trace_id = self._draw.randbytes(16)
        while partition_of(trace_id, self._partitions, "sarama") != wanted:
            trace_id = self._draw.randbytes(16)
        ids = [self._draw.randbytes(8) for _ in range(self._spans)]
        spans = [SpanSpec("shop", each, ids[0] if n else b"", (("key", key),)) for n, each in enumerate(ids)]
        self._producer.produce(
            self._topic, encode(trace_id, spans, time.time_ns()), message_key(trace_id), wanted
        )  # fmt: skip
        self.sent[wanted] += 1
