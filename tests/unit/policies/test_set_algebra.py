"""Policies without limits obey set algebra: random trees against a model that asks about one R at a time."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policies import SPACE, PolicySet
from policies.reference import PlainSummary
from policies.rset import from_percentage, measure
from tests.unit.policies.sample_policies import build

PERCENTAGES = (0, 10, 30, 50, 90, 100)
PLENTY = 10**9

leaves: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"type": "always_sample"}),
    st.just({"type": "status_code", "status_code": {"status_codes": ["ERROR"]}}),
    st.sampled_from(PERCENTAGES).map(
        lambda share: {"type": "probabilistic", "probabilistic": {"sampling_percentage": share}}
    ),
)


def named(subs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The specs with names s0, s1, …"""
    return [{**sub, "name": f"s{index}"} for index, sub in enumerate(subs)]


def combined(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """And, not, a choice or a composite of given specs."""
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        several.map(lambda subs: {"type": "and", "and": {"and_sub_policy": subs}}),
        inner.map(lambda sub: {"type": "not", "not": {"not_sub_policy": sub}}),
        several.map(lambda subs: {"type": "choice", "choice": {"of": named(subs)}}),
        several.map(
            lambda subs: {
                "type": "composite",
                "composite": {"max_total_spans_per_second": PLENTY, "composite_sub_policy": named(subs)},
            }
        ),
    )


trees = st.recursive(leaves, combined, max_leaves=6)
lists = st.lists(
    st.one_of(
        trees,
        st.lists(trees, min_size=1, max_size=2).map(lambda subs: {"type": "drop", "drop": {"drop_sub_policy": subs}}),
    ),
    min_size=1,
    max_size=4,
)


def keeps(spec: dict[str, Any], randomness: int, error: bool) -> bool:
    """Whether a policy, asked about one R, keeps the trace; of a drop policy, whether it drops it."""
    kind = spec["type"]
    block = spec.get(kind, {})
    match kind:
        case "always_sample":
            return True
        case "status_code":
            return error
        case "probabilistic":
            return randomness >= from_percentage(block["sampling_percentage"])
        case "not":
            return not keeps(block["not_sub_policy"], randomness, error)
        case "choice" | "composite":
            subs = block["of"] if kind == "choice" else block["composite_sub_policy"]
            return any(keeps(sub, randomness, error) for sub in subs)
        case _:
            return all(keeps(sub, randomness, error) for sub in block[f"{kind}_sub_policy"])


def decider(spec: dict[str, Any], randomness: int, error: bool) -> str:
    """The name under which a policy that keeps the trace is recorded."""
    if spec["type"] not in {"choice", "composite"}:
        return str(spec["name"])
    block = spec[spec["type"]]
    subs = block["of"] if spec["type"] == "choice" else block["composite_sub_policy"]
    first = next(sub for sub in subs if keeps(sub, randomness, error))
    return f"{spec['name']}/{decider(first, randomness, error)}"


def expected(specs: list[dict[str, Any]], randomness: int, error: bool) -> tuple[str, str | None]:
    """(decision, deciding policy) of a list."""
    ordered = sorted(specs, key=lambda spec: spec["type"] != "drop")
    for spec in ordered:
        if keeps(spec, randomness, error):
            name = decider(spec, randomness, error)
            return ("dropped" if spec["type"] == "drop" else "sampled"), name
    return "not_sampled", None


def asked(policy_set: PolicySet, randomness: int, error: bool) -> Any:
    """The verdict on a trace with this R."""
    bits = (1 << len(policy_set.span_conditions)) - 1 if error else 0
    summary = PlainSummary(span_count=1, rv=randomness, bits=bits)
    return policy_set.decide(0, [(bytes(16), summary, tuple)], policy_set.initial_state())[0]


@settings(max_examples=300)
@given(lists, st.booleans(), st.booleans())
def test_random_trees_decide_as_the_model(specs: list[dict[str, Any]], error: bool, first_match: bool) -> None:
    """Or, and, not, drop, choice and composite: decision, recorded policy and probability are those of the model.

    The answers of the model change only at the percentages, so asking in each part between them is asking everywhere.
    """
    specs = [{**spec, "name": f"p{index}"} for index, spec in enumerate(specs)]
    policy_set = build(*specs, sample_on_first_match=first_match)
    starts = sorted({0, *(from_percentage(share) for share in PERCENTAGES if share)})
    ends = [*starts[1:], SPACE]
    kept = 0
    for low, high in zip(starts, ends, strict=True):
        decision = expected(specs, low, error)
        kept += (high - low) * (decision[0] == "sampled")
        for randomness in (low, high - 1):
            verdict = asked(policy_set, randomness, error)
            assert (verdict.decision, verdict.policy) == decision
    assert not policy_set.errors
    assert measure(asked(policy_set, 0, error).keep) == kept
