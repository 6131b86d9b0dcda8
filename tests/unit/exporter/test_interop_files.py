"""The Collector files of the interop test, which runs only where there is a Collector, are consistent in themselves."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.interop.collectors import BEHIND, FRONT, HERE


@pytest.mark.parametrize(("name", "variables"), [("front", FRONT), ("behind", BEHIND)])
def test_files_ask_for_what_the_test_gives(name: str, variables: tuple[str, ...]) -> None:
    """Every variable of a file is one that the test sets, and the other way round."""
    text = (HERE / f"{name}.yaml").read_text()
    assert set(re.findall(r"\$\{env:([A-Z_]+)\}", text)) == set(variables)


@pytest.mark.parametrize("name", ["front", "behind"])
def test_pipelines_are_made_of_what_is_there(name: str) -> None:
    """Every component of a pipeline is configured, and every one that is configured is used."""
    data: dict[str, Any] = yaml.safe_load((HERE / f"{name}.yaml").read_text())
    pipelines = data["service"]["pipelines"].values()
    for kind in ("receivers", "exporters"):
        used = {component for pipeline in pipelines for component in pipeline[kind]}
        assert used == set(data[kind])
