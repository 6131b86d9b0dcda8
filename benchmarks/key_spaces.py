"""Made traffic for `benchmarks.sampling_quality`: which keys come in which tick, the same in every run."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, TypeAlias

INTERVAL_MS = 15_000
TICKS = INTERVAL_MS // 250
GOAL_PER_SECOND = 100
GOAL = GOAL_PER_SECOND * INTERVAL_MS / 1000

Claims: TypeAlias = Sequence[tuple[str, int]]
"""Key and number of spans of each trace that is due in a tick."""
Traffic: TypeAlias = Callable[[int, int], Claims]
"""(interval, tick) -> what is due."""


@dataclass(frozen=True)
class KeySpace:
    """A load: its traffic, the settings beside key and interval, and what is special about it."""

    name: str
    traffic: Traffic
    intervals: int = 24
    settings: dict[str, Any] = field(default_factory=dict)
    burst: int | None = None
    """The interval in which one key begins to come ten times as often."""
    steady_from: int = 5
    """The first interval that counts as steady."""
    spans: bool = False
    """The goal is in spans, ten for each trace that the others keep."""

    @property
    def goal(self) -> float:
        """What is kept in an interval with traffic all the time, in the unit of the goal."""
        return GOAL * (10 if self.spans else 1)


def key_spaces() -> list[KeySpace]:
    """Every load, by what it shows."""
    steady = zipf(300, 200)
    return [
        KeySpace("zipf, 300 keys", steady),
        KeySpace("zipf, spans", with_spans(zipf(300, 200, seed=2)), spans=True),
        KeySpace("zipf, windowed", zipf(300, 200, seed=3), settings={"mode": "windowed"}),
        KeySpace("zipf, 100 keys", zipf(100, 300, seed=4), settings={"goal": {"mean_rate": 8}}),
        KeySpace("burst of one key", bursting(steady, "k5", 10), burst=10, steady_from=14),
        KeySpace("burst of a new key", bursting(steady, "unheard of", 10), burst=10, steady_from=14),
        KeySpace("new keys", coming_and_going(zipf(200, 140, seed=5)), intervals=36, steady_from=16),
        KeySpace("100,000 keys", zipf(100_000, 400, seed=6)),
        KeySpace("idle gaps", with_gaps(steady), intervals=36),
    ]


def zipf(keys: int, per_tick: int, seed: int = 1) -> Traffic:
    """The i-th key comes 1/i as often as the first; ticks are of Poisson's kind."""
    names = [f"k{number}" for number in range(keys)]
    weights = list(accumulate(1 / (number + 1) for number in range(keys)))

    def traffic(interval: int, tick: int) -> Claims:
        draw = random.Random(f"{seed} {interval} {tick}")
        traces = max(0, round(draw.gauss(per_tick, per_tick**0.5)))
        return [(key, 1) for key in draw.choices(names, cum_weights=weights, k=traces)]

    return traffic


def with_spans(traffic: Traffic) -> Traffic:
    """Traces of 1 to 60 spans, 10 on average, small ones most."""

    def spans(interval: int, tick: int) -> Claims:
        draw = random.Random(f"spans {interval} {tick}")
        return [(key, min(60, 1 + int(draw.expovariate(1 / 9.5)))) for key, _ in traffic(interval, tick)]

    return spans


def bursting(traffic: Traffic, key: str, since: int) -> Traffic:
    """From the middle of an interval on one key comes ten times as often as the sixth."""

    def burst(interval: int, tick: int) -> Claims:
        begun = (interval, tick) >= (since, TICKS // 2)
        return [*traffic(interval, tick), *([(key, 1)] * (50 if begun else 0))]

    return burst


def coming_and_going(traffic: Traffic) -> Traffic:
    """Beside the steady traffic, 30 % of all is of keys that come for three intervals and then never again."""

    def churn(interval: int, tick: int) -> Claims:
        draw = random.Random(f"churn {interval} {tick}")
        fleeting = [(f"n{(interval + draw.randrange(3)) // 3}-{draw.randrange(60)}", 1) for _ in range(60)]
        return [*traffic(interval, tick), *fleeting]

    return churn


def with_gaps(traffic: Traffic) -> Traffic:
    """Nothing comes for two minutes out of every seven and a half, from the middle of an interval on."""

    def gaps(interval: int, tick: int) -> Claims:
        return [] if is_idle(interval, tick) else traffic(interval, tick)

    return gaps


def is_idle(interval: int, tick: int) -> bool:
    """Whether `with_gaps` has a gap there."""
    return (interval * TICKS + tick + TICKS // 2) % (30 * TICKS) >= 22 * TICKS
