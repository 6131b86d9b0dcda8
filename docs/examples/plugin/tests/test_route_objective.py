"""Tests of the policy type route_objective."""

from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from policies import PolicyConfigError, build_policy_set
from policies.testing import PolicyConformance, Trace, ask, decide, resource, span, trace

from route_objective import RouteObjective

BOTH = {"objectives_ms": {"/cart": 200}, "default_ms": 500}


def request(route: str | None, took_ms: float, kind: Span.SpanKind.ValueType = Span.SPAN_KIND_SERVER) -> Trace:
    """A trace of one request that calls a slow database."""
    attributes = {"http.route": route} if route else {}
    return trace(
        resource({"service.name": "shop"}, span("request", 0, took_ms, kind=kind, attributes=attributes, root=True)),
        resource({"service.name": "db"}, span("SELECT", 0, 9000, kind=Span.SPAN_KIND_CLIENT)),
    )


class TestContract(PolicyConformance):
    """It keeps what every policy owes."""

    policy = RouteObjective
    configs = (BOTH, {"default_ms": 5, "percentage": 25.0}, {"objectives_ms": {"/a": 1, "/b": 2}})
    traces = (request("/cart", 300), request("/cart", 100), request(None, 900))


@pytest.mark.parametrize(
    ("route", "took_ms", "kept"),
    [
        ("/cart", 200, False),
        ("/cart", 200.001, True),
        ("/cart", 400, True),
        ("/other", 400, False),
        ("/other", 501, True),
        (None, 9000, False),
    ],
)
def test_a_route_has_its_own_objective(route: str | None, took_ms: float, kept: bool) -> None:
    """What is not named has the default; a span without route is none of its business."""
    assert ask(RouteObjective, BOTH, request(route, took_ms)).sampled == kept


def test_only_server_spans_count() -> None:
    """A client waits for others too."""
    assert not ask(RouteObjective, BOTH, request("/cart", 9000, Span.SPAN_KIND_CLIENT)).sampled


def test_routes_not_named_are_left_alone_without_a_default() -> None:
    """Without `default_ms` only the named routes have an objective."""
    assert not ask(RouteObjective, {"objectives_ms": {"/cart": 200}}, request("/other", 9000)).sampled


def test_a_share_is_kept_with_its_probability() -> None:
    """Each kept trace stands for others: its probability is the percentage."""
    verdict = ask(RouteObjective, {**BOTH, "percentage": 25.0}, request("/cart", 300))
    assert verdict.probability == 0.25


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "names no objective"),
        ({"default_ms": -1}, "default_ms"),
        ({"objectives_ms": {"/cart": "fast"}}, "must be a whole number"),
        ({"default_ms": 5, "percent": 1}, "unknown key 'percent'"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, object], said: str) -> None:
    """At load, at their place in the policy file."""
    with pytest.raises(PolicyConfigError, match=said):
        ask(RouteObjective, settings, request("/cart", 1))


def test_it_is_installed() -> None:
    """It is found by its type alone, and stands beside the built-in ones."""
    specs = [
        {"name": "missed", "type": "route_objective", "route_objective": BOTH},
        {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    ]
    assert decide(build_policy_set(specs), request("/cart", 300)).policy == "missed"
