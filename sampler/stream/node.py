"""The worker's own parts around the Faust app: it answers the transport, keeps the lease and knows its health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from sampler.stream.batch import SpanBatch
from sampler.stream.lease import Lease
from sampler.stream.outputs import Outputs
from sampler.stream.pipeline import Pipeline
from sampler.stream.report import Reporter
from sampler.stream.span_source import SpanSource
from sampler.web.health import Health

logger = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 5.0
"""How long giving up partitions waits for acknowledgements: well below any session timeout."""
MAX_UNACKNOWLEDGED_BYTES = 64 * 1024 * 1024
"""Spans are not fetched while more than this waits for the broker, however few records it is."""
LOOP_PART = "loop"
TABLE_PART = "decision table"
ASSIGNMENT_PART = "assignment"
LEASE_PART = "lease"
HOUSEKEEPING_S = 0.02
REPORT_S = 1.0
RESTART_PAUSE_S = 1.0


class Node:
    """Implements `TailHooks`; `attach` completes it once the app's table exists."""

    pipeline: Pipeline
    reporter: Reporter

    def __init__(
        self,
        span_topic: str,
        source: SpanSource,
        outputs: Outputs,
        lease: Lease,
        health: Health,
        max_unacknowledged: int,
        monotonic_s: Callable[[], float],
    ) -> None:
        self.span_topic = span_topic
        self.source = source
        self._outputs = outputs
        self._lease = lease
        self._health = health
        self._max_unacknowledged = max_unacknowledged
        self._clock = monotonic_s
        self._recovered = False
        self._fetch_again_s = 0.0
        self._restarts_seen = 0
        health.register(LOOP_PART, 30.0, monotonic_s())
        health.set_ready(TABLE_PART, False, "not recovered yet")
        health.set_ready(ASSIGNMENT_PART, False, "no assignment yet")

    def attach(self, pipeline: Pipeline, reporter: Reporter) -> None:
        """The parts that need the app."""
        self.pipeline, self.reporter = pipeline, reporter

    # What the transport asks.

    def may_fetch(self) -> bool:
        """Spans come only when the tables are recovered, the lease holds and the outputs keep up."""
        return (
            self._recovered
            and self._clock() >= self._fetch_again_s
            and len(self._outputs) < self._max_unacknowledged
            and self._outputs.unacknowledged_bytes < MAX_UNACKNOWLEDGED_BYTES
            and self._lease.holds(self._clock())
        )

    def watermarks(self) -> Mapping[int, int]:
        """The offsets that may be committed."""
        return self.pipeline.watermarks()

    def heartbeat_succeeded(self, sent_s: float) -> None:
        """Renew the lease."""
        self._lease.renew(sent_s)

    async def before_handover(self) -> None:
        """Wait for the broker to acknowledge what was sent, record it, and so move the watermarks."""
        deadline_s = self._clock() + FLUSH_TIMEOUT_S
        while self.pipeline.unfinished and self._clock() < deadline_s:
            self._outputs.poll()
            self.pipeline.finish_acknowledged()
            await asyncio.sleep(HOUSEKEEPING_S)
        if self.pipeline.unfinished:
            logger.warning("gave up partitions with %d settlements unfinished", self.pipeline.unfinished)

    # What the app tells.

    def take(self, batch: SpanBatch) -> None:
        """Process one batch from the stream."""
        now_s = self._clock()
        self._health.beat(LOOP_PART, now_s)
        if self._holds_lease(now_s):
            self.pipeline.process(batch)
            self._outputs.poll()

    def partitions_revoked(self) -> None:
        """The group is being rebalanced: nothing here may be decided any more."""
        self._recovered = False
        self._health.set_ready(ASSIGNMENT_PART, False, "rebalancing")
        self._health.set_ready(TABLE_PART, False, "rebalancing")
        self.pipeline.drop_all()

    def partitions_assigned(self, partitions: int) -> None:
        """An assignment has come; its tables are still to be recovered."""
        self._health.set_ready(ASSIGNMENT_PART, partitions > 0, "no partition assigned: more workers than partitions?")
        self.reporter.rebalanced(self._clock())

    def recovered(self) -> None:
        """The decision tables of the assignment are read back."""
        self._recovered = True
        self._health.set_ready(TABLE_PART, True)
        self.reporter.recovered(self._clock())

    async def housekeeping(self) -> None:
        """Acknowledgements, liveness and metrics, for as long as the app runs."""
        reported_s = self._clock()
        while True:
            now_s = self._clock()
            self._health.beat(LOOP_PART, now_s)
            self._outputs.poll()
            if self._holds_lease(now_s):
                self._finish(now_s)
            if now_s - reported_s >= REPORT_S:
                reported_s = now_s
                self.reporter.report(now_s)
                self._health.set_ready(LEASE_PART, self._lease.holds(now_s), "no answer from the group coordinator")
            await asyncio.sleep(HOUSEKEEPING_S)

    def _finish(self, now_s: float) -> None:
        """Finish what was acknowledged; after a restart nothing is fetched for a moment, so that it does not spin."""
        self.pipeline.finish_acknowledged()
        if self.pipeline.restarts != self._restarts_seen:
            self._restarts_seen = self.pipeline.restarts
            self._fetch_again_s = now_s + RESTART_PAUSE_S

    def _holds_lease(self, now_s: float) -> bool:
        """Whether deciding is safe. When the lease has ended, what was gathered is dropped and read again later."""
        holds = self._lease.holds(now_s)
        if not holds and self.pipeline.watermarks():
            logger.error("no heartbeat was answered for half the session timeout: dropping what was gathered")
            self._outputs.purge()
            self.pipeline.start_over()
        return holds
