"""Committed files that come from the models: schemas, reference page, examples."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sampler.config import Config, load_config, load_policies
from sampler.config.reference import configuration_page
from sampler.config.schema import FILES, schema_of, schema_text

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("which", list(FILES))
def test_schemas_are_current(which: str) -> None:
    """Write them anew with `python -m sampler.config.schema`."""
    assert (ROOT / FILES[which]).read_text(encoding="utf-8") == schema_text(which)


def test_reference_page_is_current() -> None:
    """Write it anew with `python -m sampler.config.reference > docs/configuration.md`."""
    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == configuration_page()


def test_example_configuration_shows_the_defaults() -> None:
    """It loads, and apart from the pass-through says what the defaults are."""
    config = load_config(ROOT / "docs/examples/config.yaml", environment={})
    assert config.model_copy(update={"kafka": config.kafka.model_copy(update={"librdkafka": {}})}) == Config()


def test_example_policies_load() -> None:
    """Without any note."""
    file = load_policies(ROOT / "docs/examples/policies.yaml", environment={})
    assert file.policy_set.names == ("no-probes", "errors", "slow", "large-checkouts", "baseline")
    assert file.notes == ()


@pytest.mark.parametrize("which", list(FILES))
def test_examples_name_their_schema(which: str) -> None:
    """The first line leads an editor to the committed schema."""
    path = ROOT / f"docs/examples/{which}.yaml"
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.split("=", 1)[1]).resolve() == ROOT / FILES[which]


def test_every_key_of_the_example_is_in_the_schema() -> None:
    """The schema knows what the models know, at every level."""
    schema = schema_of("config")

    def walk(data: object, node: dict[str, object]) -> None:
        if "anyOf" in node:
            node = next((n for n in node["anyOf"] if "$ref" in n), node)  # type: ignore[attr-defined]
        if "$ref" in node:
            node = schema["$defs"][str(node["$ref"]).rsplit("/", 1)[1]]
        properties = node.get("properties")
        if isinstance(data, dict) and isinstance(properties, dict):
            for key, value in data.items():
                walk(value, properties[key])

    walk(yaml.safe_load((ROOT / "docs/examples/config.yaml").read_text(encoding="utf-8")), schema)
