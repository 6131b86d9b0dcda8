"""The examples that policy authors read are true."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

import policies
import policies.conditions
import policies.contract
import policies.testing
from policies import Policy, PolicyConfigError, build_policy_set, installed
from policies.testing import PolicyConformance, ask, decide, span, trace


def example_of(module: Any) -> str:
    """The first indented block of a module's docstring."""
    lines = module.__doc__.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("    "))
    end = next(index for index in range(start, len(lines)) if lines[index] and not lines[index].startswith("    "))
    return textwrap.dedent("\n".join(lines[start:end]))


def example_policy() -> type[Policy]:
    """The class on the contract's page, as it stands there."""
    names: dict[str, Any] = {**vars(policies), **vars(policies.conditions), "__name__": "example"}
    exec(example_of(policies.contract), names)
    found: type[Policy] = names["SlowQueries"]
    return found


class TestExamplePolicy(PolicyConformance):
    """The example of the contract's page keeps the contract."""

    policy = example_policy()
    configs = ({}, {"min_ms": 10})


def test_the_example_policy_keeps_slow_database_calls() -> None:
    """It asks both things of the same span."""
    specs = [{"name": "db", "type": "slow_queries", "slow_queries": {"min_ms": 100}}]
    policy_set = build_policy_set(specs, registry=installed({"slow_queries": example_policy()}))
    query = {"db.system": "postgresql"}
    assert decide(policy_set, trace(span("q", 0, 100, attributes=query))).policy == "db"
    assert not decide(policy_set, trace(span("q", 0, 99, attributes=query), span("other", 0, 500))).sampled


def test_the_testing_example_runs() -> None:
    """The lines at the top of `policies.testing` hold as they stand."""
    exec(example_of(policies.testing), vars(policies.testing).copy())


def test_one_policy_can_be_asked_by_its_class() -> None:
    """`ask` needs neither an entry point nor a spec, and a policy that fails is an error of the test."""
    slow = trace(span("q", 0, 600, attributes={"db.system": "redis"}))
    assert ask(example_policy(), {"min_ms": 600}, slow).policy == "slow_queries"
    with pytest.raises(PolicyConfigError, match="must be a whole number"):
        ask(example_policy(), {"min_ms": "soon"}, slow)
