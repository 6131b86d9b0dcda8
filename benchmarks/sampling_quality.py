"""`python -m benchmarks.sampling_quality`: how well the policy `dynamic` meets its goal, and how true its counts are.

Made key spaces, and the recording where it is there, go through the policies of a tier of four partitions that exchange
their counts; time is an argument. For each is printed how far what is kept is off the goal, how soon a burst is
settled, how many keys have a trace in each interval beside uniform sampling at the same budget, and whether counts
estimated from kept traces are right. Three workers on a real Kafka follow, whose partitions have unequal traffic and of
which one is killed: how far the tier is off its goal. `--offline` leaves them out. Beyond a limit the exit status is 1.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import fsum
from typing import Any

from benchmarks.key_spaces import GOAL, TICKS, KeySpace, is_idle, key_spaces
from benchmarks.quality_recording import RECORDING, recorded
from benchmarks.quality_run import Estimate, Outcome, pooled, run, settled_after
from benchmarks.report import Report
from policies.dynamic.shares import fill

COLUMNS = ("load", "measure", "value", "limit", "ok")
BUDGET_LIMIT = 0.02
SETTLED_WITHIN = 0.1
SETTLING_LIMIT = 2
START_LIMIT = 0.1
START_INTERVALS = 4
BIAS_LIMIT = 2.0
COVERAGE = (0.93, 0.97)
RANDOM_SPACES = 20_000
SOLVER = "random key spaces"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every load and print the figures; exit 1 where one is beyond its limit."""
    options = _options(arguments)
    report = Report(COLUMNS, options.json)
    good = True
    for row in rows(options.only, options.intervals, kafka=not (options.offline or options.only)):
        good &= bool(row["ok"])
        report.add(row)
    report.finish()
    if not good:
        sys.exit(1)


def rows(only: Sequence[str] | None, intervals: int | None, *, kafka: bool) -> Iterator[dict[str, Any]]:
    """The figures of each load that is asked for, as they come."""
    if not only or SOLVER in only:
        yield from solved()
    estimates: list[Estimate] = []
    for space in key_spaces():
        if not only or space.name in only:
            outcome = run(space, intervals or space.intervals)
            estimates += outcome.estimates
            yield from judged(space, outcome)
    if not only or RECORDING in only:
        for name, outcome, goal in recorded():
            estimates += outcome.estimates
            yield from _budget(name, outcome, goal)
            yield from _keys(name, outcome)
    yield from _counts(estimates)
    if kafka:
        from benchmarks.sampling_quality_tier import rows as tier_rows

        yield from map(asdict, tier_rows())


def _row(load: str, measure: str, value: float, limit: Any, *, ok: bool) -> dict[str, Any]:
    return {"load": load, "measure": measure, "value": round(value, 4), "limit": limit, "ok": ok}


def solved() -> Iterator[dict[str, Any]]:
    """Output over goal in 1 to 12 keys of 1 to 100,000 traces and goals of 1 in 2 to 100, as Refinery was measured."""
    draw = random.Random(1)
    ratios = []
    for _ in range(RANDOM_SPACES):
        traffic = [float(round(10 ** draw.uniform(0, 5))) for _ in range(draw.randint(1, 12))]
        goal = fsum(traffic) / draw.randint(2, 100)
        shares = fill(((each, 1.0) for each in traffic), goal)
        ratios.append(fsum(map(shares.kept, traffic)) / goal)
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    yield _row(SOLVER, "output over goal, worst (Refinery: 3.7)", worst, 1.0, ok=abs(worst - 1) < 1e-9)


def judged(space: KeySpace, outcome: Outcome) -> Iterator[dict[str, Any]]:
    """The figures of a made key space."""
    one_in = space.settings.get("goal", {}).get("mean_rate")
    goals = [each.came / one_in if one_in else space.goal * _busy(space, n) for n, each in enumerate(outcome.intervals)]
    yield from _budget(space.name, outcome, goals, space.steady_from)
    start = [each.expected / goal for each, goal in list(zip(outcome.intervals, goals, strict=True))[:START_INTERVALS]]
    yield _row(space.name, "overshoot at start", max(0.0, max(start) - 1), START_LIMIT, ok=max(start) < 1 + START_LIMIT)
    if space.burst is not None and len(outcome.intervals) > space.burst + SETTLING_LIMIT:
        after = settled_after(outcome.intervals, space.burst, space.goal, SETTLED_WITHIN)
        yield _row(space.name, "intervals to settle", after, SETTLING_LIMIT, ok=after <= SETTLING_LIMIT)
    yield from _keys(space.name, outcome)


def _busy(space: KeySpace, interval: int) -> float:
    """The part of an interval in which there is traffic."""
    if space.name != "idle gaps":
        return 1.0
    return sum(not is_idle(interval, tick) for tick in range(TICKS)) / TICKS


def _budget(name: str, outcome: Outcome, goals: Sequence[float], steady_from: int = 2) -> Iterator[dict[str, Any]]:
    kept = fsum(each.kept for each in outcome.intervals[steady_from:])
    goal = fsum(goals[steady_from:])
    if goal > 0:
        error = abs(kept / goal - 1)
        yield _row(name, "budget error", error, BUDGET_LIMIT, ok=error <= BUDGET_LIMIT)


def _keys(name: str, outcome: Outcome) -> Iterator[dict[str, Any]]:
    if outcome.seen:
        share, uniform = outcome.shown / outcome.seen, outcome.uniform / outcome.seen
        measure = "keys with a kept trace an interval, at least as uniform"
        yield _row(name, measure, share, round(uniform, 4), ok=share >= uniform)


def _counts(estimates: Sequence[Estimate]) -> Iterator[dict[str, Any]]:
    """Bias and intervals of estimated counts, over all keys and windows of a minute with 30 kept traces expected."""
    number, mean, error, covered = pooled(estimates)
    if number < 2:
        return
    name = f"all, {number} estimates"
    yield _row(name, "mean error of counts", mean, None, ok=True)
    yield _row(name, "the same in standard errors", abs(mean) / error, BIAS_LIMIT, ok=abs(mean) <= BIAS_LIMIT * error)
    low, high = COVERAGE
    yield _row(name, "95 % intervals that hold the truth", covered, f"{low}-{high}", ok=low <= covered <= high)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    text = (__doc__ or "").split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling_quality", description=text)
    add = parser.add_argument
    names = [SOLVER, *(space.name for space in key_spaces()), RECORDING]
    add("--json", action="store_true", help="print one JSON object a line")
    add("--only", nargs="+", choices=names, metavar="NAME", help=f"these loads only, of: {', '.join(names)}")
    add("--intervals", type=int, metavar="N", help=f"intervals a load, each of {GOAL:g} kept traces (24 or 36)")
    add("--offline", action="store_true", help="without the three workers on a real Kafka (about 80 seconds)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
