"""Batches to one backend: sent in parallel, tried again, cut in two, or given to the dead-letter topic."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from sampler.clock import monotonic_s
from sampler.config.exporter import Backend
from sampler.exporter.answers import Answer, Fate
from sampler.exporter.backoff import Backoff
from sampler.exporter.batch import Batch, Record, body_of
from sampler.exporter.dead_letters import DeadLetters
from sampler.exporter.sender import Sender
from sampler.exporter.state import BackendState
from sampler.log_fields import where
from sampler.metrics.exporter import BackendMetrics, LetterReason
from sampler.otlp import ScanError
from sampler.otlp.annotate import divide
from sampler.otlp.counting import count_spans

log = logging.getLogger(__name__)

RENEW_EVERY: Final = 5
"""Failures in a row after which new connections are made: one that hangs would fail for a quarter of an hour."""
SMALLEST_LIMIT_BYTES: Final = 16 * 1024
"""Requests are not made smaller than that because single ones were refused as too large."""


class Delivery:
    """Sends what it is given until it is settled; lives on one event loop.

    A batch is settled, and `on_settled` told, when each of its records was accepted or is in the dead-letter topic.
    `on_failure` is told of what must not happen: an error in this code.
    """

    def __init__(
        self,
        backend: Backend,
        sender: Sender,
        letters: DeadLetters,
        metrics: BackendMetrics,
        state: BackendState,
        on_settled: Callable[[Batch], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._backend = backend
        self._sender = sender
        self._letters = letters
        self._metrics = metrics
        self._state = state
        self._on_settled = on_settled
        self._on_failure = on_failure
        self._queue: asyncio.Queue[Batch | None] = asyncio.Queue()
        self._working = asyncio.Event()
        """The backend takes requests; those that wait for another try need not wait on."""
        self._working.set()
        self._stopping = asyncio.Event()
        self._hold_until_s = 0.0
        self._workers: list[asyncio.Task[None]] = []
        self.batch_limit_bytes = backend.sending.batch_size
        """Size of batches; smaller than configured once the backend has refused one as too large."""
        metrics.batch_limit_bytes.set(self.batch_limit_bytes)

    def start(self) -> None:
        """Begin to send."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._backend.sending.parallel)]

    def submit(self, batch: Batch) -> None:
        """Take a batch over."""
        self._queue.put_nowait(batch)

    async def stop(self, timeout_s: float) -> None:
        """Send nothing new, wait at most `timeout_s` for what is under way, and give the rest up."""
        self._stopping.set()
        for _ in self._workers:
            self._queue.put_nowait(None)
        if self._workers:
            await asyncio.wait(self._workers, timeout=timeout_s)
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._sender.close(), 1.0)

    async def _work(self) -> None:
        while True:
            batch = await self._queue.get()
            if batch is None or self._stopping.is_set():
                return
            try:
                if await self._deliver(batch):
                    self._on_settled(batch)
            except Exception as error:
                log.exception("backend %s: sending failed", self._backend.name)
                self._on_failure(error)
                return

    async def _deliver(self, batch: Batch) -> bool:
        """Settle all records of a batch; False where it was given up because the process stops."""
        if batch.fault:
            await self._bury(batch.records, "not_otlp", batch.fault)
            return True
        began_s = monotonic_s()
        waiting: list[Sequence[Record]] = [batch.records]
        while waiting:
            records = waiting.pop()
            answer = await self._settle(records, began_s)
            if answer is None:
                return False
            if answer.fate is not Fate.ACCEPTED:
                waiting += await self._refused(records, answer)
        return True

    async def _settle(self, records: Sequence[Record], began_s: float) -> Answer | None:
        """Send until the answer is one that stays; one that might pass only after `max_elapsed`. None: stopped."""
        retry = self._backend.retry
        backoff = Backoff(retry)
        while True:
            if not await self._held():
                return None
            answer = await self._send(records)
            if answer.fate not in {Fate.LATER, Fate.DENIED}:
                return answer
            wait_s = backoff.next_s(answer.retry_after_s)
            if retry.max_elapsed.ms and monotonic_s() - began_s + wait_s > retry.max_elapsed.seconds:
                return answer
            if not await self._pause(wait_s, answer.retry_after_s):
                return None
            self._metrics.retried_requests.inc()

    async def _send(self, records: Sequence[Record]) -> Answer:
        metrics = self._metrics
        # Made anew for every try, so that a batch that waits for the backend lies in memory once.
        body = body_of(records)
        metrics.requests_in_flight.inc()
        began_s = monotonic_s()
        try:
            answer = await self._sender.send(body)
        finally:
            metrics.requests_in_flight.dec()
        now_s = monotonic_s()
        metrics.request_seconds.observe(now_s - began_s)
        self._state.answered(answer, now_s)
        if answer.fate is Fate.ACCEPTED:
            self._count(records, len(body), answer.rejected_spans)
        else:
            metrics.failed(answer.code)
        if self._state.failing:
            self._working.clear()
            if answer.retry_after_s is not None:
                self._hold_until_s = max(self._hold_until_s, now_s + answer.retry_after_s)
            if self._state.failures % RENEW_EVERY == 0:
                await self._renew()
        else:
            self._working.set()
        return answer

    def _count(self, records: Sequence[Record], size_bytes: int, rejected: int) -> None:
        spans = sum([record.spans for record in records])
        rejected = min(rejected, spans)
        self._metrics.sent_spans.inc(spans - rejected)
        self._metrics.sent_records.inc(len(records))
        self._metrics.sent_bytes.inc(size_bytes)
        if rejected:
            self._metrics.rejected_spans.inc(rejected)

    async def _renew(self) -> None:
        try:
            await self._sender.renew()
        except (OSError, ValueError) as error:
            self._state.say("renew", f"its certificates cannot be read: {error}")

    async def _refused(self, records: Sequence[Record], answer: Answer) -> list[Sequence[Record]]:
        """What is to be sent in place of what was not taken: smaller requests; nothing after dead letters."""
        if answer.fate in {Fate.LATER, Fate.DENIED}:
            await self._bury(records, "max_elapsed", _words(answer))
            return []
        if answer.fate is Fate.TOO_LARGE:
            self._lower_limit(sum(len(record.value) for record in records), answer)
        if len(records) > 1:
            self._metrics.split_requests.inc()
            middle = len(records) // 2
            return [records[middle:], records[:middle]]
        pieces = _pieces(records[0]) if answer.fate is Fate.TOO_LARGE else []
        if len(pieces) > 1:
            self._metrics.split_requests.inc()
            return [[piece] for piece in reversed(pieces)]
        await self._bury(records, "too_large" if answer.fate is Fate.TOO_LARGE else "refused", _words(answer))
        return []

    def _lower_limit(self, refused_bytes: int, answer: Answer) -> None:
        limit = max(SMALLEST_LIMIT_BYTES, refused_bytes // 2)
        if limit < self.batch_limit_bytes and refused_bytes <= self.batch_limit_bytes:
            self.batch_limit_bytes = limit
            self._metrics.batch_limit_bytes.set(limit)
            text = f"it refuses a request of {refused_bytes} bytes ({_words(answer)}): they have {limit} at most now"
            self._state.say("limit", text)

    async def _bury(self, records: Sequence[Record], reason: LetterReason, error: str) -> None:
        await asyncio.gather(*(self._bury_one(record, reason, error) for record in records))

    async def _bury_one(self, record: Record, reason: LetterReason, error: str) -> None:
        about = where(record.topic, record.partition, record.offset)
        place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        text = f"{place} goes to the dead-letter topic ({reason}): {error}"
        self._state.say(f"letter {reason}", text, about=about)
        await self._letters.send(record, self._backend.name, reason, error)
        self._metrics.dead_letter(reason)

    async def _held(self) -> bool:
        """Wait until the backend may be asked, as long as it wanted to be left alone; False where the process stops."""
        while not self._stopping.is_set() and (wait_s := self._hold_until_s - monotonic_s()) > 0:
            await self._until(self._stopping, wait_s)
        return not self._stopping.is_set()

    async def _pause(self, wait_s: float, asked_s: float | None) -> bool:
        """Wait before another try: the whole time, or, where the backend takes others' requests again, the shortest.

        False where the process stops.
        """
        least_s = wait_s if asked_s is not None else min(wait_s, self._backend.retry.initial_interval.seconds)
        await self._until(self._stopping, least_s)
        if not self._stopping.is_set() and wait_s > least_s:
            stopping, working = (asyncio.create_task(each.wait()) for each in (self._stopping, self._working))
            await asyncio.wait({stopping, working}, timeout=wait_s - least_s, return_when=asyncio.FIRST_COMPLETED)
            for task in (stopping, working):
                task.cancel()
        return not self._stopping.is_set()

    @staticmethod
    async def _until(event: asyncio.Event, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), timeout_s)


def _pieces(record: Record) -> list[Record]:
    """A record in pieces of about half its size, cut between spans; itself where that cannot be done, or where it is so
    small that its size cannot be what it was refused for.
    """
    if len(record.value) <= SMALLEST_LIMIT_BYTES:
        return [record]
    try:
        values = divide(record.value, len(record.value) // 2)
    except ScanError:
        return [record]
    return [record._replace(value=value, spans=count_spans(value)) for value in values]


def _words(answer: Answer) -> str:
    return f"{answer.code}: {answer.text}" if answer.text else answer.code
