"""What holds a worker back is told once when it begins and once when it ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampler.stream.brakes import DISK_FULL, LONGEST_STEP_S, MEMORY, OUTPUTS_REFUSED, OUTPUTS_SLOW, SAY_AFTER_S, Brakes


def test_a_refusal_is_told_at_once_and_once() -> None:
    """One line when it begins, one when it ends, none in between, however the words change."""
    brakes = Brakes()
    assert brakes.update(0, {}) == []
    assert brakes.update(1, {OUTPUTS_REFUSED: "no"}) == ["not fetching spans (outputs_refused): no"]
    assert brakes.said == "outputs_refused: no"
    assert brakes.update(2, {OUTPUTS_REFUSED: "still no"}) == []
    assert brakes.said == "outputs_refused: still no"
    assert brakes.update(11, {}) == ["no longer held back by outputs_refused, after 10.0 s"]
    assert brakes.said == ""


def test_moments_of_waiting_are_no_news() -> None:
    """Outputs wait now and then in a catch-up; only a wait that lasts is told, and makes the worker not ready."""
    brakes = Brakes()
    for now_s in range(20):
        assert brakes.update(now_s, {OUTPUTS_SLOW: "much"} if now_s % 2 else {}) == []
        assert brakes.said == ""
    lines = [line for now_s in range(20, 31) for line in brakes.update(now_s, {OUTPUTS_SLOW: "much"})]
    assert lines == ["not fetching spans (outputs_slow): much"]


REASON = st.sampled_from([OUTPUTS_REFUSED, OUTPUTS_SLOW, DISK_FULL, MEMORY])


@given(st.lists(st.tuples(st.floats(0.01, 20), st.frozensets(REASON)), max_size=60))
def test_beginnings_and_ends_alternate_and_times_add_up(steps: list[tuple[float, frozenset[str]]]) -> None:
    """For each reason the lines are begin, end, begin …; the seconds counted are those in which it held."""
    brakes, now_s, said, before = Brakes(), 0.0, dict.fromkeys(SAY_AFTER_S, False), frozenset[str]()
    expected = dict.fromkeys(SAY_AFTER_S, 0.0)
    brakes.update(now_s, {})
    for pause_s, holding in steps:
        now_s += pause_s
        for reason in before:
            expected[reason] += min(pause_s, LONGEST_STEP_S)
        for line in brakes.update(now_s, dict.fromkeys(holding, "why")):
            reason = next(name for name in SAY_AFTER_S if name in line)
            begins = line.startswith("not fetching")
            assert said[reason] != begins
            assert (reason in holding) == begins
            said[reason] = begins
        assert brakes.holding == holding
        before = holding
    for reason, seconds in expected.items():
        assert abs(brakes.seconds[reason] - seconds) < 1e-6
