"""Rescues: an operator asks for dropped traces that are still kept, and gets those that match written whole.

A request comes from another thread, waits its turn and is worked off in steps between batches, each of a bounded time,
so that deciding goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

from sampler.engine.partition import PartitionEngine
from sampler.engine.retained import Head
from sampler.engine.watermark import PendingSettlement
from sampler.otlp import ScanError, Scanner, ScanPlan
from sampler.stream.pipeline import Pipeline

logger = logging.getLogger(__name__)

STEP_S = 0.01
"""How long a step may hold up the worker; the trace it is at is finished."""
PAUSE_S = 0.01
MOST_NAMED = 10_000
"""Trace ids in an answer."""
MOST_WAITING = 4


@dataclass(frozen=True, slots=True)
class RescueRequest:
    """Traces dropped in the last `since_ms` of stream time that have a span for which the plan's condition holds."""

    where: str
    plan: ScanPlan
    since_ms: int
    dry_run: bool = False


@dataclass(slots=True)
class RescueAnswer:
    """What became of a request. `written` traces were acknowledged by the brokers; in a dry run there are none.

    `lost` matched and were not written: the brokers refused them, or a limit has removed a part of them meanwhile.
    `gone` partitions went to another worker before they were looked through.
    """

    looked_at: int = 0
    matched: int = 0
    written: int = 0
    lost: int = 0
    gone: int = 0
    trace_ids: list[str] = field(default_factory=list)


class RescueRefusedError(Exception):
    """The request cannot be taken; the message says why."""


class _Rescue:
    """One request under way."""

    def __init__(self, request: RescueRequest, pipeline: Pipeline, scanner: Scanner) -> None:
        self.answer = RescueAnswer()
        self._request = request
        self._pipeline = pipeline
        self._scanner = scanner
        self._extended: set[bytes] = set()
        self._sent: list[tuple[PendingSettlement, int]] = []
        self._engines = iter([engine for engine in pipeline.engines if engine.second_look is not None])
        self._engine: PartitionEngine | None = None
        self._traces: Iterator[tuple[bytes, Head]] = iter(())
        self._exhausted = False

    def step(self, clock_s: Callable[[], float]) -> None:
        """Look through some traces, and send those that match."""
        deadline_s = clock_s() + STEP_S
        rescued = 0
        while not self._exhausted and clock_s() < deadline_s:
            found = next(self._traces, None) if self._at_work() else None
            if found is None:
                self._send(rescued)
                rescued = 0
                self._next_partition()
            elif self._engine is not None:
                rescued += self._look_at(self._engine, *found)
        self._send(rescued)

    @property
    def done(self) -> bool:
        """Whether all is looked through, and the brokers have answered for all that was sent."""
        return self._exhausted and all(not pending.unacknowledged or pending.failed for pending, _ in self._sent)

    def finished(self) -> RescueAnswer:
        """The answer, when it is done."""
        for pending, traces in self._sent:
            if pending.failed:
                self.answer.lost += traces
            else:
                self.answer.written += traces
        return self.answer

    def _at_work(self) -> bool:
        return self._engine is not None and any(each is self._engine for each in self._pipeline.engines)

    def _next_partition(self) -> None:
        if self._engine is not None and not self._at_work():
            self.answer.gone += 1
        self._engine = next(self._engines, None)
        self._exhausted = self._engine is None
        look = self._engine.second_look if self._engine is not None else None
        if self._engine is not None and look is not None:
            now_ms = self._engine.time.now_ms
            self._traces = look.since(now_ms - self._request.since_ms, now_ms)

    def _look_at(self, engine: PartitionEngine, trace_id: bytes, head: Head) -> int:
        """The number of traces rescued by it: 0 or 1."""
        look = engine.second_look
        if look is None or trace_id in self._extended:
            return 0
        if head.parts > 1:
            # It may be met again, as it was before it was extended.
            self._extended.add(trace_id)
        self.answer.looked_at += 1
        chunks = look.payload(trace_id, engine.time.now_ms)
        if chunks is None or not self._matches(chunks):
            return 0
        self.answer.matched += 1
        if len(self.answer.trace_ids) < MOST_NAMED:
            self.answer.trace_ids.append(trace_id.hex())
        if self._request.dry_run:
            return 0
        rescued = look.rescue(trace_id, engine.time.now_ms)
        self.answer.lost += not rescued
        return int(rescued)

    def _matches(self, chunks: list[bytes]) -> bool:
        plan = self._request.plan
        for chunk in chunks:
            with suppress(ScanError):
                if any(summary.bits & 1 for _, _, summary in self._scanner.scan(plan, chunk).traces):
                    return True
        return False

    def _send(self, rescued: int) -> None:
        if rescued and self._engine is not None:
            pending = self._pipeline.hand_out(self._engine)
            if pending is None:
                self.answer.lost += rescued
            else:
                self._sent.append((pending, rescued))


class RescueDesk:
    """Takes requests from any thread; `run` works them off, one after the other, on the worker's event loop."""

    def __init__(self, pipeline: Pipeline, scanner: Scanner, may_send: Callable[[], bool]) -> None:
        """`may_send` tells whether the worker may decide now and its outputs keep up."""
        self._pipeline = pipeline
        self._scanner = scanner
        self._may_send = may_send
        self._waiting: queue.Queue[tuple[RescueRequest, Future[RescueAnswer]]] = queue.Queue(MOST_WAITING)

    def ask(self, request: RescueRequest) -> Future[RescueAnswer]:
        """Have a request worked off; RescueRefusedError where too many wait."""
        answer: Future[RescueAnswer] = Future()
        try:
            self._waiting.put_nowait((request, answer))
        except queue.Full:
            raise RescueRefusedError("other rescues are under way: try again when they are done") from None
        return answer

    async def run(self, clock_s: Callable[[], float]) -> None:
        """Work off requests for as long as the worker runs."""
        while True:
            try:
                request, answer = self._waiting.get_nowait()
            except queue.Empty:
                await asyncio.sleep(0.1)
                continue
            await self._work_off(request, answer, clock_s)

    async def _work_off(
        self, request: RescueRequest, answer: Future[RescueAnswer], clock_s: Callable[[], float]
    ) -> None:
        if not any(engine.second_look for engine in self._pipeline.engines):
            answer.set_exception(
                RescueRefusedError("nothing is kept here: no retain_dropped in the policy file, or no partition")
            )
            return
        rescue = _Rescue(request, self._pipeline, self._scanner)
        while not rescue.done:
            if self._may_send():
                rescue.step(clock_s)
            await asyncio.sleep(PAUSE_S)
        found = rescue.finished()
        logger.info(
            "rescue%s where %s: %d traces looked at, %d match, %d written",
            " (dry run)" if request.dry_run else "", request.where, found.looked_at, found.matched, found.written,
        )  # fmt: skip
        answer.set_result(found)
