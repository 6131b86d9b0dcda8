"""Whatever a policy file holds, it is used or refused with an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from policies.registry import installed
from sampler.config import ConfigError, PolicyFile, Problem, parse_policies
from sampler.config.policies import TailSampling
from sampler.config.policy_types import built_in
from sampler.config.resolved import policies_tree

KEYS = sorted(
    {
        "tail_sampling", "tail_sampling/b", "processors", "service", "pipelines", "groupbytrace", "wait_duration", "x",
        "name", "type", "on_error", *TailSampling.model_fields, *installed().names,
        *(key for policy in built_in().values() for key in policy.Config.model_fields),
    }
)  # fmt: skip
WORDS = st.sampled_from(
    ["", "a", "ERROR", "error", "5", "1.5", "10%", "30s", "-1s", "true", "[", "${X}", "${env:Y:-z}", "${file:x}", "$$",
     "span-ingest", "trace_id", "tail_sampling", "99999999999999999999", *installed().names],
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), WORDS, st.text(max_size=8),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=4)), inner, max_size=5),
    ),
    max_leaves=25,
)


@st.composite
def specs(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    """Policies of our types, nearly right."""
    kind = draw(st.sampled_from(sorted(built_in())))
    fields = sorted(built_in()[kind].Config.model_fields)
    values = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))
    if depth:
        values = st.one_of(values, specs(depth - 1), st.lists(specs(depth - 1), max_size=2))
    block = draw(st.dictionaries(st.sampled_from(fields), values, max_size=3)) if fields else {}
    return {
        "name": draw(st.sampled_from(["a", "b", ""])),
        "type": kind,
        kind: draw(st.sampled_from([block, None, [block]])),
    }


@pytest.fixture(scope="module", autouse=True)
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder without Python files: a text such as "." names a folder of plugins, and they are imported."""
    with chdir(tmp_path_factory.mktemp("nowhere")):
        yield


def read(data: Any) -> None:
    """Takes a file or refuses it; one that is taken prints as one of the same meaning."""
    file: PolicyFile | None = None
    problems: tuple[Problem, ...] = ()
    try:
        file = parse_policies(yaml.safe_dump(data), "p.yaml", {"X": "7"})
    except ConfigError as error:
        problems = error.problems
    if file is None:
        assert problems
        assert all(str(problem).startswith("p.yaml") for problem in problems)
        return
    printed = yaml.safe_dump(policies_tree(file, defaults=True))
    assert parse_policies(printed).policy_set.content_hash == file.policy_set.content_hash


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES)
def test_any_tree_is_taken_or_refused(data: Any) -> None:
    """Nothing but ConfigError comes out, whatever stands where."""
    read(data)
    read({"tail_sampling": {"policies": [data]}})


@example(policies=[{"name": "a", "type": "always_sample"}], block={"plugins": "\r"})
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(specs(), min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(sorted(TailSampling.model_fields)), SCALARS, max_size=2),
)
def test_nearly_right_policies_are_taken_or_refused(policies: list[Any], block: dict[str, Any]) -> None:
    """Every setting of every type of ours with values of every kind; what is taken can be printed and read again."""
    read({**block, "policies": policies})


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="[]{}&*!|>-:,'\"#% \n\tab0.~$", max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """Broken YAML included."""
    with pytest.raises(ConfigError):
        parse_policies(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "&a [*a]", "policies: &p [*p]"])
def test_depth_ends_in_an_error(text: str) -> None:
    """A file cannot crash the process that reads it."""
    with pytest.raises(ConfigError):
        parse_policies(text)
