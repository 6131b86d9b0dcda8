"""The worker's own parts around the Faust app: it answers the transport, keeps the lease and knows its health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from sampler.stream.batch import SpanBatch
from sampler.stream.lease import Lease
from sampler.stream.loop_watch import LoopWatch
from sampler.stream.outputs import Outputs
from sampler.stream.pipeline import Pipeline
from sampler.stream.pressure import Pressure
from sampler.stream.report import Reporter
from sampler.stream.span_source import SpanSource
from sampler.stream.tier_link import TierLink
from sampler.stream.watch import Watch
from sampler.web.health import Health

logger = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 5.0
"""How long giving up partitions waits for acknowledgements: well below any session timeout."""
CHECKPOINT_S = 4.0
"""How long a clean stop may take to write undecided traces to disk: with the rest of it below ten seconds."""
LOOP_PART = "loop"
TABLE_PART = "decision table"
ASSIGNMENT_PART = "assignment"
LEASE_PART = "lease"
HOUSEKEEPING_S = 0.02
HURRIED_S = 0.005
"""The same while outputs wait for those before them, as in a catch-up: how soon they may go is then its speed."""
REPORT_S = 1.0
WATCH_S = 1.0
RESTART_PAUSE_S = 1.0


class Node:
    """Implements `TailHooks`; `attach` completes it once the app's table exists."""

    pipeline: Pipeline
    reporter: Reporter
    watch: Watch
    tier: TierLink | None = None

    def __init__(
        self,
        span_topic: str,
        source: SpanSource,
        outputs: Outputs,
        lease: Lease,
        health: Health,
        pressure: Pressure,
        monotonic_s: Callable[[], float],
    ) -> None:
        self.span_topic = span_topic
        self.source = source
        self._outputs = outputs
        self._lease = lease
        self._health = health
        self.pressure = pressure
        self._clock = monotonic_s
        self._recovered = self._assigned = False
        self._fetch_again_s = 0.0
        self._restarts_seen = 0
        self._loop_watch = LoopWatch(monotonic_s)
        health.register(LOOP_PART, 30.0, monotonic_s())
        health.set_ready(TABLE_PART, False, "not recovered yet")
        health.set_ready(ASSIGNMENT_PART, False, "no assignment yet")

    def attach(self, pipeline: Pipeline, reporter: Reporter, watch: Watch, tier: TierLink | None = None) -> None:
        """The parts that need the app."""
        self.pipeline, self.reporter, self.watch, self.tier = pipeline, reporter, watch, tier

    # What the transport asks.

    def may_fetch(self) -> bool:
        """Spans come only when the tables are recovered, the lease holds and nothing holds the worker back."""
        return (
            self._recovered
            and self._clock() >= self._fetch_again_s
            and self.pressure.allows_fetching()
            and self._lease.holds(self._clock())
            and (self.tier is None or self.tier.warm(self._clock()))
        )

    def lets_go(self) -> bool:
        """Whether what was read ahead is to be given up."""
        return self._recovered and self.pressure.lets_go

    def watermarks(self) -> Mapping[int, int]:
        """The offsets that may be committed."""
        return self.pipeline.watermarks()

    def heartbeat_succeeded(self, sent_s: float) -> None:
        """Renew the lease."""
        self._lease.renew(sent_s)

    async def before_handover(self, *, stopping: bool = False) -> None:
        """Wait for the broker to acknowledge what was sent, record it, and so move the watermarks.

        When the worker ends on its own accord (`stopping`), undecided traces are dropped before, if that is wanted.
        """
        if stopping and self._lease.holds(self._clock()) and (dropped := self.pipeline.drop_pending()):
            logger.info("dropped %d undecided traces (drop_pending_traces_on_shutdown)", dropped)
        if self.tier is not None:
            self.tier.tell_all(self._clock())
        deadline_s = self._clock() + FLUSH_TIMEOUT_S
        while self.pipeline.unfinished and self._clock() < deadline_s:
            self._outputs.poll()
            self.pipeline.finish_acknowledged()
            if self._lease.holds(self._clock()):
                self._outputs.send_again(self._clock())
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
            if batch.records:
                self.reporter.batch_taken(self._clock() - now_s)

    def partitions_revoked(self) -> None:
        """The group is being rebalanced: nothing here may be decided any more."""
        self._recovered = self._assigned = False
        self.reporter.revoked(self._clock())
        self._health.set_ready(ASSIGNMENT_PART, False, "rebalancing")
        self._health.set_ready(TABLE_PART, False, "rebalancing")
        if self.pipeline.unfinished:
            # Whoever has the partitions next decides anew what is not recorded: it must not be written after that.
            self._outputs.purge(in_flight=False)
        self.pipeline.hold_all()

    def partitions_assigned(self, partitions: Collection[int]) -> None:
        """These partitions of the span topic are ours; their tables are still to be recovered."""
        self.pipeline.drop_held_but(partitions)
        self._assigned = bool(partitions)
        reason = "no partition assigned: more workers than partitions?"
        self._health.set_ready(ASSIGNMENT_PART, bool(partitions), reason)
        self.reporter.rebalanced(self._clock())

    def recovered(self) -> None:
        """The decision tables of the assignment are read back."""
        self._recovered = True
        self._health.set_ready(TABLE_PART, True)
        self.reporter.recovered(self._clock())

    def stopped(self) -> None:
        """The app has ended as it should: leave what is undecided where the next start finds it."""
        self.pipeline.save(self._clock, self._clock() + CHECKPOINT_S)
        if self.tier is not None:
            self.tier.close()

    async def housekeeping(self) -> None:
        """Acknowledgements, liveness and metrics, for as long as the app runs."""
        reported_s = self._clock()
        while True:
            now_s = self._clock()
            self._health.beat(LOOP_PART, now_s)
            self._outputs.poll()
            if self._holds_lease(now_s):
                self._finish(now_s)
                if self.tier is not None:
                    self.tier.look(now_s)
            self.pressure.look(now_s, self.pipeline)
            if now_s - reported_s >= REPORT_S:
                reported_s = now_s
                self.reporter.report(now_s)
                holds = self._lease.holds(now_s)
                self._health.set_ready(LEASE_PART, holds, "no answer from the group coordinator")
            await asyncio.sleep(HURRIED_S if self._outputs.waiting else HOUSEKEEPING_S)

    async def watching(self) -> None:
        """Notice stalls for as long as the process runs; it begins before the first recovery, unlike housekeeping."""
        self._loop_watch.start()
        while True:
            now_s = self._clock()
            self._loop_watch.beat()
            self._health.beat(LOOP_PART, now_s)
            recovering = self._assigned and not self._recovered
            self.watch.look(now_s, member=self._lease.holds(now_s), recovering=recovering, may_fetch=self.may_fetch())
            self.reporter.recovering(self.watch.to_recover)
            await asyncio.sleep(WATCH_S)

    def _finish(self, now_s: float) -> None:
        """Finish what was acknowledged; after a restart nothing is fetched for a moment, so that it does not spin."""
        self.pipeline.finish_acknowledged()
        if self._recovered:
            # What is recorded lets the next in its line go.
            self._outputs.send_again(now_s)
        if self.pipeline.restarts != self._restarts_seen:
            self._restarts_seen = self.pipeline.restarts
            self._fetch_again_s = now_s + RESTART_PAUSE_S

    def _holds_lease(self, now_s: float) -> bool:
        """Whether deciding is safe. When the lease has ended, what was gathered is dropped and read again later."""
        holds = self._lease.holds(now_s)
        if not holds and self.pipeline.watermarks():
            self.reporter.lease_lost()
            logger.error("no heartbeat was answered for half the session timeout: dropping what was gathered")
            self._outputs.purge()
            self.pipeline.start_over()
        return holds
