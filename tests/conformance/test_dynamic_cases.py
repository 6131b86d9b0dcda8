"""Cases of Refinery's dynamic samplers, row by row, asked of the policy `dynamic`."""

from __future__ import annotations

import os
import re
from math import fsum
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.builtin.dynamic import Dynamic
from policies.dynamic.fields import KeyReader
from policies.dynamic.learning import Averages
from policies.dynamic.plans import Rules
from policies.dynamic.shares import fill
from policies.testing import span, trace
from policies.trace import TraceView

DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("dynamic_cases.yaml").read_text("utf-8"))
SHARED = Path(os.environ.get("SAMPLER_TRACE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def _rows(section: str) -> list[Any]:
    return [pytest.param(row, id=row["id"]) for row in DATA[section]]


def _kept(traffic: dict[str, float], rates: dict[str, float]) -> float:
    return fsum(amount / rates[key] for key, amount in traffic.items())


@pytest.mark.parametrize("case", _rows("shares"))
def test_shares(case: dict[str, Any]) -> None:
    """Each key is kept 1 in so many, and all together come to the goal at least as nearly as Refinery's do."""
    traffic: dict[str, float] = case["traffic"]
    total = fsum(traffic.values())
    goal = min(total, total / case["mean_rate"] if "mean_rate" in case else case["amount"])
    shares = fill(((float(amount), 1.0) for amount in traffic.values()), goal)
    one_in = {key: 1 / shares.chance(amount) for key, amount in traffic.items()}
    assert one_in == pytest.approx(case["one_in"], rel=1e-4, abs=1e-4)
    assert fsum(map(shares.kept, traffic.values())) == pytest.approx(goal)
    assert abs(_kept(traffic, one_in) - goal) <= abs(_kept(traffic, case["refinery"]) - goal) + 1e-9 * goal


def _averages(weight: float) -> Averages:
    return Averages(Rules(15_000, None, 10, 500, "ema", weight, 1, burst=0, first_chance=None))


@pytest.mark.parametrize("case", _rows("averages"))
def test_averages(case: dict[str, Any]) -> None:
    """From one round to the next averages move as Refinery's do; an interval without traffic leaves them."""
    rules = _averages(case["weight"])
    for (_, before), (counts, after) in zip(case["rounds"], case["rounds"][1:], strict=False):
        if counts:
            moved = {key: rules.next_past(key, counts.get(key, 0), before.get(key, 0)) for key in after}
            assert moved == pytest.approx(after, rel=1e-5)
        else:
            assert before == after


def _key(fields: list[Any], spans: list[dict[str, Any]], root: int | None) -> str:
    config = Dynamic.Config.model_validate({"key": fields, "goal": {"mean_rate": 10}})
    subject = trace(*(span("s", attributes=each, root=number == root) for number, each in enumerate(spans)))
    view = TraceView(subject.trace_id, subject.summary(), {}, lambda: subject.resource_spans)
    return KeyReader(config.key, config.max_key_characters).read(view)


@pytest.mark.parametrize("case", _rows("keys"))
def test_key(case: dict[str, Any]) -> None:
    """The same values make a key, in another spelling."""
    assert _key(case["fields"], case["spans"], case.get("root")) == case["key"]


@pytest.mark.parametrize("case", _rows("spellings"))
def test_spelling(case: dict[str, Any]) -> None:
    """A value is spelt alike on the root and elsewhere."""
    spans = [{"k": case["value"]}]
    assert _key([{"any": "k"}, {"root": "k"}], spans, 0) == f"{case['key']},{case['key']}"


def test_every_row_is_answered() -> None:
    """No row of the source sections is forgotten."""
    source = SHARED.parent / "conformance" / "refinery.md"
    if not source.exists():
        pytest.skip(f"{source} is not there")
    wanted = set(re.findall(r"^\| ([A-F]\d{3}) \|", source.read_text("utf-8"), re.MULTILINE))
    answered = set(DATA["not_applicable"])
    for section in ("shares", "averages", "keys"):
        for row in DATA[section]:
            first, _, last = row["id"].partition("-")
            numbers = range(int(first[1:]), int((last or first)[1:]) + 1)
            answered.update(f"{first[0]}{number:03}" for number in numbers)
    assert wanted <= answered
