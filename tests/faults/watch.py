"""Follows a tier while a scenario runs: how far it has committed, and what a crash of a worker may repeat."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.harness.tier import Tier

LOOK_EVERY_S = 0.25
REQUEST_S = 5.0
LARGEST_TICK = "tailsampler_largest_tick_traces"


class Watch:
    """Looks four times a second until `stop`. `recover_s` is None where the fault was not recovered from by then."""

    def __init__(self, tier: Tier) -> None:
        self.largest_tick = 0
        self.recover_s: float | None = None
        self._tier = tier
        # The admin client can do this too, but may take the process down when the group's coordinator is killed.
        self._consumer = Consumer(
            {"bootstrap.servers": tier.kafka.bootstrap, "group.id": tier.group, "enable.auto.commit": False,
             "log_level": 0, "reconnect.backoff.max.ms": 500}
        )  # fmt: skip
        self._struck: tuple[float, dict[int, int]] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def strike(self) -> None:
        """The fault comes now."""
        ends = self._tier.kafka.end_offsets(self._tier.topics["spans"])
        self._struck = time.monotonic(), {partition: end for partition, end in ends.items() if end}

    def stop(self) -> None:
        """Look once more, and no more after that."""
        self._ended.set()
        self._thread.join(60)
        self._look()
        self._consumer.close()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            self._look()

    def _look(self) -> None:
        for number, worker in enumerate(self._tier.workers):
            if worker.running:
                try:
                    self.largest_tick = max(self.largest_tick, int(self._tier.metric(number, LARGEST_TICK)))
                except OSError:
                    continue
        if self._struck is not None and self.recover_s is None:
            struck_s, ends = self._struck
            committed = self._committed()
            if all(committed.get(partition, 0) >= end for partition, end in ends.items()):
                self.recover_s = round(time.monotonic() - struck_s, 1)

    def _committed(self) -> dict[int, int]:
        """Offset committed by partition; none while no broker says so."""
        topic = self._tier.topics["spans"]
        asked = [TopicPartition(topic, partition) for partition in range(self._tier.partitions)]
        try:
            found = self._consumer.committed(asked, timeout=REQUEST_S)
        except KafkaException:
            return {}
        return {each.partition: each.offset for each in found if each.error is None}
