"""The watchdog barks at what stands still though it could move, and at nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.stream.loop_watch import LoopWatch
from sampler.stream.watchdog import PartitionView, View, Watchdog, WatchdogLimits

LIMITS = WatchdogLimits(stall_s=60, commit_s=120, recovery_s=180)
BUSY = PartitionView(position=10, end=50, heard=True, stream_ms=1000, undecided=3, watermark=5, committed=5)
CALM = View(now_s=0, wall_ms=10**6, member=True, may_fetch=True, fetches=1, partitions={0: BUSY})


def bark_after(view: View, *, steps: int = 1000, step_s: float = 1.0, moving: str = "") -> tuple[float, str] | None:
    """When and how the watchdog barks if all stays as in `view` but the clock and the field named `moving`."""
    dog = Watchdog(LIMITS)
    for number in range(steps):
        now = replace(view, now_s=number * step_s)
        if moving == "fetches":
            now = replace(now, fetches=number)
        elif moving:
            partitions = {n: replace(p, **{moving: getattr(p, moving) + number}) for n, p in view.partitions.items()}
            now = replace(now, fetches=number, partitions=partitions)
        said = dog.look(now)
        if said:
            return number * step_s, said
    return None


def with_partition(view: View, **changes: object) -> View:
    return replace(view, partitions={0: replace(BUSY, **changes)})  # type: ignore[arg-type]


def test_a_fetch_that_never_comes_back_is_a_stall() -> None:
    """Also where nothing is known of the brokers: a fetch waits for some milliseconds only."""
    barked = bark_after(with_partition(CALM, heard=False))
    assert barked is not None
    assert barked[0] == 60
    assert "no fetch" in barked[1]


def test_records_that_are_not_read_are_a_stall() -> None:
    """Fetches come back empty though the broker, which was just heard of, has records."""
    barked = bark_after(CALM, moving="fetches")
    assert barked is not None
    assert barked == (60, "partition 0: nothing was read though records lie there for 60 s")


@pytest.mark.parametrize(
    "view",
    [
        replace(CALM, may_fetch=False),
        replace(CALM, member=False),
        with_partition(CALM, heard=False),
        with_partition(CALM, end=10, undecided=0),
        with_partition(CALM, end=10, stream_ms=10**6),
        with_partition(CALM, end=10, stream_ms=-1),
        replace(CALM, partitions={}),
    ],
    ids=["paused", "no member", "broker away", "idle", "time ahead of the clock", "nothing seen yet", "no partition"],
)
def test_what_cannot_go_on_is_no_stall(view: View) -> None:
    """Pauses, rebalances, brokers that are away, idle topics and clocks set back last as long as they last."""
    assert bark_after(view, moving="fetches") is None


def test_time_that_stands_still_while_traces_wait_is_a_stall() -> None:
    """At the end of a partition its time goes on by itself."""
    barked = bark_after(with_partition(CALM, end=10), moving="fetches")
    assert barked is not None
    assert "its time stands still" in barked[1]
    assert bark_after(with_partition(CALM, end=10), moving="stream_ms") is None


def test_progress_of_any_size_is_no_stall() -> None:
    """One record read between two looks is enough, also where old records keep stream time where it is."""
    assert bark_after(with_partition(CALM, end=10**6), moving="position") is None


def test_a_commit_that_does_not_follow_is_stale() -> None:
    """The watermark may be committed, and is not."""
    ahead = with_partition(CALM, watermark=9, end=10**6)
    barked = bark_after(replace(ahead, may_fetch=False))
    assert barked is not None
    assert barked[0] == 120
    assert "offset 5 is committed" in barked[1]
    assert bark_after(replace(ahead, may_fetch=False, member=False)) is None
    assert bark_after(replace(ahead, may_fetch=False), moving="committed") is None


def test_a_recovery_that_does_not_go_on_is_a_stall() -> None:
    """As long as the group coordinator answers; less to recover is progress."""
    view = replace(CALM, may_fetch=False, recovering=100)
    barked = bark_after(view)
    assert barked is not None
    assert barked[0] == 180
    dog = Watchdog(LIMITS)
    assert not any(dog.look(replace(view, now_s=n, recovering=1000 - n)) for n in range(900))
    assert bark_after(replace(view, member=False)) is None


def test_zero_is_never() -> None:
    """Each of the limits can be switched off."""
    dog = Watchdog(WatchdogLimits(0, 0, 0))
    stalled = with_partition(CALM, watermark=9)
    assert not any(dog.look(replace(stalled, now_s=10.0 * n)) for n in range(1000))


@given(st.lists(st.floats(0, 10**6), min_size=2, max_size=50))
def test_time_that_was_slept_through_does_not_count(pauses: list[float]) -> None:
    """However long a process was stopped between two looks, it barks only after as many looks as a second each asks."""
    dog, now_s = Watchdog(LIMITS), 0.0
    for number, pause_s in enumerate(pauses):
        now_s += pause_s
        said = dog.look(replace(CALM, now_s=now_s))
        assert not said or number * 5 >= 60


def test_a_loop_that_stands_still_is_heard_of() -> None:
    """The thread counts the seconds it has seen pass without a beat, and none of those it did not run itself."""
    said: list[str] = []
    watch = LoopWatch(lambda: 0.0, limit_s=10, on_silence=said.append)
    for now_s in range(100):
        watch.beat()
        watch.look(float(now_s))
    watch.look(10_000.0)
    assert said == []
    for now_s in range(10):
        watch.look(10_001.0 + now_s)
    assert len(said) >= 1
    assert "event loop" in said[0]
