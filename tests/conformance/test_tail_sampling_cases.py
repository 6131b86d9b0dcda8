"""The Collector's answers, row by row, asked of the policy kernel."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies import PolicyConfigError, PolicySet, build_policy_set
from policies.randomness import DEFAULT_SALT, fnv1a64
from policies.rset import contains, from_percentage
from policies.testing import Trace, decide, resource, span, trace

DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("tail_sampling_cases.yaml").read_text())
IDS: dict[str, bytes] = {name: bytes.fromhex(text) for name, text in DATA["ids"].items()}
SHARED = Path(os.environ.get("SAMPLER_TRACE_DATA", Path(__file__).parents[3] / "shared" / "data"))
ROWS_ELSEWHERE = {"CFG-01", "CFG-11", "CFG-13"}


def _rows(section: str) -> list[Any]:
    return [pytest.param(row, id=row["id"]) for row in DATA[section]]


def _span(row: dict[str, Any]) -> Any:
    start, end = row.get("t", (None, None))
    keywords = {key: value for key, value in row.items() if key != "t"}
    return span("span", start, end, **keywords)


def _trace(case: dict[str, Any]) -> Trace:
    units = [
        resource(unit.get("resource"), *(_span(row) for row in unit.get("spans", [{}] * unit.get("count", 0))))
        for unit in case["trace"]
    ]
    return trace(*units, trace_id=IDS[case.get("trace_id", "T7")])


def _named(case: dict[str, Any]) -> list[dict[str, Any]]:
    policies: list[dict[str, Any]] = case.get("policies") or [{"name": "p", **case["policy"]}]
    return policies


def _probabilistic(config: dict[str, Any]) -> PolicySet:
    specs = [{"name": "p", "type": "probabilistic", "probabilistic": config}]
    return build_policy_set(specs, randomness="collector_hash")


@pytest.mark.parametrize("case", _rows("cases"))
def test_case(case: dict[str, Any]) -> None:
    """A trace gets the Collector's decision, or one that differs on purpose, under the policy it is recorded for."""
    verdict = decide(_named(case), _trace(case), **case.get("options", {}))
    assert verdict.decision == case["expect"]
    if "recorded" in case:
        assert verdict.policy == case["recorded"]
    if "differs" in case:
        assert case["collector"] != case["expect"]


@pytest.mark.parametrize("case", _rows("kept_ids"))
def test_kept_ids(case: dict[str, Any]) -> None:
    """`probabilistic` keeps the very ids that the Collector keeps."""
    policy_set = _probabilistic(case["probabilistic"])
    assert [name for name, raw in IDS.items() if decide(policy_set, trace(trace_id=raw)).sampled] == case["kept"]


@pytest.mark.parametrize("name", sorted(DATA["hashes"]))
def test_hash_vectors(name: str) -> None:
    """The hash of salt and id is FNV-1a, 64 bits."""
    raw = IDS[name]
    assert [fnv1a64(salt.encode() + raw) for salt in (DEFAULT_SALT, "test-salt")] == DATA["hashes"][name]


@pytest.mark.parametrize("name", sorted(DATA["id_percentages"]))
def test_id_percentages(name: str) -> None:
    """Id bits keep a trace from the listed percentage on, within rounding."""
    randomness = int.from_bytes(IDS[name][-7:], "big")
    percentage = DATA["id_percentages"][name]
    assert contains(from_percentage(percentage + 0.006), randomness)
    assert not contains(from_percentage(percentage - 0.006), randomness)


@pytest.mark.parametrize("case", _rows("shares"))
def test_shares(case: dict[str, Any]) -> None:
    """Of random ids each percentage keeps its share, cut to 0..100, whatever the salt."""
    blob = random.Random(1).randbytes(16 * case["ids"])
    ids = [blob[start : start + 16] for start in range(0, len(blob), 16)]
    summary = trace().summary()
    for salt in case["salts"]:
        for percentage in case["percentages"]:
            policy_set = _probabilistic({"sampling_percentage": percentage, "hash_salt": salt})
            verdicts = policy_set.decide(0, [(raw, summary, tuple) for raw in ids], {})
            share = 100 * sum(verdict.sampled for verdict in verdicts) / len(ids)
            assert share == pytest.approx(min(max(percentage, 0), 100), abs=case["tolerance"])


@pytest.mark.parametrize("case", _rows("agreements"))
def test_agreements(case: dict[str, Any]) -> None:
    """Two probabilistic policies of one set with one percentage keep the same traces: `left and not right` is empty."""
    left, right = ({"type": "probabilistic", "probabilistic": case[side]} for side in ("left", "right"))
    sub_policies = [left, {"type": "not", "not": {"not_sub_policy": right}}]
    policy_set = build_policy_set([{"name": "p", "type": "and", "and": {"and_sub_policy": sub_policies}}])
    verdicts = [decide(policy_set, trace(trace_id=raw)) for raw in IDS.values()]
    assert {verdict.probability for verdict in verdicts} == {0.0}
    assert bool(policy_set.notes) == ("differs" in case)


@pytest.mark.parametrize("case", _rows("config_errors"))
def test_config_errors(case: dict[str, Any]) -> None:
    """A wrong list is refused in the Collector's words, with the place."""
    with pytest.raises(PolicyConfigError, match=re.escape(case["message"])) as caught:
        build_policy_set(case["policies"])
    assert list(caught.value.loc) == case["loc"]


@pytest.mark.parametrize("case", _rows("accepted"))
def test_accepted(case: dict[str, Any]) -> None:
    """A list loads, drop policies first in order of evaluation."""
    assert list(build_policy_set(case["policies"]).names) == case["order"]


def test_every_row_is_answered() -> None:
    """No row of the source sections is forgotten."""
    source = SHARED.parent / "conformance" / "otel_tail_sampling.md"
    if not source.exists():
        pytest.skip(f"{source} is not there")
    text = source.read_text()
    wanted = set(re.findall(r"^\| ((?:ALW|STR|NUM|BOO|LAT|PRB|STA|CNT|LOG|FIN|CFG)-\d+Q?) \|", text, re.MULTILINE))
    sections = ("cases", "kept_ids", "shares", "agreements", "config_errors", "accepted")
    answered = {match for name in sections for row in DATA[name] for match in re.findall(r"^[A-Z]+-\d+Q?", row["id"])}
    answered |= {*DATA["covered_by"], *DATA["not_applicable"]}
    assert wanted - answered - ROWS_ELSEWHERE == set()
    assert answered - wanted == set()
