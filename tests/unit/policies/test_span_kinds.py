"""Policies on the root span, on services, on what went wrong, and on what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from policies import Reads, build_policy_set
from policies.testing import Trace, event, resource, span, trace
from tests.unit.policies.more_traces import PAY, SHOP, recorded, verdict_of

SLOW_ROOT = trace(
    resource(SHOP, span("GET /cart", 0, 500, root=True)),
    resource(PAY, span("charge", 0, 2000, status="ERROR")),
)


def _kept(kind: str, config: dict[str, Any], subject: Trace) -> bool:
    return bool(verdict_of(kind, config, subject).sampled)


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ({"services": ["shop"]}, True),
        ({"services": ["pay"]}, False),
        ({"services": [{"glob": "s*p"}]}, True),
        ({"services": [{"regex": "ho"}]}, True),
        ({"services": [{"regex": "^ho"}]}, False),
        ({"services": ["pay", {"regex": "^shop$"}]}, True),
        ({"services": ["SHOP"]}, False),
        ({"operations": ["GET /cart"]}, True),
        ({"operations": ["charge"]}, False),
        ({"operations": [{"glob": "GET *"}]}, True),
        ({"operations": [{"glob": "GET ?"}]}, False),
        ({"operations": ["GET /cart"], "services": ["pay"]}, False),
        ({"min_duration_ms": 500}, True),
        ({"min_duration_ms": 501}, False),
        ({"max_duration_ms": 500}, True),
        ({"max_duration_ms": 499}, False),
        ({"min_duration_ms": 0, "max_duration_ms": 0}, False),
        ({"status_codes": ["ERROR"]}, False),
        ({"status_codes": ["OK", "UNSET"]}, True),
    ],
)
def test_root(config: dict[str, Any], kept: bool) -> None:
    """Every condition is asked of the root span, its resource included, and of no other span."""
    assert _kept("root", config, SLOW_ROOT) is kept


def test_root_needs_a_root() -> None:
    """A trace without a root span is not kept, whatever is asked."""
    assert not _kept("root", {"min_duration_ms": 0}, trace(span("s", 0, 500)))


def test_one_root_must_meet_all_conditions() -> None:
    """Two roots do not share them out."""
    two = trace(span("a", 0, 10, root=True), span("b", 0, 900, root=True))
    assert not _kept("root", {"operations": ["a"], "min_duration_ms": 500}, two)
    assert _kept("root", {"operations": ["b"], "min_duration_ms": 500}, two)


def test_a_root_without_times_has_no_duration() -> None:
    """It is kept by its name alone."""
    timeless = trace(span("a", root=True))
    assert not _kept("root", {"max_duration_ms": 10}, timeless)
    assert _kept("root", {"operations": ["a"]}, timeless)


@pytest.mark.parametrize(
    ("config", "probability"),
    [
        ({"services": ["pay"]}, 1),
        ({"services": ["ship", {"glob": "p?y"}]}, 1),
        ({"services": ["ship"]}, 0),
        ({"services": ["pay"], "sampling_percentage": 25}, 0.25),
        ({"services": ["pay"], "only_errors": True}, 1),
        ({"services": ["shop"], "only_errors": True}, 0),
    ],
)
def test_critical_services(config: dict[str, Any], probability: float) -> None:
    """A share of the traces that touch a service; an error must be on a span of that service itself."""
    assert verdict_of("critical_services", config, SLOW_ROOT).probability == probability


def _call(**attributes: Any) -> Trace:
    return trace(span("call", attributes={key.replace("__", "."): value for key, value in attributes.items()}))


def _raised(exception_type: str, name: str = "exception") -> Trace:
    return trace(span("call", events=[event("log"), event(name, {"exception.type": exception_type})]))


TIMEOUTS = {"exception_types": [{"glob": "*Timeout*"}, "KeyError"]}


@pytest.mark.parametrize(
    ("config", "subject", "expected"),
    [
        (TIMEOUTS, _raised("java.net.SocketTimeoutException"), "sampled p/exception"),
        (TIMEOUTS, _raised("KeyError"), "sampled p/exception"),
        (TIMEOUTS, _raised("keyerror"), "not_sampled"),
        (TIMEOUTS, _raised("KeyError", name="error"), "not_sampled"),
        (TIMEOUTS, _call(error__type="KeyError"), "sampled p/exception"),
        (TIMEOUTS, _call(exception__type="KeyError"), "not_sampled"),
        ({"http_status": ["5xx"]}, _call(http__status_code=503), "sampled p/http_status"),
        ({"http_status": ["5XX"]}, _call(http__response__status_code=500), "sampled p/http_status"),
        ({"http_status": ["5xx"]}, _call(http__status_code="599"), "sampled p/http_status"),
        ({"http_status": ["5xx"]}, _call(http__status_code=499), "not_sampled"),
        ({"http_status": ["5xx"]}, _call(http__status_code="5xx"), "not_sampled"),
        ({"http_status": [429, "503"]}, _call(http__status_code=429), "sampled p/http_status"),
        ({"http_status": [429, "503"]}, _call(http__status_code=503), "sampled p/http_status"),
        ({"http_status": [429, "503"]}, _call(http__status_code=430), "not_sampled"),
        ({"http_status": ["5xx"]}, _call(http__status_code=503.0), "not_sampled"),
        ({"grpc_status": ["UNAVAILABLE"]}, _call(rpc__grpc__status_code=14), "sampled p/grpc_status"),
        ({"grpc_status": ["unavailable"]}, _call(rpc__response__status_code="UNAVAILABLE"), "sampled p/grpc_status"),
        ({"grpc_status": [14]}, _call(rpc__response__status_code="14"), "sampled p/grpc_status"),
        ({"grpc_status": [14]}, _call(grpc__status_code=14), "sampled p/grpc_status"),
        ({"grpc_status": ["error"]}, _call(rpc__grpc__status_code=0), "not_sampled"),
        ({"grpc_status": ["error"]}, _call(rpc__grpc__status_code=5), "sampled p/grpc_status"),
        ({"grpc_status": ["server_error"]}, _call(rpc__grpc__status_code=13), "sampled p/grpc_status"),
        ({"grpc_status": ["server_error"]}, _call(rpc__grpc__status_code=5), "not_sampled"),
        ({"grpc_status": ["client_error"]}, _call(rpc__response__status_code="NOT_FOUND"), "sampled p/grpc_status"),
        ({"grpc_status": ["client_error"]}, _call(rpc__response__status_code="nonsense"), "not_sampled"),
        ({"http_status": ["4xx"], "grpc_status": ["error"]}, _call(rpc__grpc__status_code=2), "sampled p/grpc_status"),
        ({"http_status": ["4xx"], **TIMEOUTS}, _call(http__status_code=418), "sampled p/http_status"),
        ({"http_status": ["5xx"]}, trace(span("s", status="ERROR")), "not_sampled"),
    ],
)
def test_error_detail(config: dict[str, Any], subject: Trace, expected: str) -> None:
    """Old and new names of attributes, numbers and text; any list is enough, the first that fits is recorded."""
    assert recorded("error_detail", config, subject) == expected


def _family(*spans: tuple[int, int]) -> Trace:
    """Spans by (id, id of the parent, 0 for none)."""
    made = []
    for own, parent in spans:
        one = span("s", root=not parent, span_id=own.to_bytes(8, "big"))
        if parent:
            one.parent_span_id = parent.to_bytes(8, "big")
        made.append(one)
    return trace(*made)


@pytest.mark.parametrize(
    ("config", "subject", "expected"),
    [
        ({}, _family((1, 0), (2, 1)), "not_sampled"),
        ({}, _family((2, 1)), "sampled p/no_root"),
        ({}, _family((1, 0), (3, 2)), "not_sampled"),
        ({"orphaned_parents": True}, _family((1, 0), (3, 2)), "sampled p/orphaned_parents"),
        ({"orphaned_parents": True}, _family((3, 1), (1, 0)), "not_sampled"),
        ({"orphaned_parents": True}, _family((2, 1)), "sampled p/no_root"),
        ({"orphaned_parents": True, "no_root": False}, _family((2, 1)), "sampled p/orphaned_parents"),
        ({"orphaned_parents": True, "no_root": False}, _family((2, 3), (3, 2)), "not_sampled"),
        ({}, trace(), "sampled p/no_root"),
    ],
)
def test_incomplete(config: dict[str, Any], subject: Trace, expected: str) -> None:
    """A root must be there; a parent must be there if that is asked; the order of spans does not matter."""
    assert recorded("incomplete", config, subject) == expected


def test_only_orphans_need_the_spans() -> None:
    """A missing root is known from the summary alone."""
    for config, needs in (({}, False), ({"orphaned_parents": True}, True)):
        spec = {"name": "p", "type": "incomplete", "incomplete": config}
        assert build_policy_set([spec]).needs_spans is needs
    assert Reads.CONDITIONS < Reads.SPANS


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("root", {}, "says nothing of the root span: give at least one of services, operations"),
        ("root", {"min_duration_ms": "1s"}, "whole number of milliseconds, without unit"),
        ("root", {"min_duration_ms": -1}, "min_duration_ms"),
        ("root", {"services": "shop"}, "must be a list"),
        ("root", {"services": [7]}, "must be text"),
        ("root", {"services": [{"glob": "a", "regex": "b"}]}, "a pattern is a text"),
        ("root", {"services": [{}]}, "a pattern is a text"),
        ("root", {"services": [{"golb": "a"}]}, "did you mean 'glob'"),
        ("root", {"operations": [{"regex": "("}]}, "invalid regex"),
        ("root", {"status_codes": ["FAILED"]}, 'unknown status code "FAILED"'),
        ("critical_services", {}, "services is missing"),
        ("critical_services", {"services": []}, "must not be empty"),
        ("critical_services", {"services": ["a"], "sampling_percentage": 200}, "sampling_percentage"),
        ("error_detail", {}, "names no error"),
        ("error_detail", {"http_status": ["6xx"]}, "'6xx' is no HTTP status"),
        ("error_detail", {"http_status": [99]}, "99 is no HTTP status"),
        ("error_detail", {"grpc_status": ["BROKEN"]}, "'BROKEN' is no gRPC status"),
        ("error_detail", {"grpc_status": [17]}, "17 is no gRPC status"),
        ("incomplete", {"no_root": False}, "keeps nothing: set no_root or orphaned_parents"),
    ],
)
def test_config_errors(kind: str, config: dict[str, Any], message: str) -> None:
    """Say what is wrong and what to write."""
    with pytest.raises(ValueError, match=message):
        build_policy_set([{"name": "p", "type": kind, kind: config}])
