"""A worker's checkpoints in its data folder, from a clean stop to the next start."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampler.stream.checkpoints import Checkpoints
from tests.unit.stream.pipeline_lab import Broker, Worker, make_log, spans_in


class Clock:
    """Monotonic time that jumps by a second at every look."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def worker_on(broker: Broker, folder: Path, generation: int = 1) -> Worker:
    return Worker(broker, generation, checkpoints=Checkpoints(folder))


def pending(worker: Worker) -> int:
    return sum(len(engine.table) for engine in worker.pipeline.engines)


def stop(worker: Worker, *, in_time: bool = True) -> None:
    """A clean stop: all acknowledged and committed, then the undecided traces to disk."""
    worker.acknowledge(len(worker.in_flight))
    worker.commit()
    worker.pipeline.save(Clock(), 100.0 if in_time else 0.0)


def test_a_clean_stop_and_start_on_the_same_disk_reads_nothing_twice(tmp_path: Path) -> None:
    """The next process goes on at the offset where the last one stopped, again and again, and nothing is repeated."""
    broker, kept = make_log(13, 400)
    worker = worker_on(broker, tmp_path)
    for generation in range(2, 10):
        worker.fetch(40)
        position, waiting = worker.position, pending(worker)
        assert waiting > 0
        stop(worker)
        worker = worker_on(broker, tmp_path, generation)
        worker.fetch(1)
        worker.fetch(0)
        assert (worker.position, pending(worker)) == (position, waiting)
    worker.finish()
    found = spans_in(broker.sampled)
    assert {trace_id: set(spans) for trace_id, spans in found.items()} == kept
    assert all(times == 1 for spans in found.values() for times in spans.values())


def test_a_checkpoint_is_used_once(tmp_path: Path) -> None:
    """A crash after the start reads again from the committed offset, whatever the checkpoint said."""
    broker, kept = make_log(13, 400)
    worker = worker_on(broker, tmp_path)
    worker.fetch(100)
    stop(worker)
    worker = worker_on(broker, tmp_path, 2)
    worker.fetch(1)
    worker.fetch(100)
    crashed = worker_on(broker, tmp_path, 3)
    crashed.fetch(1)
    assert crashed.position == broker.committed + 1
    crashed.finish()
    assert {trace_id: set(spans) for trace_id, spans in spans_in(broker.sampled).items()} == kept


def test_when_another_worker_had_the_partition_it_is_read_again(tmp_path: Path) -> None:
    """Decisions made by somebody else in between make the checkpoint void."""
    broker, kept = make_log(13, 400)
    worker = worker_on(broker, tmp_path / "one")
    worker.fetch(100)
    stop(worker)
    committed = broker.committed
    other = worker_on(broker, tmp_path / "two", 2)
    other.fetch(200)
    other.acknowledge(len(other.in_flight))
    broker.committed = committed
    back = worker_on(broker, tmp_path / "one", 3)
    back.fetch(1)
    assert back.position == committed + 1
    back.finish()
    assert {trace_id: set(spans) for trace_id, spans in spans_in(broker.sampled).items()} == kept


def test_unfinished_work_is_not_saved(tmp_path: Path) -> None:
    """Where an output was not acknowledged the partition is read again, so that it is written."""
    broker, kept = make_log(13, 400)
    worker = worker_on(broker, tmp_path)
    while not worker.in_flight:
        worker.fetch(40)
    worker.pipeline.save(Clock(), 100.0)
    worker = worker_on(broker, tmp_path, 2)
    worker.finish()
    assert {trace_id: set(spans) for trace_id, spans in spans_in(broker.sampled).items()} == kept


def test_when_time_is_up_the_rest_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stop takes no longer than it may: a checkpoint that is not complete is not used."""
    broker, kept = make_log(13, 400)
    worker = worker_on(broker, tmp_path)
    worker.fetch(200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sampler.stream.checkpoints.CHECK_EVERY_BYTES", 1)
        stop(worker, in_time=False)
    assert "no time for more checkpoints" in caplog.text
    worker = worker_on(broker, tmp_path, 2)
    worker.fetch(1)
    assert worker.position == broker.committed + 1
    worker.finish()
    assert {trace_id: set(spans) for trace_id, spans in spans_in(broker.sampled).items()} == kept


def test_a_disk_that_cannot_be_written_costs_the_checkpoint_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The stop is said to be without checkpoint, and goes on."""
    broker, _ = make_log(13, 400)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    worker = worker_on(broker, in_the_way / "folder")
    worker.fetch(100)
    stop(worker)
    assert "checkpoints cannot be written" in caplog.text


def test_a_damaged_checkpoint_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is not whole is named, and the partition is read from Kafka."""
    broker, kept = make_log(13, 400)
    worker = worker_on(broker, tmp_path)
    worker.fetch(100)
    stop(worker)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    worker = worker_on(broker, tmp_path, 2)
    worker.fetch(1)
    assert str(file) in caplog.text
    assert worker.position == broker.committed + 1
    worker.finish()
    assert {trace_id: set(spans) for trace_id, spans in spans_in(broker.sampled).items()} == kept
