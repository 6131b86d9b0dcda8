"""The scan plan of a policy file: the last thing that can be wrong with one."""

from __future__ import annotations

from sampler.config.errors import ConfigError
from sampler.config.policies import PolicyFile
from sampler.otlp import PlanError, ScanPlan, compile_plan


def plan_of(policies: PolicyFile) -> ScanPlan:
    """What spans are scanned for; ConfigError where there is too much of it, or it is nested too deep."""
    try:
        return compile_plan(policies.policy_set.span_conditions)
    except PlanError as error:
        raise ConfigError.single(policies.path, None, "policies", str(error)) from error
    except (TypeError, AttributeError, ValueError) as error:
        # A condition of a plugin, made of values that are none of its field's type.
        text = f"a condition cannot be scanned for: {type(error).__name__}: {error}"
        raise ConfigError.single(policies.path, None, "policies", text) from error
