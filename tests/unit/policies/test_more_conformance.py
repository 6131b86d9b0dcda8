"""The policies beyond the Collector's keep the contract."""

from __future__ import annotations

from typing import Any

from policies.builtin.critical_services import CriticalServices
from policies.builtin.error_detail import ErrorDetail
from policies.builtin.first_match import FirstMatch
from policies.builtin.incomplete import Incomplete
from policies.builtin.priority import Priority
from policies.builtin.rare_spans import RareSpans
from policies.builtin.root import Root
from policies.testing import PolicyConformance
from tests.unit.policies.more_traces import SAMPLES

TRACES = tuple(sample.resource_spans for sample in SAMPLES)

ERRORS: dict[str, Any] = {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
HALF: dict[str, Any] = {"type": "probabilistic", "probabilistic": {"sampling_percentage": 50}}
LIMITED: dict[str, Any] = {"type": "rate_limiting", "rate_limiting": {"spans_per_second": 3}}


class TestPriority(PolicyConformance):
    """Datadog's priorities."""

    policy = Priority
    configs = ({}, {"auto_keep_percentage": 25, "user_reject": "none"}, {"attributes": ["prio"], "tracestate": False})
    traces = TRACES


class TestRareSpans(PolicyConformance):
    """Combinations not seen lately."""

    policy = RareSpans
    configs = (
        {},
        {"traces_per_interval": 3, "interval_ms": 250, "forget": "after_silence"},
        {"max_keys": 2, "interval_ms": 1000},
    )
    traces = TRACES


class TestRoot(PolicyConformance):
    """Conditions on the root span."""

    policy = Root
    configs = (
        {"services": ["shop"]},
        {"operations": [{"glob": "GET *"}], "min_duration_ms": 500, "max_duration_ms": 900},
        {"status_codes": ["ERROR"], "services": ["shop", {"regex": "^sh"}]},
    )
    traces = TRACES


class TestErrorDetail(PolicyConformance):
    """What went wrong."""

    policy = ErrorDetail
    configs = (
        {"exception_types": [{"regex": "Timeout"}, "KeyError"]},
        {"http_status": ["5xx", 404], "grpc_status": ["server_error"]},
    )
    traces = TRACES


class TestCriticalServices(PolicyConformance):
    """Services that matter."""

    policy = CriticalServices
    configs = ({"services": ["pay"]}, {"services": [{"glob": "*"}], "only_errors": True, "sampling_percentage": 30})
    traces = TRACES


class TestFirstMatch(PolicyConformance):
    """Ordered rules."""

    policy = FirstMatch
    configs = (
        {"rules": [{"name": "all", "sampling_percentage": 10}]},
        {
            "rules": [
                {"name": "errors", "when": ERRORS, "policy": LIMITED},
                {"name": "half", "when": [HALF, {"type": "always_sample"}], "drop": True},
                {"name": "rest", "policy": LIMITED},
            ]
        },
    )
    traces = TRACES


class TestIncomplete(PolicyConformance):
    """Traces that are not whole."""

    policy = Incomplete
    configs = ({}, {"no_root": False, "orphaned_parents": True}, {"orphaned_parents": True})
    traces = TRACES
