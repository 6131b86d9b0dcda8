"""From a bounded queue of spans to Kafka, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as NotYetError
from itertools import islice

from opentelemetry.context import attach, set_value
from opentelemetry.sdk.trace import ReadableSpan

from sampler.agent.publisher import Publisher, PublishError, RequestTooLargeError
from sampler.agent.settings import PublisherSettings
from sampler.clock import monotonic_s
from sampler.otlp import ScanError, get_scanner
from sampler.sdk.counts import Counts, NoMetrics
from sampler.sdk.encode import encode_spans
from sampler.sdk.options import Limits

log = logging.getLogger(__name__)

RETRY_S = 1.0
START_S = 2.0
REQUESTS = 8  # on their way at a time
SUPPRESS = "suppress_instrumentation"
"""What the SDK's own processors set, so that instrumented libraries make no spans of sending spans."""


class Pump:
    """Started when made. `offer` is called from any thread, `flush` and `close` too; none of them waits but these."""

    def __init__(
        self,
        publisher: PublisherSettings,
        limits: Limits,
        counts: Counts,
        transform: Callable[[bytes], bytes] | None,
    ) -> None:
        self._settings = publisher
        self._limits = limits
        self._counts = counts
        self._transform = transform
        self._queue: deque[ReadableSpan] = deque()
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._woken = False
        self._requests: set[asyncio.Task[None]] = set()
        self._sending: asyncio.Task[None] | None = None
        self._failed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tailsampler-spans", daemon=True)
        self._thread.start()

    def offer(self, spans: Sequence[ReadableSpan]) -> int:
        """Take as many as there is room for; returns how many these are."""
        with self._lock:
            room = 0 if self._failed else self._limits.max_queue_size - len(self._queue)
            taken = min(room, len(spans))
            self._queue.extend(spans if taken == len(spans) else islice(spans, taken))
            self._counts.accepted += taken
            self._counts.refused += len(spans) - taken
            wake = not self._woken and len(self._queue) >= self._limits.max_batch_size
            self._woken = self._woken or wake
        if wake and self._started.is_set():
            self._loop.call_soon_threadsafe(self._wake.set)
        return taken

    def flush(self, timeout_s: float) -> bool:
        """Whether all that was taken before is stored or given up within so many seconds."""
        if not self._started.wait(timeout_s) or self._failed:
            return False
        waiting = asyncio.run_coroutine_threadsafe(self._all_sent(), self._loop)
        try:
            waiting.result(timeout_s)
        except NotYetError:
            waiting.cancel()
            return False
        return True

    def close(self, timeout_s: float) -> None:
        """Store what was taken as far as that time allows, then end; what is left counts as failed."""
        deadline_s = monotonic_s() + timeout_s
        self.flush(timeout_s)
        if self._started.wait(timeout_s + START_S) and not self._failed:
            # Not in a thread of the loop's: at the end of the interpreter no new one can be started.
            end = asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout_s + 1)
            end(max(0.1, deadline_s - monotonic_s()))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(1)
        else:
            self._counts.failed += len(self._queue)

    def _run(self) -> None:
        attach(set_value(SUPPRESS, True))
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._begin())
            self._started.set()
            self._sending = self._loop.create_task(self._send())
            self._loop.run_forever()
        except Exception:
            log.exception("spans can no longer be exported")
            self._failed = True
            self._started.set()
        finally:
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    async def _begin(self) -> None:
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(REQUESTS)
        self._publisher = Publisher(self._settings, get_scanner(), NoMetrics(), transform=self._transform)
        await self._publisher.start()

    async def _send(self) -> None:
        delay_s = self._limits.schedule_delay_ms / 1000
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay_s)
            self._wake.clear()
            await self._empty_queue()

    async def _empty_queue(self) -> None:
        """Have all that is waiting now sent; what comes meanwhile may wait for the next time."""
        left = len(self._queue)
        while left > 0:
            await self._room.acquire()
            with self._lock:
                spans = [self._queue.popleft() for _ in range(min(self._limits.max_batch_size, len(self._queue)))]
                left -= max(1, len(spans))
                self._woken = len(self._queue) >= self._limits.max_batch_size
            if not spans:
                self._room.release()
                break
            task = self._loop.create_task(self._store(spans))
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)

    async def _store(self, spans: list[ReadableSpan]) -> None:
        """Until Kafka has them or the exporter ends."""
        left = len(spans)
        try:
            body, refused = encode_spans(spans)
            if refused:
                log.warning("%d spans have no context; they are left out", refused)
            while True:
                try:
                    receipt = await self._publisher.publish(body)
                except PublishError as error:
                    await asyncio.sleep(min(RETRY_S, error.retry_after_s))
                    continue
                if receipt.rejected:
                    log.warning("spans were not exported: %s", receipt.message)
                lost = refused + receipt.rejected
                self._counts.exported += left - lost
                left = lost
                break
        except (ScanError, RequestTooLargeError) as error:
            log.warning("%d spans cannot be exported: %s", left, error)
        finally:
            self._counts.failed += left
            self._room.release()

    async def _all_sent(self) -> None:
        await self._empty_queue()
        if self._requests:
            await asyncio.wait(set(self._requests))

    async def _end(self) -> Callable[[float], int]:
        if self._sending is not None:
            self._sending.cancel()
        with self._lock:
            left = len(self._queue)
            self._queue.clear()
            self._counts.failed += left
        requests = set(self._requests)
        for task in requests:
            task.cancel()
        if requests:
            await asyncio.wait(requests)
        return self._publisher.end()
