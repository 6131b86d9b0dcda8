"""The JSON Schema of policy files: what an editor takes, refuses, and knows of every policy type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.registry import installed
from sampler.config.policy_types import built_in
from sampler.config.reference import configuration_page
from sampler.config.schema import schema_of
from tests.harness.json_schema import faults

ROOT = Path(__file__).parents[3]
SCHEMA = schema_of("policies")
LATENCY = {"name": "a", "type": "latency", "latency": {"threshold_ms": 5}}


def complaints(*policies: Any) -> list[str]:
    return list(faults({"tail_sampling": {"policies": list(policies)}}, SCHEMA, SCHEMA))


@pytest.mark.parametrize("path", ["docs/examples/policies.yaml", "tests/unit/config/data/collector.yaml"])
def test_files_that_load_meet_the_schema(path: str) -> None:
    """Our example, and a whole Collector's file with variables in it."""
    data = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert list(faults(data, SCHEMA, SCHEMA)) == []


def test_the_configuration_example_meets_its_schema() -> None:
    """With all its keys."""
    schema = schema_of("config")
    data = yaml.safe_load((ROOT / "docs/examples/config.yaml").read_text(encoding="utf-8"))
    assert list(faults(data, schema, schema)) == []


@pytest.mark.parametrize(
    "policy",
    [
        LATENCY,
        {**LATENCY, "on_error": "keep"},
        {**LATENCY, "latency": {"threshold_ms": "${env:SLOW_MS}"}},
        {"name": "n", "type": "not", "not": {"not_sub_policy": {"type": "always_sample"}}},
        {"name": "a", "type": "and", "and": {"and_sub_policy": [LATENCY, {"type": "always_sample"}]}},
        {"name": "p", "type": "of_a_plugin", "of_a_plugin": {"anything": [1]}, "more": True},
        {"name": "a", "type": "and", "and": {"and_sub_policy": [{"type": "of_a_plugin", "of_a_plugin": 1}]}},
    ],
)
def test_policies_that_an_editor_takes(policy: dict[str, Any]) -> None:
    """Each type's settings, policies inside policies, variables, and whatever a plugin takes."""
    assert complaints(policy) == []


@pytest.mark.parametrize(
    "policy",
    [
        {"type": "always_sample"},
        {"name": "", "type": "always_sample"},
        {"name": "a"},
        {**LATENCY, "latency": {"treshold_ms": 5}},
        {**LATENCY, "latency": {"threshold_ms": "slow"}},
        {**LATENCY, "extra": 1},
        {**LATENCY, "on_error": "maybe"},
        {"name": "a", "type": "and", "and": {"and_sub_policy": []}},
        {"name": "a", "type": "and", "and": {"and_sub_policy": [{**LATENCY, "latency": {"x": 1}}]}},
        {"name": "a", "type": "and", "and": {"and_sub_policy": [{**LATENCY, "on_error": "keep"}]}},
        {"name": "a", "type": "and", "and": {"and_sub_policy": [{"type": "drop"}]}},
    ],
)
def test_policies_that_an_editor_marks(policy: dict[str, Any]) -> None:
    """A missing name or type, unknown keys, wrong values, at any depth."""
    assert complaints(policy)


def test_every_type_of_ours_is_in_schema_and_page() -> None:
    """Those of the entry points, each with all its settings."""
    ours = {name for name in installed().names if installed().origin(name) == "built-in"}
    assert set(built_in()) == ours
    page = configuration_page()
    for name, policy in built_in().items():
        settings = SCHEMA["$defs"][f"settings.{name}"]
        assert set(settings["properties"]) == set(policy.Config.model_fields)
        section = page.split(f"\n### {name}\n", 1)[1].split("\n### ", 1)[0]
        assert all(f"`{key}`" in section for key in policy.Config.model_fields)


def test_settings_that_hold_policies_lead_to_the_schema_of_policies() -> None:
    """So that an editor checks them at every depth."""
    for name, key in (("and", "and_sub_policy"), ("drop", "drop_sub_policy"), ("composite", "composite_sub_policy")):
        assert SCHEMA["$defs"][f"settings.{name}"]["properties"][key]["items"] == {"$ref": "#/$defs/sub_policy"}
    assert SCHEMA["$defs"]["settings.not"]["properties"]["not_sub_policy"]["$ref"] == "#/$defs/sub_policy"
