"""`drop_pending_traces_on_shutdown`: what becomes of undecided traces when a worker is told to stop."""

from __future__ import annotations

from dataclasses import replace

from sampler.engine.settings import EngineSettings
from tests.unit.stream.pipeline_lab import Broker, Worker, make_log, spans_in


class DroppingWorker(Worker):
    """A worker whose policy file says true."""

    @property
    def settings(self) -> EngineSettings:
        return replace(super().settings, drop_pending_at_stop=True)


def stopped_half_way(kind: type[Worker]) -> tuple[Broker, dict[bytes, set[bytes]], set[bytes], int]:
    """(broker, what is to be kept, the traces pending at the stop, how many were dropped), after a second worker."""
    broker, kept = make_log(5, 400)
    worker = kind(broker, 1)
    worker.fetch(150)
    (engine,) = worker.pipeline.engines
    pending = {entry.trace_id for entry in engine.table.by_age()}
    assert pending & kept.keys()
    dropped = worker.pipeline.drop_pending()
    worker.acknowledge(len(worker.in_flight))
    worker.commit()
    counts = worker.pipeline.take_counts()
    assert counts.early["shutdown"] == dropped
    assert broker.committed == 150 if dropped else broker.committed < 150
    kind(broker, 2).finish()
    return broker, kept, pending, dropped


def test_pending_traces_are_dropped_where_that_is_wanted() -> None:
    """All of them, also what comes later of them, and nothing else: their decisions are recorded and committed past."""
    broker, kept, pending, dropped = stopped_half_way(DroppingWorker)
    assert dropped == len(pending)
    found = {trace_id: set(spans) for trace_id, spans in spans_in(broker.sampled).items()}
    assert found == {trace_id: spans for trace_id, spans in kept.items() if trace_id not in pending}


def test_pending_traces_are_left_for_the_next_owner_by_default() -> None:
    """Who decides them on all their spans."""
    broker, kept, _, dropped = stopped_half_way(Worker)
    assert dropped == 0
    assert {trace_id: set(spans) for trace_id, spans in spans_in(broker.sampled).items()} == kept


def test_what_is_dropped_while_outputs_are_refused_is_decided_by_the_next_owner() -> None:
    """A decision that is not recorded holds nothing: nothing is lost that was not dropped on purpose."""
    broker, kept = make_log(5, 400)
    worker = DroppingWorker(broker, 1)
    worker.fetch(150)
    worker.pipeline.drop_pending()
    worker.commit()
    Worker(broker, 2).finish()
    assert {trace_id: set(spans) for trace_id, spans in spans_in(broker.sampled).items()} == kept
