"""Reads the sampled topic from its beginning, as an exporter would."""

from __future__ import annotations

import threading

from confluent_kafka import Consumer, TopicPartition

from sampler.simulate.kept import KeptTraces

BATCH = 1000
WAIT_S = 0.1


class SampledReader:
    """Everything on the sampled topic, gathered in a thread of its own from `start` on."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self.kept = KeptTraces()
        self.records = 0
        self.failure: Exception | None = None
        self._stop = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "tailsampler.demo",
                "enable.auto.commit": False,
                # The embedded broker makes an empty fetch wait for all of this.
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; `kept` no longer changes then."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._consumer.close()

    def check(self) -> None:
        """Raises what stopped the reading, if anything did."""
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                for message in self._consumer.consume(BATCH, WAIT_S):
                    value = message.value()
                    if message.error() is None and value is not None:
                        self.kept.add(value)
                        self.records += 1
        except Exception as error:
            self.failure = error
