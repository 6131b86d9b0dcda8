"""A state machine drives the owners of a partition through faults in any order, against what the log alone says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from policies.verdict import Verdict
from sampler.engine.decision_record import decode
from tests.unit.stream.pipeline_lab import ERRORS, make_log, spans_in
from tests.unit.stream.two_owners_lab import DECISION_TTL_MS, Cluster, Owner

LIMIT = {"name": "limit", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 12}}
SHARE = {"name": "share", "type": "probabilistic", "probabilistic": {"sampling_percentage": 30}}
FEW = st.integers(1, 8)


class TwoOwners(RuleBasedStateMachine):
    """`owner` has the partition; `zombie` had it before and has not noticed, or is about to come back.

    At every fault what is sent and not recorded must be no more than one tick, the largest so far: `may_repeat` has
    those traces, and no others may be there twice. What a zombie sends after it has lost the partition, without a
    lease, is repeated by the owner, whatever it is; a worker that keeps to its lease sends nothing then.
    """

    owner: Owner
    zombie: Owner | None = None

    @initialize(seed=st.integers(0, 2**32), limited=st.booleans())
    def begin(self, seed: int, limited: bool) -> None:
        log, self.kept = make_log(seed, 200)
        self.specs: list[dict[str, Any]] = [ERRORS, LIMIT, SHARE] if limited else [ERRORS]
        self.limited = limited
        self.seed = seed
        self.cluster = Cluster(log.log)
        self.owners: list[Owner] = []
        self.may_repeat: set[bytes] = set()
        self.offset_of = {span: offset for offset, _, value in log.log for span in span_ids(value)}
        self.owner = self._new()
        self.cluster.grow(1200)

    # Time and records.

    @rule(ms=st.integers(50, 400))
    def time_passes(self, ms: int) -> None:
        self.cluster.grow(ms)

    @rule(count=st.integers(1, 60), how=st.sampled_from(["fetch", "fetch", "fetch", "lose", "delay"]))
    def fetch(self, count: int, how: str) -> None:
        self.owner.step(how, count)

    @rule()
    def tick(self) -> None:
        self.owner.idle()

    # Outputs and decisions.

    @rule(count=FEW)
    def acknowledged(self, count: int) -> None:
        self.owner.wire.answer(count)
        self.owner.pipeline.finish_acknowledged()

    @rule(count=FEW)
    def arrived_but_not_acknowledged(self, count: int) -> None:
        self.owner.wire.land(count)

    @rule(count=FEW)
    def refused(self, count: int) -> None:
        self.owner.wire.answer(count, KafkaError.NOT_ENOUGH_REPLICAS)
        self.owner.turn()

    @rule()
    def housekeeping(self) -> None:
        self.owner.turn()

    @rule(count=FEW)
    def decisions_recorded(self, count: int) -> None:
        self.owner.view.land(count)
        self.owner.pipeline.finish_acknowledged()

    @rule()
    def commit(self) -> None:
        self.owner.commit()

    @rule(ticks=st.integers(1, 8), answers=st.booleans(), records=st.booleans(), commits=st.booleans())
    def a_while(self, ticks: int, answers: bool, records: bool, commits: bool) -> None:
        """As it goes live, tick by tick, but for what does not get through."""
        for _ in range(ticks):
            self._live(self.owner)
            if answers:
                self.acknowledged(8)
            if records:
                self.decisions_recorded(8)
            if commits:
                self.owner.commit()

    # Faults.

    @rule(outputs=st.integers(0, 8), decisions=st.integers(0, 4))
    def crash(self, outputs: int, decisions: int) -> None:
        """What was under way arrives in part."""
        self._fault()
        self.owner.wire.land(outputs)
        self.owner.view.land(decisions)
        self.owner = self._new()

    @rule(strays=st.integers(0, 4))
    def lost_lease(self, strays: int) -> None:
        """And found again, before anybody else had the partition."""
        self._fault()
        self.owner.lose_lease()
        self.owner.wire.land_strays(strays)

    @rule(flushed=st.booleans(), answered=FEW)
    def rebalance(self, flushed: bool, answered: int) -> None:
        """The partition stays where it is, and with it the buffers."""
        if not flushed:
            self._fault()
        self.owner.revoked(flushed=flushed)
        self.owner.wire.answer(answered)
        self.owner.assigned()

    @precondition(lambda self: self.zombie is None)
    @rule(flushed=st.booleans())
    def others_take_over(self, flushed: bool) -> None:
        """The owner was silent for too long, and does not know."""
        if flushed:
            self.owner.flush()
        self._fault()
        self.owner.lose_partition()
        self.zombie = self.owner
        self.owner = self._new()

    # The one that has lost it.

    @precondition(lambda self: self.zombie is not None)
    @rule(outputs=FEW, decisions=st.integers(0, 4))
    def what_the_old_owner_sent_arrives(self, outputs: int, decisions: int) -> None:
        assert self.zombie is not None
        self.zombie.wire.answer(outputs)
        self.zombie.pipeline.finish_acknowledged()
        self.zombie.view.land(decisions)
        self.zombie.pipeline.finish_acknowledged()

    @precondition(lambda self: self.zombie is not None)
    @rule(ticks=st.integers(1, 8), restarted=st.booleans())
    def the_old_owner_goes_on(self, ticks: int, restarted: bool) -> None:
        """It decides, produces and records, as if it had a lease."""
        assert self.zombie is not None
        if restarted:
            self.zombie.lose_lease()
        for _ in range(ticks):
            self._live(self.zombie)
            self.what_the_old_owner_sent_arrives(8, 8)
            self.zombie.commit()

    @precondition(lambda self: self.zombie is not None)
    @rule(flushed=st.booleans(), seen=st.booleans())
    def the_old_owner_comes_back(self, flushed: bool, seen: bool) -> None:
        """With what it had gathered; the one in between hands over, or becomes one that does not know either."""
        assert self.zombie is not None
        if not flushed:
            self._fault()
        back, self.zombie = self.zombie, None
        if seen:
            # It notices that it has lost the partition before it is given it again.
            back.lose_lease()
        self.owner.revoked(flushed=flushed)
        if not flushed:
            self.zombie = self.owner
            self.zombie.lose_partition()
        back.revoked(flushed=False)
        back.assigned()
        self.owner = back

    @precondition(lambda self: self.zombie is not None)
    @rule()
    def the_old_owner_ends(self) -> None:
        self.zombie = None

    # What must hold.

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        self.owner.finish()
        found = spans_in(self.cluster.sampled)
        assert {trace_id: set(spans) for trace_id, spans in found.items()} == self._to_keep()
        assert set(self.cluster.dead) == {value for _, _, value in self.cluster.coming if value[:2] == b"\x0a\xff"}
        self._no_contradiction()
        repeated = {t for t, spans in found.items() if any(n > 1 for n in spans.values())}
        assert repeated <= self.may_repeat | self._excused

    def _no_contradiction(self) -> None:
        """Whoever has decided a trace, and however often, has decided the same."""
        verdicts: dict[bytes, Verdict] = {}
        for owner in self.owners:
            for trace_id, verdict in owner.decided:
                first = verdicts.setdefault(trace_id, verdict)
                assert first == verdict, f"{first} by one, {verdict} by another"

    def _to_keep(self) -> dict[bytes, set[bytes]]:
        """Every span of the traces with an error; with a limit, of those that an undisturbed worker keeps."""
        if not self.limited:
            return self.kept
        cluster = Cluster(self.cluster.coming)
        undisturbed = Owner.of(cluster, self.specs)
        undisturbed.finish()
        found: dict[bytes, Counter[bytes]] = spans_in(cluster.sampled)
        assert found.keys() >= self.kept.keys()
        return {trace_id: set(spans) for trace_id, spans in found.items()}

    def _live(self, worker: Owner) -> None:
        self.cluster.grow(125)
        worker.fetch(100)
        worker.idle()
        worker.turn()

    def _new(self) -> Owner:
        owner = Owner.of(self.cluster, self.specs)
        self.owners.append(owner)
        return owner

    @property
    def _excused(self) -> set[bytes]:
        return set().union(*(owner.excused for owner in self.owners))

    def _fault(self) -> None:
        exposed = self._exposed()
        new = exposed - self.may_repeat - self._excused
        assert len(new) <= max(owner.pipeline.largest_tick_traces for owner in self.owners)
        self.may_repeat |= exposed

    def _exposed(self) -> set[bytes]:
        """Traces of which something is sent, arrived or not, that the records in the changelog do not cover."""
        records = [decode(key, value) for key, value in self.cluster.changelog.items()]
        handled = max((record.next_offset for record in records), default=0)
        decided = {trace_id for record in records for trace_id, _ in record}
        sent = spans_in([*self.cluster.sampled, *self.owner.wire.spans_under_way])
        return {
            trace_id
            for trace_id, spans in sent.items()
            if any(self.offset_of[span] >= handled for span in spans)
            or (trace_id not in decided and not self._expired(spans, handled))
        }

    def _expired(self, spans: Iterable[bytes], handled: int) -> bool:
        """Whether the decision is so old that its record may be gone."""
        newest_ms = max((self.cluster.coming[self.offset_of[span]][1] for span in spans), default=0)
        return self.cluster.coming[handled - 1][1] - newest_ms > DECISION_TTL_MS if handled else False


def span_ids(value: bytes) -> list[bytes]:
    """The spans of a record; none where it is no OTLP."""
    return [] if value[:2] == b"\x0a\xff" else [span for spans in spans_in([value]).values() for span in spans]


TestTwoOwners = TwoOwners.TestCase
TestTwoOwners.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
