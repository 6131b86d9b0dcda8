"""The Collector's answers about limiters, composites, tracestate and flags, row by row, asked of the policy kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies import PolicySet, build_policy_set
from policies.testing import Trace, decide, parse_trace, span, trace
from sampler.otlp import Scanner, compile_plan, get_scanner
from sampler.otlp.native import COMPILED

DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("limiter_cases.yaml").read_text())
SHARED = Path(os.environ.get("SAMPLER_TRACE_DATA", Path(__file__).parents[3] / "shared" / "data"))
TRACE_ID = bytes(range(1, 17))


def _rows(section: str) -> list[Any]:
    return [pytest.param(row, id=row["id"]) for row in DATA[section]]


def _repeated(text: str) -> str:
    """`x*3` stands for xxx."""
    return re.sub(r"(.)\*(\d+)", lambda match: match[1] * int(match[2]), text)


def _policy_set(policy: dict[str, Any]) -> PolicySet:
    return build_policy_set([{"name": "p", **policy}])


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def as_the_collector_writes_it(pad: int | None = None, service: str | None = None) -> bytes:
    """A root span on the wire of a Collector, which writes parent, status, resource and scope even where empty."""
    attribute = b""
    if pad is not None:
        attribute = _field(9, _field(1, b"pad") + _field(2, _field(1, b"x" * pad)))
    root = _field(1, TRACE_ID) + _field(2, b"\1" * 8) + _field(4, b"") + attribute + _field(15, b"")
    named = _field(1, _field(1, b"service.name") + _field(2, _field(1, service.encode()))) if service else b""
    return _field(1, _field(1, named) + _field(2, _field(1, b"") + _field(2, root)))


def _arrival(policy_set: PolicySet, number: int, spans: int, lvl: int = 0) -> Trace:
    if policy_set.describe().startswith("p (bytes_limiting)"):
        return parse_trace(as_the_collector_writes_it(spans))
    attributes = {"lvl": lvl} if lvl else {}
    return trace(*(span("s", attributes=attributes) for _ in range(spans)), trace_id=number.to_bytes(16, "big"))


@pytest.mark.parametrize("case", _rows("traces"))
def test_trace(case: dict[str, Any]) -> None:
    """A trace is kept by its tracestate or flags as the Collector keeps it."""
    policy = yaml.safe_load(_repeated(yaml.safe_dump(case["policy"], width=1000)))
    rows = [row | {"tracestate": _repeated(row.get("tracestate", ""))} for row in case["spans"]]
    spans = [span("s", **row) for row in rows]
    assert decide(_policy_set(policy), trace(*spans)).sampled == (case["expect"] == "S")


@pytest.mark.parametrize("case", _rows("sequences"))
def test_sequence(case: dict[str, Any]) -> None:
    """Traces that come one after the other find what the earlier ones have left; notes say what may surprise."""
    policy_set = _policy_set(case["policy"])
    state = policy_set.initial_state()
    verdicts = [
        policy_set.decide(round(1000 * seconds), [_arrival(policy_set, number, *rest).input_for(policy_set)], state)[0]
        for number, (seconds, *rest) in enumerate(case["traces"], start=1)
    ]
    assert "".join("S" if verdict.sampled else "N" for verdict in verdicts) == case["expect"]
    assert not policy_set.errors
    if "recorded" in case:
        assert [verdict.policy for verdict in verdicts] == case["recorded"]
    assert any(case.get("noted", "no note") in note for note in policy_set.notes) == ("noted" in case)
    if "differs" in case:
        assert case["collector"] != case["expect"]


@pytest.mark.parametrize("case", _rows("same_tick"))
def test_same_tick(case: dict[str, Any]) -> None:
    """Of traces that are due together as many are kept as fit."""
    policy_set = _policy_set(case["policy"])
    inputs = [_arrival(policy_set, number, spans).input_for(policy_set) for number, spans in enumerate(case["traces"])]
    verdicts = policy_set.decide(0, inputs, policy_set.initial_state())
    assert sum(verdict.sampled for verdict in verdicts) == case["kept"]


SCANNERS = [
    pytest.param(
        "compiled", marks=pytest.mark.skipif(not COMPILED, reason="the compiled scanner is not built: no C compiler")
    ),
    "upb",
]


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("case", _rows("sizes"))
def test_size(case: dict[str, Any], scanner: Any) -> None:
    """What a Collector wrote has the size on the wire that the Collector counts."""
    record = as_the_collector_writes_it(case.get("pad"), case.get("service"))
    assert len(record) == case["bytes"]
    reading: Scanner = get_scanner(scanner)
    ((_, _, summary),) = reading.scan(compile_plan(()), record).traces
    assert summary.size_bytes == case["bytes"]


def test_every_limiter_row_is_answered() -> None:
    """No row of the source sections is forgotten."""
    source = SHARED.parent / "conformance" / "otel_tail_sampling.md"
    if not source.exists():
        pytest.skip(f"{source} is not there")
    wanted = set(re.findall(r"^\| ((?:TST|TFL|RAT|BYT|CMP)-\d+Q?|LIFE-37) \|", source.read_text(), re.MULTILINE))
    sections = ("traces", "sequences", "same_tick", "sizes")
    answered = {match for name in sections for row in DATA[name] for match in re.findall(r"^[A-Z]+-\d+Q?", row["id"])}
    answered |= set(DATA["not_applicable"])
    assert wanted == answered
