"""The `budget` block: its measures, its mistakes, and tenants' own."""

from __future__ import annotations

import pytest

from policies.policy_set import PolicySet
from policies.tenants import TenantPolicySets
from sampler.config import ConfigError
from sampler.config.policies import parse_policies

FILE = """
tail_sampling:
  budget: {budget}
  policies:
    - {{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}}
    - {{name: no-health, type: drop, drop: {{drop_sub_policy: [{{type: always_sample}}]}}}}
    - {{name: base, type: always_sample}}
"""


def policy_set(budget: str) -> PolicySet:
    found = parse_policies(FILE.format(budget=budget)).policy_set
    assert isinstance(found, PolicySet)
    return found


@pytest.mark.parametrize(
    ("budget", "per_second", "unit"),
    [
        ("{spans_per_second: 500}", 500, "spans"),
        ("{bytes_per_second: 2MiB}", 2 * 2**20, "bytes"),
        ("{gb_per_day: 8.64}", 100_000, "bytes"),
        ("{spending: {amount: 50, per: day, price_per_gb: 0.5}}", 100e9 / 86_400, "bytes"),
        ("{spending: {amount: 365.25, price_per_million_spans: 1}}", 12e6 / 86_400, "spans"),
    ],
)
def test_every_measure_becomes_a_rate(budget: str, per_second: float, unit: str) -> None:
    """Spans or bytes a second, a daily amount, or money at a price."""
    found = policy_set(budget).budget
    assert found is not None
    assert found.rule.per_second == pytest.approx(per_second)
    assert found.rule.unit == unit
    assert f" {unit} a second of all that is kept" in policy_set(budget).describe()


@pytest.mark.parametrize(
    ("budget", "sentence"),
    [
        ("{}", "exactly one of spans_per_second, bytes_per_second, gb_per_day, spending, not none"),
        ("{spans_per_second: 1, gb_per_day: 1}", "not spans_per_second and gb_per_day"),
        ("{spans_per_second: 0}", "spans_per_second"),
        ("{spending: {amount: 3}}", "needs one price"),
        ("{spans_per_second: 1, priorities: {basis: 3}}", "no policy 'basis'"),
        ("{spans_per_second: 1, priorities: {no-health: 3}}", "no policy"),
        ("{spans_per_second: 1, priorities: {base: 101}}", "priorities.base"),
        ("{spans_per_second: 1, minimum_share: 1}", "minimum_share"),
        ("{spans_per_second: 1, interval: 500ms}", "interval: must be 1s to 1h"),
        ("{spans_per_second: 1, interval: 24h}", "interval: must be 1s to 1h"),
    ],
)
def test_mistakes_are_told_with_their_line(budget: str, sentence: str) -> None:
    """Path, line and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        parse_policies(FILE.format(budget=budget))
    assert sentence in str(caught.value)
    assert "policies:3: tail_sampling.budget" in str(caught.value) or "no-health" in str(caught.value)


def test_a_budget_is_part_of_the_hash() -> None:
    """Workers that have another budget are seen as having other policies."""
    hashes = {policy_set(budget).content_hash for budget in ("{spans_per_second: 1}", "{spans_per_second: 2}", "null")}
    assert len(hashes) == 3


def test_tenants_have_budgets_of_their_own() -> None:
    """The block's budget is that of the default policies; a tenant's may name its own policies only."""
    text = (
        FILE.format(budget="{spans_per_second: 7}")
        + """
  tenants:
    attribute: tenant
    sets:
      acme:
        budget: {spans_per_second: 5, priorities: {%s: 3}}
        policies: [{name: all, type: always_sample}]
      globex:
        policies: [{name: all, type: always_sample}]
"""
    )
    found = parse_policies(text % "all").policy_set
    assert isinstance(found, TenantPolicySets)
    assert {name: budget.rule.per_second for name, budget in found.budgets.items()} == {"": 7, "acme": 5}
    assert len(found.initial_state()) == 2
    with pytest.raises(ConfigError, match=r"tenants.sets.acme.budget.priorities.base: there is no policy 'base'"):
        parse_policies(text % "base")
