"""The examples that policy authors read are true."""

from __future__ import annotations

import textwrap
from typing import Any

import policies
import policies.conditions
import policies.contract
import policies.testing
from policies import Policy, build_policy_set, installed
from policies.testing import PolicyConformance, decide, span, trace


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
