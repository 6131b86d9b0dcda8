"""What `benchmarks.sampling_quality` measures and how it says it."""

from __future__ import annotations

import json

import pytest

from benchmarks.key_spaces import GOAL, TICKS, KeySpace, is_idle, key_spaces, zipf
from benchmarks.quality_run import Estimate, Interval, Judge, pooled, run, settled_after
from benchmarks.sampling_quality import main
from policies.randomness import RandomnessSource
from policies.verdict import Verdict

HALF = Verdict("sampled", 1 << 55, "d", RandomnessSource.HASH)
DROPPED = Verdict("not_sampled", 1 << 55, None, RandomnessSource.HASH)


def test_a_short_run_prints_one_object_a_measure(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its limit and whether it holds; the exit status says whether all do."""
    status = 0
    try:
        main(["--json", "--intervals", "6", "--only", "zipf, 300 keys"])
    except SystemExit as stop:
        status = int(stop.code or 0)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(set(row) == {"load", "measure", "value", "limit", "ok"} for row in rows)
    found = {row["measure"]: row for row in rows if row["load"] == "zipf, 300 keys"}
    assert found["overshoot at start"]["ok"]
    assert found["keys with a kept trace an interval, at least as uniform"]["ok"]
    assert found["budget error"]["value"] < 0.1
    assert status == (0 if all(row["ok"] for row in rows) else 1)


def test_the_solver_row_compares_with_refinery(capsys: pytest.CaptureFixture[str]) -> None:
    """20,000 key spaces, none of which is off."""
    main(["--json", "--only", "random key spaces"])
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["value"], row["ok"]) == (1.0, True)


def test_the_judge_counts_what_came_and_what_was_kept() -> None:
    """By interval, by key, and beside uniform sampling; estimates are of windows."""
    judge = Judge(steady_from=0)
    for interval in range(4):
        for number in range(20):
            judge.take("a", 2, HALF if number % 2 else DROPPED)
        judge.take("b", 2, DROPPED)
        judge.close()
        assert judge.outcome.intervals[interval] == Interval(42, 20, 21)
    outcome = judge.outcome
    assert (outcome.seen, outcome.shown) == (8, 4)
    assert outcome.uniform == pytest.approx(4 * (2 - (11 / 21) ** 20 - 11 / 21))
    assert outcome.estimates == [Estimate(80, 40.0, 80.0, 80.0)]


def test_estimates_are_pooled() -> None:
    """Their mean error, its standard error, and how many intervals hold the truth."""
    number, mean, error, covered = pooled([Estimate(100, 50, 110, 25), Estimate(100, 50, 100, 25)])
    assert (number, covered) == (2, 0.5)
    assert (mean, error) == (pytest.approx(0.05), pytest.approx(0.05))


def test_settling_ends_when_the_goal_is_met_and_stays_met() -> None:
    """One that is off again has not settled before."""
    expected = [100, 100, 300, 101, 130, 99, 100, 100]
    assert settled_after([Interval(expected=each) for each in expected], 2, 100, 0.1) == 3
    assert settled_after([Interval(expected=100) for _ in expected], 2, 100, 0.1) == 0


def test_traffic_is_the_same_in_every_run_and_what_its_name_says() -> None:
    """Fixed seeds, so that figures can be compared."""
    for space, again in zip(key_spaces(), key_spaces(), strict=True):
        assert space.traffic(3, 7) == again.traffic(3, 7)
    assert [tick for tick in range(TICKS) if is_idle(21, tick)] == list(range(TICKS // 2, TICKS))
    space = KeySpace("short", zipf(5, 10), 2)
    assert sum(each.came for each in run(space, 2).intervals) == pytest.approx(2 * 10 * TICKS, rel=0.1)
    assert space.goal == GOAL
