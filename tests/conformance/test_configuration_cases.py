"""The Collector's answers to a configuration, row by row, asked of the loading of policy files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampler.config import ConfigError, parse_policies
from sampler.config.resolved import policies_tree

DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("configuration_cases.yaml").read_text())
FOLDER = Path(os.environ.get("SAMPLER_CONFORMANCE_DATA", Path(__file__).parents[3] / "shared" / "conformance"))
FORMS = {
    "bare": lambda block: block,
    "under its key": lambda block: {"tail_sampling": block},
    "under processors": lambda block: {"processors": {"batch": {}, "tail_sampling/x": block}},
    "whole": lambda block: {
        "receivers": {"otlp": {}},
        "processors": {"tail_sampling": block},
        "service": {"pipelines": {"traces": {"processors": ["tail_sampling"]}}},
    },
}


def _rows(section: str) -> list[Any]:
    return [pytest.param(row, id=row["id"]) for row in DATA[section]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", _rows("loads"))
def test_block_loads(case: dict[str, Any], form: str) -> None:
    """With the Collector's defaults and order of evaluation, wherever the block stands."""
    file = parse_policies(yaml.safe_dump(FORMS[form](case["block"])), "p.yaml")
    assert list(file.policy_set.names) == case["order"]
    shown = policies_tree(file, defaults=True)["tail_sampling"]
    assert {key: shown[key] for key in case.get("settings", {})} == case.get("settings", {})
    noted = case.get("noted")
    assert len([note for note in file.notes if noted and note.endswith(noted)]) == bool(noted)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", _rows("refused"))
def test_block_is_refused(case: dict[str, Any], form: str) -> None:
    """In the Collector's words, at the key that is wrong."""
    with pytest.raises(ConfigError) as caught:
        parse_policies(yaml.safe_dump(FORMS[form](case["block"])), "p.yaml")
    (problem,) = caught.value.problems
    assert case["message"] in problem.message
    assert re.search(rf"(^|\.){re.escape(case['key'])}($|\.|\[)", problem.key)


def test_every_row_on_configuration_is_answered() -> None:
    """No row of the two sections is forgotten, and none is made up."""
    source = FOLDER / "otel_tail_sampling.md"
    if not source.is_file():
        pytest.skip(f"{source} is not there")
    wanted = set(re.findall(r"^\| ((?:CFG|ING)-\d+Q?) \|", source.read_text(), re.MULTILINE))
    rows = [row["id"] for section in ("loads", "refused") for row in DATA[section]]
    answered = {match for row in rows for match in re.findall(r"^(?:CFG|ING)-\d+Q?", row)}
    answered |= {row for held in DATA["refused_rows"].values() for row in held}
    assert answered == wanted
    assert DATA["refused_rows"].keys() <= set(rows)
