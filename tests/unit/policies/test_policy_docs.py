"""The pages on policies are complete, and their examples load."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

from policies.aliases import SEMCONV_GROUPS
from policies.registry import GROUP
from sampler.config import parse_policies

PAGES = Path(__file__).parents[3] / "docs" / "policies"
SHIPPED = {point.name: point.value for point in entry_points(group=GROUP) if point.value.startswith("policies.")}
COLLECTOR = {
    "always_sample", "and", "boolean_attribute", "bytes_limiting", "composite", "drop", "latency", "not",
    "numeric_attribute", "ottl_condition", "probabilistic", "rate_limiting", "span_count", "status_code",
    "string_attribute", "trace_flags", "trace_state",
}  # fmt: skip
EXAMPLES = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in sorted(PAGES.glob("*.md"))
    for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL))
]


@pytest.mark.parametrize("kind", sorted(SHIPPED))
def test_every_policy_has_its_line(kind: str) -> None:
    """In the index; one beyond the Collector's has a page of its own, with an example, that names all its settings."""
    index = (PAGES / "README.md").read_text("utf-8")
    if kind in COLLECTOR:
        assert f"| `{kind}` |" in index
        return
    assert f"| [`{kind}`]({kind}.md) |" in index
    page = (PAGES / f"{kind}.md").read_text("utf-8")
    assert f"type: {kind}" in page
    point = next(point for point in entry_points(group=GROUP) if point.name == kind)
    assert [field for field in point.load().Config.model_fields if f"`{field}`" not in page] == []


def test_no_line_without_a_policy() -> None:
    """What the index lists is installed."""
    listed = re.findall(r"^\| \[?`(\w+)`", (PAGES / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(SHIPPED)


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_load(text: str) -> None:
    """As they stand, with every policy they name, and without any note."""
    file = parse_policies(text)
    named = [policy["name"] for policy in yaml.safe_load(text)["tail_sampling"]["policies"]]
    assert sorted(file.policy_set.names) == sorted(named)
    assert file.notes == ()


def test_the_table_of_names_is_that_of_the_code() -> None:
    """Every group, in its order."""
    page = (PAGES / "attribute_aliases.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[^|]*`) \| (`[^|]*`) \|$", page.partition("## Names")[2], re.MULTILINE)
    assert [tuple(re.findall("`([^`]+)`", f"{old} {new}")) for old, new in rows] == list(SEMCONV_GROUPS)
