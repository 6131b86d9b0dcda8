"""What the watchdog is shown of a worker."""

from __future__ import annotations

from typing import Any, cast

from sampler.stream.span_source import SourceView
from sampler.stream.watch import Watch
from sampler.stream.watchdog import Watchdog, WatchdogLimits
from tests.unit.stream.pipeline_lab import PARTITION, Worker, make_log


class Seen:
    """A source and an app as far as the watch asks them."""

    fetches = 0
    committed_offset = 0
    remaining = 0

    def __init__(self) -> None:
        self.at = SourceView(0, 0, True)

    def views(self, now_s: float) -> dict[int, SourceView]:
        return {PARTITION: self.at}

    def committed(self, partition: int) -> int:
        return self.committed_offset

    def to_recover(self) -> int:
        return self.remaining


def test_a_worker_that_works_is_left_alone_and_one_that_stands_still_is_ended() -> None:
    """Reading, deciding and committing go on for hours; then commits, fetches and recovery stand still in turn."""
    broker, _ = make_log(4, 2000)
    worker, seen, said = Worker(broker, 1), Seen(), list[str]()
    now_s = 0.0

    def watch() -> Watch:
        dog = Watchdog(WatchdogLimits(stall_s=30, commit_s=60, recovery_s=90))
        return Watch(dog, worker.pipeline, cast(Any, seen), cast(Any, seen), lambda: 10**15, said.append)

    def look(one: Watch, *, commits: bool = True, fetches: bool = True, recovering: bool = False) -> None:
        nonlocal now_s
        now_s += 1
        seen.fetches += fetches
        if commits:
            worker.commit()
            seen.committed_offset = broker.committed
        one.look(now_s, member=True, recovering=recovering, may_fetch=not recovering)

    one = watch()
    while worker.position < len(broker.log):
        worker.fetch(7)
        seen.at = SourceView(worker.position, len(broker.log), True)
        worker.acknowledge(len(worker.in_flight))
        look(one)
    worker.finish()
    for _ in range(200):
        look(one)
    assert said == []
    seen.committed_offset = broker.committed - 5
    for _ in range(62):
        look(one, commits=False)
    assert f"offset {broker.committed - 5} is committed though more may be" in said[0]
    said.clear()
    one = watch()
    for _ in range(32):
        look(one, fetches=False)
    assert "no fetch of spans has come back" in said[0]
    said.clear()
    one, seen.remaining = watch(), 10
    for _ in range(92):
        look(one, recovering=True)
    assert "the decision tables are not read back further" in said[0]
