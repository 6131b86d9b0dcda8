"""The policy `ottl_condition`: errors by mode, notes, and what every policy owes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from policies import PolicyConfigError, build_policy_set
from policies.builtin.ottl_condition import OttlCondition
from policies.policy_set import PolicySet
from policies.testing import PolicyConformance, Trace, decide, event, resource, span, trace

ERRS = 'attributes["k"]["x"] == 1'
TEXT = span(attributes={"k": "text"})
GOOD = span(attributes={"k": {"x": 1}})
OTHER = span(attributes={"k": {"x": 2}})


def policy_set(*specs: Mapping[str, Any], **config: Any) -> PolicySet:
    """A set of one ottl_condition policy with a config, or of the given specs."""
    return build_policy_set(specs or ({"name": "p", "type": "ottl_condition", "ottl_condition": config},))


def asked(policies: PolicySet, subject: Trace) -> str:
    """The decision, with "+error" where the policy failed."""
    before = policies.errors.total()
    verdict = policies.decide(0, [subject.input_for(policies)], policies.initial_state())[0]
    return verdict.decision + ("+error" if policies.errors.total() > before else "")


class TestConformance(PolicyConformance):
    """What every policy owes."""

    policy = OttlCondition
    configs: Sequence[Mapping[str, Any]] = (
        {"error_mode": "ignore", "span": ['IsMatch(name, "^n") and IsRootSpan()', ERRS]},
        {"span": ['Concat([resource.attributes["a"], name], "") == "n"'], "spanevent": ['name == "exception"']},
        {"error_mode": "propagate", "span": ['trace_state["ot"] != "" and not (Len(events) > 0)']},
    )
    traces = (trace(resource({"a": ""}, span("n", events=[event("exception")]), TEXT, GOOD)).resource_spans,)


@pytest.mark.parametrize(
    ("mode", "conditions", "spans", "expected"),
    [
        ("ignore", [ERRS], [TEXT], "not_sampled"),
        ("silent", [ERRS], [TEXT, GOOD], "sampled"),
        ("ignore", [f"not ({ERRS})"], [TEXT], "not_sampled"),
        ("ignore", [f"not ({ERRS})"], [OTHER], "sampled"),
        ("ignore", [f"{ERRS} or true"], [TEXT], "sampled"),
        ("ignore", [f'{ERRS} or name == "span"'], [TEXT], "not_sampled"),
        ("ignore", [f'name == "span" or {ERRS}'], [TEXT], "sampled"),
        ("ignore", [f"{ERRS} and false"], [TEXT], "not_sampled"),
        ("ignore", [f"not ({ERRS} and false)"], [TEXT], "sampled"),
        ("propagate", [ERRS], [TEXT], "not_sampled+error"),
        ("propagate", [ERRS], [OTHER], "not_sampled"),
        ("propagate", [ERRS], [TEXT, GOOD], "sampled"),
        ("propagate", [ERRS], [GOOD, TEXT], "sampled"),
        ("propagate", [ERRS, 'name == "span"'], [TEXT], "not_sampled+error"),
        ("propagate", ['name == "span"', ERRS], [TEXT], "sampled"),
        ("PROPAGATE", [ERRS], [TEXT], "not_sampled+error"),
    ],
)
def test_errors_by_mode(mode: str, conditions: list[str], spans: list[Any], expected: str) -> None:
    """An error is false for its condition; propagated, it ends the list for its span, and a match elsewhere wins."""
    assert asked(policy_set(error_mode=mode, span=conditions), trace(*spans)) == expected


def test_a_propagated_error_is_no_vote_below_not() -> None:
    """An inner policy that fails takes the vote of the policy around it: `not` does not turn an error into a vote."""
    config = {"error_mode": "propagate", "span": [ERRS]}
    inner = {"type": "ottl_condition", "ottl_condition": config}
    policies = policy_set({"name": "n", "type": "not", "not": {"not_sub_policy": inner}})
    assert asked(policies, trace(TEXT)) == "not_sampled+error"
    assert asked(policies, trace(OTHER)) == "sampled"


def test_events_are_asked_one_by_one() -> None:
    """Two terms of a condition must hold for the same event, and for its own span."""
    condition = 'name == "retry" and attributes["n"] == 2 and span.name == "a"'
    policies = policy_set(spanevent=[condition])

    def with_events(name: str, *numbers: tuple[str, int]) -> Trace:
        return trace(span(name, events=[event(kind, {"n": number}) for kind, number in numbers]))

    assert asked(policies, with_events("a", ("retry", 1), ("retry", 2))) == "sampled"
    assert asked(policies, with_events("a", ("retry", 1), ("other", 2))) == "not_sampled"
    assert asked(policies, with_events("b", ("retry", 2))) == "not_sampled"


def test_terms_hold_on_one_span() -> None:
    """Two terms of a condition must hold for the same span."""
    policies = policy_set(span=['name == "a" and attributes["n"] == 1'])
    assert asked(policies, trace(span("a"), span("b", attributes={"n": 1}))) == "not_sampled"
    assert asked(policies, trace(span("a", attributes={"n": 1}))) == "sampled"


def test_what_cannot_be_meant_is_said() -> None:
    """A condition that is false or errs for every span is noted at load."""
    notes = policy_set(span=['end_time - start_time > Duration("250 parsecs")', 'Duration("1") == nil']).notes
    assert [note for note in notes if 'Duration("1")' in note]


@pytest.mark.parametrize(
    ("config", "message", "where"),
    [
        ({}, "expected at least one OTTL condition", ()),
        ({"span": []}, "expected at least one OTTL condition", ()),
        ({"span": ["true"], "error_mode": "loud"}, "error_mode", ("error_mode",)),
        ({"span": ["true", "nope"]}, "line 1 column 5", ("span", 1)),
        ({"spanevent": ["IsRootSpan()"]}, "conditions of events", ("spanevent", 0)),
    ],
)
def test_errors_of_configuration(config: dict[str, Any], message: str, where: tuple[Any, ...]) -> None:
    """What is wrong is said with the place in the policy list, down to the condition."""
    with pytest.raises(PolicyConfigError, match=message) as caught:
        policy_set(**config) if config else decide([{"name": "p", "type": "ottl_condition"}], trace())
    assert caught.value.loc == (0, "ottl_condition", *where)


def test_description_is_one_line() -> None:
    """However long and broken the conditions are."""
    text = policy_set(span=['name ==\n  "x"', " or ".join(["true"] * 200)]).describe()
    assert text.startswith('p (ottl_condition): a span where name == "x" or true')
    assert "\n" not in text
