"""The conditions of the policies beyond the Collector's, scanned from the wire, mean what they mean."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies import build_policy_set
from policies.aliases import NO_ALIASES, SEMCONV, Aliases
from policies.testing import Trace, span, trace
from sampler.otlp import Scanner, compile_plan
from tests.unit.policies.more_traces import SAMPLES, priority_trace

OLD_AND_NEW = tuple(
    trace(span("s", attributes={key: value}))
    for key in ("http.status_code", "http.response.status_code", "db.system.name")
    for value in (503, "503", 200, "postgresql")
)
PRIORITIES = tuple(
    priority_trace(value, tracestate, key)
    for value in (2, 1.0, "0.000000", "-1", -1.0, "x", True, None)
    for tracestate in ("", "dd=s:2;o:rum", "ot=th:8,dd=s:-1")
    for key in ("_sampling_priority_v1", "sampling.priority")
)
EVERY = (*SAMPLES, *OLD_AND_NEW, *PRIORITIES)


def _set(kind: str, config: dict[str, Any], aliases: Aliases) -> Any:
    return build_policy_set([{"name": "p", "type": kind, kind: config}], aliases=aliases)


def _record(subject: Trace) -> bytes:
    return TracesData(resource_spans=subject.resource_spans).SerializeToString()


@pytest.mark.parametrize("aliases", [NO_ALIASES, SEMCONV], ids=["plain", "aliases"])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("priority", {"auto_keep_percentage": 50}),
        ("root", {"services": ["shop"], "operations": [{"glob": "GET *"}], "min_duration_ms": 20}),
        ("critical_services", {"services": ["pay", {"regex": "^sh"}], "only_errors": True}),
        (
            "error_detail",
            {"exception_types": [{"glob": "*Timeout*"}, "KeyError"], "http_status": ["5xx"], "grpc_status": ["error"]},
        ),
        ("numeric_attribute", {"key": "http.status_code", "min_value": 500}),
        ("string_attribute", {"key": "db.system", "values": ["postgresql"], "invert_match": True}),
        ("incomplete", {}),
        (
            "first_match",
            {
                "rules": [
                    {"name": "dd", "when": {"type": "priority"}, "sampling_percentage": 100},
                    {
                        "name": "slow",
                        "when": {"type": "root", "root": {"min_duration_ms": 500}},
                        "policy": {"type": "probabilistic", "probabilistic": {"sampling_percentage": 10}},
                    },
                ],
                "default_percentage": 1,
            },
        ),
    ],
)
def test_scanned_as_defined(scanner: Scanner, kind: str, config: dict[str, Any], aliases: Aliases) -> None:
    """Both scanners give the bits of the reference, on traces that get different answers."""
    policy_set = _set(kind, config, aliases)
    plan = compile_plan(policy_set.span_conditions)
    outcomes = set()
    for subject in EVERY:
        ((_, _, summary),) = scanner.scan(plan, _record(subject)).traces
        expected = subject.summary(policy_set.span_conditions)
        assert (summary.bits, summary.has_root) == (expected.bits, expected.has_root), subject.resource_spans
        outcomes.add((summary.bits, summary.has_root))
    assert len(outcomes) > 1
    assert plan.matcher_errors == 0
