"""Behind a ratio head sampler, which keeps low ids: shares, and estimates from what simulate writes on kept spans."""

from __future__ import annotations

import random

import pytest

from sampler.config import parse_policies
from sampler.estimate import estimate
from sampler.generate import Span, Trace, requests_of
from sampler.otlp import get_scanner
from sampler.simulate import Record, simulate
from sampler.simulate.kept import KeptTraces

TRACES = 20_000
PERCENTAGE = 10
SIGMAS = 4.0


def head_sampled(ratio: float, seed: int) -> list[Record]:
    """One-span traces that an SDK's TraceIdRatioBased let through: the low 64 bits of the id are below ratio * 2^64."""
    source, bound = random.Random(seed), int(ratio * 2**64)
    records = []
    for _ in range(TRACES):
        trace_id = source.getrandbits(64) << 64 | source.randrange(1, bound)
        trace = Trace(trace_id.to_bytes(16, "big"), (Span("shop", b"\1" * 8, b"", "GET /", 0, 1_000_000),))
        records += [Record("made", 0, each.SerializeToString()) for each in requests_of(trace, 1_800_000_000 * 10**9)]
    return records


def policies(ratio: float, randomness: str = "auto") -> str:
    """A policy file with one probabilistic policy behind a declared head sampler."""
    return f"""
tail_sampling:
  randomness: {randomness}
  incoming_probability: {ratio}
  policies:
    - {{name: some, type: probabilistic, probabilistic: {{sampling_percentage: {PERCENTAGE}}}}}
"""


@pytest.mark.parametrize("ratio", [0.1, 0.01, 0.001])
def test_shares_and_estimates_hold_behind_a_head_sampler(ratio: float) -> None:
    """10 % is 10 % of what came, and the traces before the head sampler are estimated without bias."""
    result = simulate([parse_policies(policies(ratio))], head_sampled(ratio, seed=5), get_scanner(), written=True)
    (outcome,) = result.outcomes
    share = sum(verdict.sampled for verdict in outcome.verdicts.values()) / TRACES
    p = PERCENTAGE / 100
    assert share == pytest.approx(p, abs=SIGMAS * (p * (1 - p) / TRACES) ** 0.5)
    kept = KeptTraces()
    for _, payload in outcome.outputs:
        kept.add(payload)
    found = estimate((trace.rate, 1) for trace in kept.traces.values())
    # What came is fixed here, so only our own draw errs: standard error of a share of it, scaled up.
    expected = TRACES / ratio
    assert found.value == pytest.approx(expected, abs=SIGMAS * expected * ((1 - p) / p / TRACES) ** 0.5)
    assert all(trace.rate == pytest.approx(1 / (p * ratio)) for trace in kept.traces.values())


def test_id_bits_would_keep_nothing() -> None:
    """Why the hash is the default: by id bits not one of the traces behind a 0.1 % head sampler would be kept."""
    found = simulate([parse_policies(policies(0.001, "trace_id"))], head_sampled(0.001, seed=5), get_scanner())
    assert not any(verdict.sampled for verdict in found.outcomes[0].verdicts.values())
