"""What is wrong with a list of policies is said with its place and the cure."""

from __future__ import annotations

from typing import Any

import pytest

from policies import PolicyConfigError, build_policy_set
from policies.testing import decide, span, trace
from tests.unit.policies.sample_policies import build, spec

LATENCY = {"name": "slow", "type": "latency", "latency": {"threshold_ms": 5}}


@pytest.mark.parametrize(
    ("specs", "loc", "message", "suggestion"),
    [
        ([], (), "the list of policies is empty", None),
        (["latency"], (0,), "a policy is a mapping with name and type", None),
        ([LATENCY, {"type": "latency"}], (1,), "policy name cannot be empty", None),
        ([{"name": "", "type": "latency"}], (0, "name"), "policy name cannot be empty", None),
        ([{"name": 7, "type": "latency"}], (0, "name"), "name must be text, not 7", None),
        ([{"name": "a", "typ": "latency"}], (0, "typ"), "type is missing", "type"),
        ([{"name": "a", "type": "latncy"}], (0, "type"), "unknown sampling policy type latncy", "latency"),
        ([{**LATENCY, "latencyy": {}}], (0, "latencyy"), "unknown key 'latencyy'", "latency"),
        (
            [{"name": "a", "type": "latency", "span_count": {}}],
            (0, "span_count"),
            "does not belong to a policy of type latency",
            "latency",
        ),
        (
            [{"name": "a", "type": "latency", "latency": {"treshold_ms": 5}}],
            (0, "latency", "treshold_ms"),
            "unknown key 'treshold_ms'",
            "threshold_ms",
        ),
        (
            [{"name": "a", "type": "latency", "latency": {"threshold_ms": "5s"}}],
            (0, "latency", "threshold_ms"),
            "threshold_ms must be a whole number, got '5s'",
            None,
        ),
        ([{"name": "a", "type": "latency", "latency": [1]}], (0, "latency"), "latency must be a mapping", None),
        (
            [spec("dynamic", "a", key=["root_name", "servce"], goal={"mean_rate": 2})],
            (0, "dynamic", "key", 1),
            "key must be one of service, root_name, operation, status, error, span_count, got 'servce'",
            "service",
        ),
        (
            [spec("dynamic", "a", key=[{"is": "servce"}], goal={"mean_rate": 2})],
            (0, "dynamic", "key", 0, "is"),
            "is must be one of service, ",
            "service",
        ),
        (
            [{"name": "a", "type": "string_attribute", "string_attribute": {"values": ["x"]}}],
            (0, "string_attribute"),
            "key is missing",
            None,
        ),
        (
            [{"name": "a", "type": "string_attribute", "string_attribute": {"key": "", "values": ["x"]}}],
            (0, "string_attribute", "key"),
            "key must not be empty",
            None,
        ),
        (
            [{"name": "a", "type": "string_attribute", "string_attribute": {"key": "k", "values": "x"}}],
            (0, "string_attribute", "values"),
            "values must be a list",
            None,
        ),
        (
            [{"name": "a", "type": "numeric_attribute", "numeric_attribute": {"key": "k", "min_value": 0}}],
            (0, "numeric_attribute"),
            "0 means not set",
            None,
        ),
        (
            [{"name": "a", "type": "numeric_attribute", "numeric_attribute": {"key": "k", "min_value": 1.5}}],
            (0, "numeric_attribute", "min_value"),
            "must be a whole number",
            None,
        ),
        (
            [{"name": "a", "type": "and", "and": {"and_sub_policy": []}}],
            (0, "and", "and_sub_policy"),
            "and_sub_policy must not be empty",
            None,
        ),
        ([{"name": "a", "type": "drop"}], (0, "drop"), "drop_sub_policy is missing", None),
        (
            [{"name": "a", "type": "and", "and": {"and_sub_policy": [LATENCY, {"type": "status_code"}]}}],
            (0, "and", "and_sub_policy", 1, "status_code"),
            "expected at least one status code",
            None,
        ),
        (
            [{"name": "a", "type": "not", "not": {"not_sub_policy": {**LATENCY, "on_error": "keep"}}}],
            (0, "not", "not_sub_policy", "on_error"),
            "belongs to the policy of the list",
            None,
        ),
        ([{**LATENCY, "on_error": "kep"}], (0, "on_error"), "one of skip (no vote) and keep", "keep"),
        (
            [{"name": "d", "type": "drop", "drop": {"drop_sub_policy": [LATENCY]}, "on_error": "keep"}],
            (0, "on_error"),
            "drops nothing",
            None,
        ),
    ],
)
def test_errors(specs: Any, loc: tuple[str | int, ...], message: str, suggestion: str | None) -> None:
    """Each mistake points at its key, says what is wrong and names the nearest thing that exists."""
    with pytest.raises(PolicyConfigError) as caught:
        build_policy_set(specs)
    assert caught.value.loc == loc
    assert message in caught.value.message
    assert caught.value.suggestion == suggestion


def test_unknown_randomness_is_refused() -> None:
    """The modes that exist are listed."""
    with pytest.raises(PolicyConfigError, match="auto, collector_hash, trace_id"):
        build_policy_set([LATENCY], randomness="dice")  # type: ignore[arg-type]


def test_messages_name_the_policy() -> None:
    """An error says in which policy it is, also without its place."""
    with pytest.raises(PolicyConfigError, match='policy "slow": unknown key'):
        build_policy_set([{**LATENCY, "latency": {"x": 1}}])


def test_numbers_and_booleans_in_string_values_are_their_text() -> None:
    """Values that YAML reads as something else than text match the text that was written."""
    policy_set = build(spec("string_attribute", key="k", values=[7, True, 1.5]))
    for text, sampled in (("7", True), ("true", True), ("1.5", True), ("True", False)):
        assert decide(policy_set, trace(span("s", attributes={"k": text}))).sampled == sampled


@pytest.mark.parametrize(
    ("policy", "note"),
    [
        (spec("latency", "p", threshold_ms=500, upper_threshold_ms=500), "keeps nothing"),
        (spec("span_count", "p", min_spans=5, max_spans=4), "keeps nothing"),
        (spec("numeric_attribute", "p", key="k", min_value=5, max_value=4), "no value lies in the bounds"),
        (spec("string_attribute", "p", key="k", values=["", "x"]), 'the value "" never matches'),
        (spec("string_attribute", "p", key="k"), "keeps nothing"),
    ],
)
def test_settings_that_cannot_be_meant_are_noted(policy: dict[str, Any], note: str) -> None:
    """What the Collector accepts in silence loads too, with a note that names the policy."""
    notes = build(policy).notes
    assert len(notes) == 1
    assert notes[0].startswith('policy "p": ')
    assert note in notes[0]
