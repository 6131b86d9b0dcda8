"""How long decisions are remembered: by stream time, by the watermark, and over pages that are forgotten as a whole."""

from __future__ import annotations

from array import array

import pytest

from policies.randomness import RandomnessSource
from policies.verdict import Verdict
from sampler.engine import native
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import DecisionRecord, Owner

KEPT = Verdict("sampled", 1 << 55, "base", RandomnessSource.HASH)
DROPPED = Verdict("dropped", ((0, 5), (9, 1 << 56)), "health", RandomnessSource.RV)
TTL_MS = 600_000
TICK_MS = 250


@pytest.fixture(params=["compiled", "plain"], autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both forms of the pages; the compiled one is skipped where it is not built."""
    if request.param == "plain":
        monkeypatch.setattr(native, "remembered", None)
    elif native.remembered is None:
        pytest.skip("the compiled form is not built here")


def ident(number: int) -> bytes:
    return number.to_bytes(16, "big")


def record(sequence: int, following: int, *numbers: int, at_ms: int = 0, verdict: Verdict = KEPT) -> DecisionRecord:
    ids = b"".join(map(ident, numbers))
    return DecisionRecord(Owner(1, 5), sequence, 0, following, at_ms, [verdict], ids, array("H", [0] * len(numbers)))


def decide(memory: DecisionMemory, made: DecisionRecord) -> DecisionRecord:
    """Remember and close, as a partition does while it works."""
    memory.add([trace_id for trace_id, _ in made], [verdict for _, verdict in made])
    memory.close_segment(made)
    return made


def test_the_first_decision_on_a_trace_stands() -> None:
    """A second record cannot turn a remembered decision, on the same page or a later one."""
    memory = DecisionMemory()
    memory.restore(record(0, 10, 1))
    memory.restore(record(1, 20, 1, verdict=DROPPED))
    memory.restore(record(2, 30, 1, at_ms=200_000, verdict=DROPPED))
    assert memory.get(ident(1)) == KEPT
    assert memory.get(ident(2)) is None


def test_a_decision_recorded_again_is_remembered_as_long_as_the_later_record() -> None:
    """The first record's verdict goes on where the first record itself has expired."""
    memory = DecisionMemory()
    memory.restore(record(0, 10, 1, at_ms=1000))
    memory.restore(record(1, 20, 1, at_ms=200_000, verdict=DROPPED))
    memory.restore(record(2, 30, 2, at_ms=400_000))
    memory.restore(record(3, 40, 3, at_ms=600_000))
    assert memory.expire(2000, 1000) == [record(0, 10).key]
    assert memory.expire(200_000, 1000) == []
    assert memory.get(ident(1)) == KEPT
    assert memory.expire(500_000, 1000) == [record(1, 20).key, record(2, 30).key]
    assert (memory.get(ident(1)), memory.get(ident(3))) == (None, KEPT)


def test_decisions_expire_by_age_but_never_before_the_watermark_has_passed_them() -> None:
    """A replay may still need what is old in stream time."""
    memory = DecisionMemory()
    memory.restore(record(0, 10, 1, at_ms=1000))
    memory.restore(record(1, 20, 2, at_ms=100_000))
    assert memory.expire(50_000, committed_offset=9) == []
    assert memory.expire(50_000, committed_offset=10) == [record(0, 10).key]
    assert memory.get(ident(2)) == KEPT
    assert memory.expire(100_001, committed_offset=20) == [record(1, 20).key]
    assert (memory.get(ident(1)), memory.get(ident(2)), len(memory)) == (None, None, 0)


def test_a_decision_of_an_open_segment_does_not_go_with_the_closed_ones() -> None:
    """What was added after the last close is kept, though every segment has expired."""
    memory = DecisionMemory()
    decide(memory, record(0, 10, 1, at_ms=1000))
    memory.add([ident(2)], [KEPT])
    assert len(memory.expire(5000, 100)) == 1
    assert memory.get(ident(2)) == KEPT
    memory.close_segment(record(1, 20, 2, at_ms=6000))
    assert len(memory.expire(7000, 100)) == 1
    assert len(memory) == 0


def test_decisions_are_remembered_for_the_whole_time_and_hardly_longer() -> None:
    """In a steady stream, whether a page fills or its time is over first, from the first decision to the last."""
    for most in (100, 1_000_000):
        memory = DecisionMemory(most)
        for tick in range(12_000):
            now_ms = tick * TICK_MS
            decide(memory, record(tick, tick + 1, tick, at_ms=now_ms))
            memory.expire(now_ms - TTL_MS, tick)
            oldest = max(0, tick - TTL_MS // TICK_MS)
            assert memory.get(ident(tick)) == memory.get(ident(oldest)) == KEPT
            gone = oldest - TTL_MS // TICK_MS // 7
            assert gone < 0 or memory.get(ident(gone)) is None


def test_a_watermark_that_stands_still_holds_everything_on_few_pages() -> None:
    """With a wait far above the remembered time every look-up would else go over thousands of pages."""
    memory = DecisionMemory()
    for tick in range(20_000):
        decide(memory, record(tick, tick + 1, tick, at_ms=tick * TICK_MS))
        memory.expire(tick * TICK_MS - 1000, committed_offset=0)
    assert len(memory) == 20_000
    assert memory._pages.page < 100
    assert len(memory.expire(20_000 * TICK_MS, 20_000)) == 20_000
    assert len(memory) == 0


def test_recovered_decisions_expire_by_and_by() -> None:
    """They do not all lie on one page until the last of them has expired."""
    memory = DecisionMemory()
    for tick in range(2400):
        memory.restore(record(tick, tick + 1, tick, at_ms=tick * TICK_MS))
    memory.expire(300_000, 2400)
    assert 1200 <= len(memory) <= 1500
