"""`python -m benchmarks.policies`: microseconds per 10-span trace that each policy type costs, without Kafka.

The cost of a policy is what scanning and deciding take with it, less what they take with a set that asks nothing of a
trace. What is written of kept traces is left out: it depends on the share that is kept, not on the policy. CPU time of
this process; the rounds of all sets are interleaved and the best of each counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.loads import Load
from benchmarks.report import Report
from policies.policy_set import PolicySet, TraceInput, build_policy_set
from policies.trace import NO_SPANS
from sampler.otlp import Scanner, compile_plan, decode, fnv1a64, get_scanner

SETS: Mapping[str, list[dict[str, Any]]] = yaml.safe_load(Path(__file__).with_name("policies.yaml").read_text())
"""Policy lists by name. One that is named like a policy type shows what that type costs."""
TEN = "ten_policies"
TEN_LIMIT_US = 15.0
BARE = "bare"
START_MS = 1_700_000_000_000
TICK_TRACES = 500
"""Traces that are decided together: what eight partitions settle of 16,000 traces a second."""
COLUMNS = ("policies", "in_plan", "scan_us", "decide_us", "us_per_trace", "limit", "ok")


@dataclass
class Subject:
    """One policy set under measurement, with the best times so far, in seconds for all records."""

    name: str
    policies: PolicySet
    in_plan: bool
    scan_s: float = float("inf")
    decide_s: float = float("inf")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every set and print the figures; exit 1 where the ten policies cost more than their limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--traces", type=int, default=4_000, metavar="N", help="traces a round (4,000)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds, the best of which counts (7)")
    parser.add_argument("--only", nargs="+", choices=sorted(SETS), metavar="NAME", help="measure these sets only")
    options = parser.parse_args(arguments)
    report = Report(COLUMNS, options.json)
    names = [name for name in SETS if not options.only or name in {*options.only, BARE}]
    subjects = measured(names, options.traces, options.rounds)
    bare = next(subject for subject in subjects if subject.name == BARE)
    rows = [_row(subject, bare, options.traces) for subject in subjects]
    for row in rows:
        report.add(row)
    report.finish()
    if not all(row.get("ok", True) for row in rows):
        sys.exit(1)


def measured(names: Sequence[str], traces: int, rounds: int) -> list[Subject]:
    """The sets of these names, each with its best times over the same traces."""
    scanner = get_scanner()
    values = [record.value for record in Load("keyed10", traces * 10, START_MS).records()]
    subjects = [subject_of(name) for name in names]
    for _ in range(rounds):
        for subject in subjects:
            _round(subject, scanner, values)
    return subjects


def subject_of(name: str) -> Subject:
    """A policy set of the file, ready to be measured."""
    policies = build_policy_set(SETS[name])
    policies.randomness.use(fnv1a64)
    return Subject(name, policies, not policies.needs_spans)


def _round(subject: Subject, scanner: Scanner, values: Sequence[bytes]) -> None:
    policies = subject.policies
    plan = compile_plan(policies.span_conditions)
    start_s = time.process_time()
    scanned = [scanner.scan(plan, value).traces[0] for value in values]
    scan_s = time.process_time() - start_s
    traces: list[TraceInput] = [
        (trace_id, summary, partial(decode, [chunk]) if policies.needs_spans else NO_SPANS)
        for trace_id, chunk, summary in scanned
    ]
    state = policies.initial_state()
    start_s = time.process_time()
    for tick, first in enumerate(range(0, len(traces), TICK_TRACES)):
        policies.decide(START_MS + 250 * tick, traces[first : first + TICK_TRACES], state)
    decide_s = time.process_time() - start_s
    if policies.errors:
        raise SystemExit(f"{subject.name} failed: {json.dumps(policies.last_errors)}")
    subject.scan_s, subject.decide_s = min(subject.scan_s, scan_s), min(subject.decide_s, decide_s)


def _row(subject: Subject, bare: Subject, traces: int) -> dict[str, Any]:
    scan_us, decide_us = subject.scan_s / traces * 1e6, subject.decide_s / traces * 1e6
    if subject is not bare:
        scan_us -= bare.scan_s / traces * 1e6
        decide_us -= bare.decide_s / traces * 1e6
    row: dict[str, Any] = {
        "policies": subject.name,
        "in_plan": subject.in_plan,
        "scan_us": round(scan_us, 2),
        "decide_us": round(decide_us, 2),
        "us_per_trace": round(scan_us + decide_us, 2),
    }
    if subject.name == TEN:
        row |= {"limit": TEN_LIMIT_US, "ok": scan_us + decide_us < TEN_LIMIT_US}
    return row


if __name__ == "__main__":
    main()
