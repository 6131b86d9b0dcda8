"""Records that a backend does not take for good, on their way to the dead-letter topic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from sampler.clock import monotonic_s
from sampler.exporter.batch import Record
from sampler.exporter.say import Say
from sampler.metrics.exporter import ExporterMetrics, LetterReason
from sampler.otlp import ScanError
from sampler.otlp.annotate import divide
from sampler.stream.producers import Producers

log = logging.getLogger(__name__)

POLL_S: Final = 0.02
AGAIN_S: Final = 1.0
SMALLEST_BYTES: Final = 4096
"""A topic that refuses so small a record as too large is taken for a mistake, which one waits to be mended."""
ERROR_CHARACTERS: Final = 500
_CUT: Final = ("tailsampler.cut", b"only the beginning: this topic refuses the whole as too large")

Headers = list[tuple[str, str | bytes | None]]


class _Piece(NamedTuple):
    """A dead letter, or a part of it; `cut` where something is missing behind it."""

    value: bytes
    cut: bool = False


class DeadLetters:
    """Writes dead letters, each until the brokers have it. The producer is made when the first one comes.

    One event loop; `on_fatal` is told when the producer can no longer be used.
    """

    def __init__(
        self, conf: Mapping[str, Any], topic: str, metrics: ExporterMetrics, on_fatal: Callable[[str], None]
    ) -> None:
        self._conf = {"client.id": "tailsampler-exporter", "delivery.timeout.ms": 30_000, **conf}
        self._topic = topic
        self._metrics = metrics
        self._on_fatal = on_fatal
        self._say = Say(log, f"dead-letter topic {topic}")
        self._producers: Producers | None = None
        self._making = asyncio.Lock()
        self._waiting = 0
        self._polling: asyncio.Task[None] | None = None

    async def send(self, record: Record, backend: str, reason: LetterReason, error: str) -> None:
        """Returns when the brokers have the record, in pieces where the topic refuses it as too large."""
        headers = _headers(record, backend, reason, error)
        pieces = [_Piece(record.value)]
        while pieces:
            piece = pieces[0]
            refusal = await self._produce(piece.value, [*headers, _CUT] if piece.cut else headers)
            if refusal is None:
                pieces.pop(0)
                continue
            self._metrics.dead_letter_failures_total.inc()
            if refusal.code() == KafkaError.MSG_SIZE_TOO_LARGE and len(piece.value) > SMALLEST_BYTES:
                pieces[:1] = _smaller(piece)
                continue
            self._say(refusal.name(), f"a dead letter was not taken ({refusal.str()}); it is sent again")
            await asyncio.sleep(AGAIN_S)

    def close(self) -> None:
        """Forget what has not been taken: its offsets are not committed, so it comes again."""
        if self._polling is not None:
            self._polling.cancel()
        if self._producers is not None:
            self._producers.purge(in_flight=True)

    async def _produce(self, value: bytes, headers: Headers) -> KafkaError | None:
        """None when the brokers have it, else why they do not."""
        async with self._making:
            if self._producers is None:
                self._producers = await asyncio.to_thread(Producers, self._conf, self._on_fatal)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[KafkaError | None] = loop.create_future()

        def delivered(error: KafkaError | None, _message: Any) -> None:
            # Called from `poll`, on this loop.
            if not answer.done():
                answer.set_result(error)

        try:
            self._producers.produce(self._topic, value, None, -1, delivered, headers)
        except KafkaException as refused:
            error: KafkaError = refused.args[0]
            return error
        self._waiting += 1
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            return await answer
        finally:
            self._waiting -= 1

    async def _poll(self) -> None:
        began_s = monotonic_s()
        while self._waiting and self._producers is not None:
            self._producers.poll()
            # A broker answers within milliseconds or takes long.
            await asyncio.sleep(POLL_S if monotonic_s() - began_s > 1 else POLL_S / 10)


def _smaller(piece: _Piece) -> list[_Piece]:
    """Pieces of about half the size: cut between spans, or, where that cannot be done, only the first half."""
    half = len(piece.value) // 2
    try:
        values = [] if piece.cut else divide(piece.value, half)
    except ScanError:
        values = []
    if len(values) > 1:
        return [_Piece(value) for value in values]
    return [_Piece(piece.value[:half], cut=True)]


def _headers(record: Record, backend: str, reason: LetterReason, error: str) -> Headers:
    """Those of the worker's dead letters, and the backend."""
    return [
        ("tailsampler.topic", record.topic.encode()),
        ("tailsampler.partition", str(record.partition).encode()),
        ("tailsampler.offset", str(record.offset).encode()),
        ("tailsampler.reason", reason.encode()),
        ("tailsampler.error", error[:ERROR_CHARACTERS].encode()),
        ("tailsampler.backend", backend.encode()),
    ]
