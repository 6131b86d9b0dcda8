"""The rows of `ottl_condition`, asked of the policy kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies import PolicyConfigError, build_policy_set
from policies.testing import Trace, decide, event, resource, span, trace

DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("ottl_cases.yaml").read_text())
SHARED = Path(os.environ.get("SAMPLER_CONFORMANCE_DATA", Path(__file__).parents[3] / "shared" / "conformance"))


def rows(section: str) -> list[Any]:
    """The rows of a section as test parameters."""
    return [pytest.param(row, id=row["id"]) for row in DATA[section]]


def built(units: list[dict[str, Any]]) -> Trace:
    """The trace of a row."""
    return trace(
        *(
            resource(
                unit.get("resource"),
                *(
                    span(attributes=each.get("attributes"), events=[event(**one) for one in each.get("events", ())])
                    for each in unit["spans"]
                ),
            )
            for unit in units
        )
    )


@pytest.mark.parametrize("case", rows("cases"))
def test_case(case: dict[str, Any]) -> None:
    """A trace gets the Collector's decision."""
    config = {} if case.get("unset") else {"error_mode": "ignore"}
    policy = {"name": "p", "type": "ottl_condition", "ottl_condition": {**config, **case["policy"]}}
    assert decide([policy], built(case["trace"])).decision == case["expect"]


@pytest.mark.parametrize("case", rows("config_errors"))
def test_config_errors(case: dict[str, Any]) -> None:
    """A wrong block is refused, with the place of the condition in the list."""
    with pytest.raises(PolicyConfigError, match=re.escape(case["message"])) as caught:
        build_policy_set([{"name": "p", "type": "ottl_condition", "ottl_condition": case["policy"]}])
    assert list(caught.value.loc) == case["loc"]


def test_every_row_is_answered() -> None:
    """No row of section M is forgotten."""
    source = SHARED / "otel_tail_sampling.md"
    if not source.exists():
        pytest.skip(f"{source} is not there")
    wanted = set(re.findall(r"^\| (OTL-\d+Q?) \|", source.read_text(), re.MULTILINE))
    everything = [row["id"] for section in ("cases", "config_errors") for row in DATA[section]]
    answered = {match for name in everything for match in re.findall(r"^OTL-\d+Q?", name)}
    assert wanted == answered
