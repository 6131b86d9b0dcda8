"""The policy sets that `benchmarks.policies` measures."""

from __future__ import annotations

import json
from importlib.metadata import distribution
from typing import Any

import pytest

from benchmarks.policies import BARE, SETS, TEN, main, subject_of

OURS = sorted(p.name for p in distribution("tailsampler").entry_points if p.group == "tailsampler.policies")


def _conditions(specs: list[dict[str, Any]]) -> set[str]:
    return {text for spec in specs for text in spec.get("ottl_condition", {}).get("span", [])}


@pytest.mark.parametrize("name", OURS)
def test_every_policy_type_is_measured(name: str) -> None:
    """Each type that we ship has a set of its name in which it stands."""
    assert any(spec["type"] == name for spec in SETS[name])


def test_the_ten_policies_are_ten_with_the_named_conditions() -> None:
    """The set that has a limit is the one the limit was set for."""
    assert len(SETS[TEN]) == 10
    assert _conditions(SETS[TEN]) == {
        'attributes["db.system"] != nil and attributes["retries"] == nil',
        'IsMatch(attributes["http.route"], "^/api/.*")',
        'Concat([resource.attributes["service.name"], attributes["http.request.method"]], ":") == "cart:POST"',
        'end_time - start_time > Duration("250ms")',
    }
    assert subject_of(TEN).in_plan


def test_a_row_is_the_sum_of_scanning_and_deciding(capsys: pytest.CaptureFixture[str]) -> None:
    """A short run prints one object a set, with its parts and their sum."""
    main(["--json", "--traces", "20", "--rounds", "1", "--only", "latency", "incomplete"])
    rows = {row["policies"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert set(rows) == {BARE, "latency", "incomplete"}
    assert (rows["latency"]["in_plan"], rows["incomplete"]["in_plan"]) == (True, False)
    for row in rows.values():
        assert row["us_per_trace"] == pytest.approx(row["scan_us"] + row["decide_us"], abs=0.011)
