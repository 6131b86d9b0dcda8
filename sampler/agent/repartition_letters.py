"""Records of the source that hold no spans anybody can read: whole to the dead-letter topic, with where they stood."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sampler.agent.repartition_records import Piece
from sampler.clock import monotonic_s
from sampler.log_fields import where

log = logging.getLogger(__name__)

CUT_HEADER = "tailsampler.cut"
SMALLEST_BYTES = 4096
AGAIN_S = 1.0
SAY_EVERY_S = 60.0
OVERHEAD_BYTES = 1024


@dataclass(slots=True)
class _Letter:
    """`cut` says why the value is not the whole record; empty where it is."""

    piece: Piece
    reason: str
    error: str
    value: bytes | None
    cut: str = ""
    due_s: float = 0.0


class DeadLetters:
    """Writes dead letters until the broker has them; `on_stored` is called with the record when it has.

    With `leave_out` a letter says where its record stands and why it could not be read, but holds nothing of it: what
    could not be read could not be redacted either. All methods are called from one thread.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        topic: str,
        max_message_bytes: int,
        on_stored: Callable[[Piece], None],
        *,
        leave_out: bool = False,
    ) -> None:
        self._conf = conf
        self._topic = topic
        self._limit = max_message_bytes - OVERHEAD_BYTES
        self._on_stored = on_stored
        self._leave_out = leave_out
        self._producer: Producer | None = None
        self._again: deque[_Letter] = deque()
        self._say_again_s = 0.0

    def send(self, piece: Piece, reason: str, error: str) -> None:
        """Write a letter; it is said in the log too."""
        (topic, partition), offset = piece.run.partition, piece.offset
        log.warning(
            "%s, partition %d, offset %d: %s; to the dead-letter topic",
            topic, partition, offset, error, extra=where(topic, partition, offset),
        )  # fmt: skip
        letter = _Letter(piece, reason, error, piece.value)
        if self._leave_out:
            letter.value, letter.cut = None, "the value is left out: it could not be redacted"
        elif len(piece.value) > self._limit:
            self._shorten(letter, self._limit)
        self._produce(letter)

    def serve(self, now_s: float) -> None:
        """Let answers of the broker take effect, and send again what it refused."""
        if self._producer is None:
            return
        self._producer.poll(0)
        while self._again and self._again[0].due_s <= now_s:
            letter = self._again.popleft()
            letter.due_s = now_s + AGAIN_S
            self._produce(letter)

    def close(self, timeout_s: float) -> None:
        """Wait for what is on its way."""
        if self._producer is not None:
            self._producer.flush(timeout_s)

    def _shorten(self, letter: _Letter, size: int) -> None:
        letter.value = (letter.value or b"")[:size]
        letter.cut = f"only the beginning: the record has {len(letter.piece.value)} bytes"

    def _say_refused(self, reason: str) -> None:
        now_s = monotonic_s()
        if now_s >= self._say_again_s:
            self._say_again_s = now_s + SAY_EVERY_S
            log.warning("%s takes no dead letters (%s); they are sent again until it does", self._topic, reason)

    def _produce(self, letter: _Letter) -> None:
        if self._producer is None:
            self._producer = Producer({**self._conf, "client.id": "tailsampler-agent-letters"}, logger=log)

        def delivered(error: KafkaError | None, _message: Message | None) -> None:
            if error is None:
                self._on_stored(letter.piece)
                return
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and len(letter.value or b"") > SMALLEST_BYTES:
                self._shorten(letter, len(letter.value or b"") // 2)
                letter.due_s = 0.0
            else:
                self._say_refused(error.str())
            self._again.append(letter)

        headers = self._headers(letter)
        try:
            self._producer.produce(self._topic, letter.value, on_delivery=delivered, headers=headers)
        except BufferError:
            self._again.append(letter)
        except KafkaException as refused:
            delivered(refused.args[0], None)

    @staticmethod
    def _headers(letter: _Letter) -> list[tuple[str, str | bytes | None]]:
        """The same headers as the worker's dead letters."""
        (topic, partition), offset = letter.piece.run.partition, letter.piece.offset
        headers: list[tuple[str, str | bytes | None]] = [
            ("tailsampler.topic", topic.encode()),
            ("tailsampler.partition", str(partition).encode()),
            ("tailsampler.offset", str(offset).encode()),
            ("tailsampler.reason", letter.reason.encode()),
            ("tailsampler.error", letter.error.encode()),
        ]
        return [*headers, (CUT_HEADER, letter.cut.encode())] if letter.cut else headers
