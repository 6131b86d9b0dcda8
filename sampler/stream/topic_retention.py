"""For how long the span topic keeps its records, asked of the broker now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the package does not mark one of them as its own
    AdminClient,
    ConfigResource,
)

logger = logging.getLogger(__name__)

ASK_EVERY_S = 300.0
REQUEST_S = 10.0


class TopicRetention:
    """`retention.ms` and `retention.bytes` (of a partition) of a topic; None without limit, or where none is known."""

    def __init__(self, conf: Mapping[str, Any], topic: str) -> None:
        self._conf = dict(conf)
        self._topic = topic
        self._said = False
        self.retention_ms: int | None = None
        self.retention_bytes: int | None = None

    async def run(self) -> None:
        """Ask for as long as the process runs, in a thread: an answer may take seconds."""
        loop = asyncio.get_running_loop()
        while True:
            await loop.run_in_executor(None, self.ask)
            await asyncio.sleep(ASK_EVERY_S)

    def ask(self, timeout_s: float = REQUEST_S) -> None:
        """Ask once; without an answer what was known stays."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, self._topic)
        try:
            client = AdminClient(self._conf)
            found = client.describe_configs([resource], request_timeout=timeout_s)[resource].result(timeout_s)
            self.retention_ms, self.retention_bytes = (
                _limit(found[name].value) for name in ("retention.ms", "retention.bytes")
            )
        except Exception as error:  # whatever it is: a metric that is missing must not end the worker
            if not self._said:
                self._said = True
                logger.info(
                    "%s: its retention is not known, and retention_used_ratio stays 0 (it takes the right to describe "
                    "the topic's configuration): %s", self._topic, _reason(error),
                )  # fmt: skip

    def used(self, age_s: float, needed_bytes: float) -> float:
        """The share used up by records of this age, and by so many bytes in a partition, whichever is more."""
        shares = [0.0]
        if self.retention_ms:
            shares.append(age_s * 1000 / self.retention_ms)
        if self.retention_bytes:
            shares.append(needed_bytes / self.retention_bytes)
        return max(shares)


def _reason(error: Exception) -> str:
    """An error of Kafka's in its own words."""
    cause = error.args[0] if isinstance(error, KafkaException) else None
    return cause.str() if isinstance(cause, KafkaError) else str(error)


def _limit(text: str | None) -> int | None:
    number = int(text or -1)
    return number if number > 0 else None
