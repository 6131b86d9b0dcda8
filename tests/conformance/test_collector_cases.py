"""What a real Collector kept of 1,250 traces, against what simulate's own code path keeps."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.registry import installed
from sampler.config import parse_policies
from sampler.otlp import get_scanner
from sampler.otlp.native import COMPILED
from sampler.simulate import read_inputs, simulate

FOLDER = Path(os.environ.get("SAMPLER_CONFORMANCE_DATA", Path(__file__).parents[3] / "shared" / "conformance"))
COLLECTOR = FOLDER / "collector"
TRACES, EXPECTED = COLLECTOR / "traces.jsonl.gz", COLLECTOR / "expected.json.gz"
PRESENT = TRACES.is_file() and EXPECTED.is_file()

pytestmark = pytest.mark.skipif(
    not PRESENT, reason=f"the Collector's results are not at {COLLECTOR}: set SAMPLER_CONFORMANCE_DATA to their folder"
)

TYPES_TO_COME: frozenset[str] = frozenset()
"""Policy types of the cases that the registry does not have."""

MISSING_TIME = "a span without a start or end time takes no part in the latency of its trace (docs/decisions.md)"
MISTYPED = "a value that is no boolean never matches boolean_attribute (docs/decisions.md)"
REASONS = {
    "slow_200": MISSING_TIME,
    "slow_1000": MISSING_TIME,
    "between_100_300": MISSING_TIME,
    "and_three": MISSING_TIME,
    "not_slow": MISSING_TIME,
    "first_match": MISSING_TIME,
    "or_many": MISSING_TIME,
    "prob_and_slow": MISSING_TIME,
    "cache_miss": MISTYPED,
}
"""Cases that differ on odd traces, and why."""


@dataclass(frozen=True)
class Recorded:
    """The recorded cases, and what is known of the traces."""

    cases: list[dict[str, Any]]
    odd: frozenset[str]
    spans: Mapping[str, list[dict[str, Any]]]


@cache
def recorded() -> Recorded:
    """The files, read once."""
    with gzip.open(EXPECTED) as file:
        expected = json.load(file)
    spans: dict[str, list[dict[str, Any]]] = {}
    with gzip.open(TRACES) as lines:
        for line in lines:
            for resource_spans in json.loads(line)["resourceSpans"]:
                for scope_spans in resource_spans["scopeSpans"]:
                    for span in scope_spans["spans"]:
                        spans.setdefault(span["traceId"], []).append(span)
    return Recorded(expected["cases"], frozenset(expected["odd"]), spans)


def types_in(specs: Any) -> Iterator[str]:
    """The policy types of a list, sub-policies included, in whatever key they stand."""
    if isinstance(specs, list):
        for spec in specs:
            yield from types_in(spec)
    elif isinstance(specs, dict):
        if isinstance(specs.get("name"), str) and isinstance(specs.get("type"), str):
            yield specs["type"]
        for value in specs.values():
            yield from types_in(value)


def block_of(case: dict[str, Any]) -> dict[str, Any]:
    """The policy file of a case; its randomness goes into the block."""
    block = dict(case["tail_sampling"])
    if "randomness" in case:
        block["randomness"] = case["randomness"]
    return {"tail_sampling": block}


def known(case: dict[str, Any]) -> bool:
    """Whether every policy type of a case exists."""
    return set(types_in(case["tail_sampling"]["policies"])) <= set(installed().names)


CASES = [case["name"] for case in recorded().cases if known(case)] if PRESENT else []


@cache
def kept_by(scanner: str) -> dict[str, frozenset[str]]:
    """Trace ids kept, by case: all cases over one read of the traces."""
    cases = [case for case in recorded().cases if known(case)]
    files = [parse_policies(yaml.safe_dump(block_of(case)), case["name"]) for case in cases]
    result = simulate(files, read_inputs([TRACES]), get_scanner(scanner))  # type: ignore[arg-type]
    assert result.spans == {bytes.fromhex(trace_id): len(spans) for trace_id, spans in recorded().spans.items()}
    return {
        case["name"]: frozenset(trace_id.hex() for trace_id, verdict in outcome.verdicts.items() if verdict.sampled)
        for case, outcome in zip(cases, result.outcomes, strict=True)
    }


def explained(reason: str, trace_id: str) -> bool:
    """Whether a trace is of the kind that the reason speaks of."""
    spans = recorded().spans[trace_id]
    if reason == MISSING_TIME:
        return any(
            not int(span.get("startTimeUnixNano", 0)) or not int(span.get("endTimeUnixNano", 0)) for span in spans
        )
    attributes = [attribute for span in spans for attribute in span.get("attributes", [])]
    return any(each["key"] == "cache.hit" and "boolValue" not in each.get("value", {}) for each in attributes)


SCANNERS = [
    pytest.param(
        "compiled", marks=pytest.mark.skipif(not COMPILED, reason="the compiled scanner is not built: no C compiler")
    ),
    "upb",
]


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("name", CASES)
def test_collector_case(name: str, scanner: str) -> None:
    """The Collector's kept set on plain traces; on odd ones it differs only for a reason that the trace bears out."""
    case = next(case for case in recorded().cases if case["name"] == name)
    differing = kept_by(scanner)[name] ^ frozenset(case["kept"])
    assert sorted(differing - recorded().odd) == []
    unexplained = [each for each in differing if name not in REASONS or not explained(REASONS[name], each)]
    assert unexplained == []
    assert bool(differing) == (name in REASONS), "REASONS names a case that does not differ any more"


def test_cases_of_all_existing_types_run() -> None:
    """Only cases of the named types to come are left out: a new policy type brings its cases in."""
    missing = {kind for case in recorded().cases for kind in types_in(case["tail_sampling"]["policies"])} - set(
        installed().names
    )
    assert missing == TYPES_TO_COME
    assert set(REASONS) <= set(CASES)
