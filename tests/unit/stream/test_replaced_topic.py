"""A span topic that was deleted and created again under a worker: other records lie at the offsets it has read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sampler.stream.batch import SpanBatch
from tests.unit.stream.pipeline_lab import Broker, Worker, make_log, spans_in


@dataclass
class Watching(Worker):
    """Its source notices that the topic was replaced, and says so with the batches of the run that begins it anew."""

    new_from_epoch: int = -1

    def labelled(self, batch: SpanBatch) -> SpanBatch:
        return replace(batch, replaced=batch.epoch == self.new_from_epoch)

    def topic_replaced(self, broker: Broker) -> None:
        self.broker.log, self.broker.committed = broker.log, 0
        self.wanted, self.epoch_offset = None, 0
        self.go_back(0)
        self.new_from_epoch = self.epoch


def test_a_new_topic_is_sampled_from_its_beginning() -> None:
    """Whole and once, late spans and dead letters too, although the same offsets were handled before."""
    broker, _ = make_log(1, 240)
    after, kept = make_log(2, 240)
    worker = Watching(broker, 1)
    worker.finish()
    before = len(broker.sampled), len(broker.dead)
    worker.topic_replaced(after)
    worker.finish()
    found = spans_in(broker.sampled[before[0] :])
    assert {trace_id: set(spans) for trace_id, spans in found.items()} == kept
    assert all(times == 1 for spans in found.values() for times in spans.values())
    assert broker.dead[before[1] :] == [value for _, _, value in after.log if value[:2] == b"\x0a\xff"]


def test_a_new_topic_whose_offsets_went_with_the_old_one() -> None:
    """Kafka forgets the group's offsets with a topic: a worker that was away begins at 0 and does not hear of it.

    Nothing of the new traces is taken for handled, late spans neither, though the old decisions reach beyond them.
    """
    broker, _ = make_log(1, 240)
    after, kept = make_log(2, 240)
    Worker(broker, 1).finish()
    before = len(broker.sampled)
    broker.log, broker.committed = after.log, 0
    Worker(broker, 2).finish()
    found = spans_in(broker.sampled[before:])
    assert {trace_id: set(spans) for trace_id, spans in found.items()} == kept
    assert all(times == 1 for spans in found.values() for times in spans.values())


def test_what_had_come_of_the_old_topic_is_decided() -> None:
    """No span that was read is lost with the topic: undecided traces are decided on what has come of them."""
    broker, kept = make_log(1, 240)
    read = [value for _, _, value in broker.log[:150] if value[:2] != b"\x0a\xff"]
    had_come = {trace_id: set(spans) for trace_id, spans in spans_in(read).items() if trace_id in kept}
    worker = Watching(broker, 1)
    worker.fetch(150)
    worker.topic_replaced(make_log(2, 240)[0])
    worker.finish()
    found = spans_in(broker.sampled)
    whole = [trace_id for trace_id, spans in had_come.items() if spans == kept[trace_id]]
    assert len(whole) > 5
    assert all(set(found[trace_id]) == kept[trace_id] for trace_id in whole)


def test_the_next_owner_believes_nothing_of_the_old_topic() -> None:
    """After a crash in the new topic no decision record of the old one makes its spans look handled."""
    broker, _ = make_log(1, 240)
    after, kept = make_log(2, 240)
    worker = Watching(broker, 1)
    worker.finish()
    before = len(broker.sampled)
    worker.topic_replaced(after)
    worker.fetch(40)
    worker.acknowledge(len(worker.in_flight))
    worker.commit()
    again = Worker(broker, 2)
    again.finish()
    found = spans_in(broker.sampled[before:])
    assert {trace_id: set(spans) for trace_id, spans in found.items()} == kept
