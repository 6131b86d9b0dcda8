"""Several policy sets side by side: each trace is decided as its tenant's set alone would decide it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.aliases import Aliases
from policies.conditions import AttributeIn, Where
from policies.policy_set import PolicySet, build_policy_set
from policies.state import carry_state, state_key
from policies.tenants import Tenant, TenantPolicySets
from policies.testing import Trace, resource, span, trace
from policies.verdict import Verdict

Specs = Sequence[Mapping[str, Any]]

ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
SLOW = {"name": "slow", "type": "latency", "latency": {"threshold_ms": 100}}
HALF = {"name": "half", "type": "probabilistic", "probabilistic": {"sampling_percentage": 50}}
RED = {"name": "red", "type": "string_attribute", "string_attribute": {"key": "color", "values": ["red"]}}
ALL = {"name": "all", "type": "always_sample"}
FEW = {"name": "few", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 3}}
NOT_RED = {"name": "not-red", "type": "drop", "drop": {"drop_sub_policy": [{**RED, "name": "inside"}]}}
POOL: tuple[dict[str, Any], ...] = (ERRORS, SLOW, HALF, RED, FEW, NOT_RED)


def tenants(default: Specs, *members: tuple[str, Specs], **options: Any) -> TenantPolicySets:
    """Sets of which a tenant's name is also its value, and its output that in capitals."""
    made = [Tenant(name, (name,), build_policy_set(specs), name.upper()) for name, specs in members]
    return TenantPolicySets(build_policy_set(default), made, **(options or {"attribute": "tenant"}))


def spans_of(*tenant_names: str, number: int = 1, error: bool = False, color: str = "", ms: int = 10) -> Trace:
    """A trace with one span a tenant; an empty name is a span without one."""
    parts = [
        resource(
            {"tenant": name} if name else {},
            span("op", 0, ms, status="ERROR" if error else "UNSET", attributes={"color": color} if color else {}),
        )
        for name in tenant_names
    ]
    return trace(*parts, trace_id=number.to_bytes(16, "big"))


def verdicts(policies: PolicySet | TenantPolicySets, *traces: Trace, tick_ms: int = 0, **more: Any) -> list[Verdict]:
    """The verdicts of one tick; `state` may be given."""
    state = more.pop("state", {})
    asked = [
        (each.trace_id, each.summary(policies.span_conditions), lambda each=each: each.resource_spans)
        for each in traces
    ]
    return policies.decide(tick_ms, asked, state, **more)


def test_a_trace_is_decided_by_the_policies_of_its_tenant() -> None:
    """By the default ones where it names no tenant, or one without policies; the verdict says whose and where to."""
    policies = tenants([ERRORS], ("acme", [ALL]), ("globex", [RED]))
    found = verdicts(policies, *(spans_of(name, error=name == "") for name in ("acme", "globex", "other", "")))
    assert [(v.decision, v.tenant, v.output, v.decider) for v in found] == [
        ("sampled", "acme", "ACME", "acme/all"),
        ("not_sampled", "globex", "GLOBEX", None),
        ("not_sampled", "", "", None),
        ("sampled", "", "", "errors"),
    ]
    assert [v.policy for v in found] == ["all", None, None, "errors"]


@pytest.mark.parametrize("names", [("globex", "acme"), ("acme", "globex"), ("other", "globex", "acme", "")])
def test_a_trace_of_several_tenants_goes_to_the_first_of_the_list(names: tuple[str, ...]) -> None:
    """Whatever the order in which its spans came."""
    policies = tenants([ALL], ("acme", [ERRORS]), ("globex", [ALL]))
    assert [v.tenant for v in verdicts(policies, spans_of(*names))] == ["acme"]


def test_only_a_text_attribute_of_the_resource_names_a_tenant() -> None:
    """An attribute of the span, or a value that is no text, does not."""
    policies = tenants([ERRORS], ("7", [ALL]))
    on_span = trace(span("op", attributes={"tenant": "7"}))
    number = trace(resource({"tenant": 7}, span("op")))
    assert [v.tenant for v in verdicts(policies, on_span, number)] == ["", ""]


def test_the_attribute_goes_by_its_aliases() -> None:
    """As every attribute that policies ask for."""
    aliases = Aliases([["tenant", "tenant.id"]])
    policies = tenants([ERRORS], ("acme", [ALL]), attribute="tenant.id", aliases=aliases)
    assert [v.tenant for v in verdicts(policies, spans_of("acme"))] == ["acme"]


def test_equal_conditions_are_scanned_for_once() -> None:
    """A tenant costs its selector and what nobody else asks."""
    policies = tenants([ERRORS, RED], ("acme", [ERRORS]), ("globex", [RED, ERRORS]))
    first, second, *rest = policies.span_conditions
    assert first == AttributeIn("tenant", frozenset({"acme"}), Where.RESOURCE)
    assert second == AttributeIn("tenant", frozenset({"globex"}), Where.RESOURCE)
    assert len(rest) == 2


def test_budgets_are_separate() -> None:
    """What one tenant spends is not missing to another, though their limiters have one name and setting."""
    policies = tenants([FEW], ("acme", [FEW]), ("globex", [FEW]))
    state = policies.initial_state()
    assert len(state) == 3
    many = [spans_of(name, number=n) for n in range(1, 21) for name in ("acme", "globex", "")]
    found = verdicts(policies, *many, state=state)
    kept = [sum(v.sampled for v in found if v.tenant == name) for name in ("acme", "globex", "")]
    assert kept == [6, 6, 6]
    assert [v.sampled for v in verdicts(policies, spans_of("acme", number=99), state=state)] == [False]
    assert json.loads(json.dumps(state)) == state


def test_the_state_of_a_tenant_goes_on_under_its_name() -> None:
    """After a reload, also where other tenants have come or gone; a default policy of a like name gets none of it."""
    old = tenants([ALL], ("acme", [FEW]), ("globex", [FEW]))
    state = old.initial_state()
    verdicts(old, *(spans_of("acme", number=n) for n in range(1, 21)), state=state)
    spent = carry_state(state, tenants([{**FEW, "name": "acme/few"}], ("new", [FEW]), ("acme", [ERRORS, FEW])))
    limiter = state_key(build_policy_set([FEW]).limiters[0])
    assert spent[f"{limiter}@acme"] == state[f"{limiter}@acme"]
    fresh = build_policy_set([FEW]).initial_state()[limiter]
    assert [value for key, value in spent.items() if key != f"{limiter}@acme"] == [fresh, fresh]
    assert spent[f"{limiter}@acme"] != fresh


def test_names_errors_and_notes_say_whose_policy_it_is() -> None:
    """Names of two tenants may be equal."""
    two_keeping = [HALF, {**FEW, "name": "cap"}]
    policies = tenants([ERRORS], ("acme", [ERRORS]), ("globex", two_keeping))
    assert policies.names == ("errors", "acme/errors", "globex/half", "globex/cap")
    assert policies.describe().splitlines()[1] == "tenant acme (acme) to ACME:"
    assert all(note.startswith('tenant "globex": policy "cap"') for note in policies.notes)
    assert policies.notes
    inner = policies.tenants[0].policies
    inner.errors["errors"] += 2
    inner.too_slow["errors"] += 1
    inner.last_errors["errors"] = "boom"
    assert (policies.errors, policies.too_slow, policies.last_errors) == (
        {"acme/errors": 2},
        {"acme/errors": 1},
        {"acme/errors": "boom"},
    )


def test_all_that_matters_is_in_the_content_hash() -> None:
    """Order, names, values, outputs, policies and what names the tenant; and nothing else."""

    def hashed(*members: Tenant, **options: Any) -> str:
        return TenantPolicySets(build_policy_set([ERRORS]), members, **options).content_hash

    def member(**changes: Any) -> Tenant:
        return replace(Tenant("acme", ("a", "b"), build_policy_set([ALL]), "out"), **changes)

    base = hashed(member(), attribute="tenant")
    assert base == hashed(member(values=("b", "a")), attribute="tenant")
    others = [
        hashed(member(name="b"), attribute="tenant"),
        hashed(member(values=("a",)), attribute="tenant"),
        hashed(member(output=""), attribute="tenant"),
        hashed(member(policies=build_policy_set([RED])), attribute="tenant"),
        hashed(member(), attribute="tenant.id"),
        hashed(member(), header="tenant"),
        hashed(member(), Tenant("c", ("c",), build_policy_set([ALL])), attribute="tenant"),
        hashed(Tenant("c", ("c",), build_policy_set([ALL])), member(), attribute="tenant"),
    ]
    assert len({base, *others}) == len(others) + 1


def test_a_header_is_named_for_the_reader_of_records() -> None:
    """No span shows it, so no bit is set by scanning; sets that differ in values or order ask for other conditions."""
    policies = tenants([ERRORS], ("acme", [ALL]), ("globex", [ALL]), header="X-Tenant")
    assert policies.by_header.name == "X-Tenant"
    assert policies.by_header.bit_of == {"acme": 0, "globex": 1}
    assert policies.by_header.tenants == (("acme", 0), ("globex", 1))
    shown = trace(resource({"X-Tenant": "acme"}, span("op")))
    assert [v.tenant for v in verdicts(policies, shown)] == [""]
    summary = replace(shown.summary(policies.span_conditions), bits=0b11)
    assert [v.tenant for v in policies.decide(0, [(shown.trace_id, summary, tuple)], {})] == ["acme"]
    other_way = tenants([ERRORS], ("globex", [ALL]), ("acme", [ALL]), header="X-Tenant")
    assert other_way.span_conditions != policies.span_conditions


@pytest.mark.parametrize("options", [{}, {"attribute": "a", "header": "b"}])
def test_one_thing_names_the_tenant(options: dict[str, Any]) -> None:
    """An attribute or a header; and a value names one tenant."""
    with pytest.raises(ValueError, match="either"):
        TenantPolicySets(build_policy_set([ALL]), [], **options)
    twice = [Tenant(name, ("x",), build_policy_set([ALL])) for name in "ab"]
    with pytest.raises(ValueError, match="one tenant only"):
        TenantPolicySets(build_policy_set([ALL]), twice, attribute="tenant")


ONE_TRACE = st.builds(
    lambda names, error, color, ms: (tuple(names), error, color, ms),
    st.lists(st.sampled_from(["acme", "acme", "globex", "globex", "other", ""]), min_size=1, max_size=3),
    st.booleans(), st.sampled_from(["", "red", "blue"]), st.sampled_from([10, 200]),
)  # fmt: skip
A_SET = st.lists(st.sampled_from(POOL), min_size=1, max_size=4, unique_by=lambda spec: str(spec["name"]))


@settings(max_examples=200, deadline=None)
@given(
    sets=st.tuples(A_SET, A_SET, A_SET),
    ticks=st.lists(st.lists(ONE_TRACE, max_size=12), min_size=1, max_size=4),
    share=st.sampled_from([1.0, 0.25]),
)
def test_each_trace_is_decided_as_by_its_tenants_set_alone(
    sets: tuple[Specs, Specs, Specs], ticks: list[list[Any]], share: float
) -> None:
    """Over several ticks with limiters, drop policies and memos: the sets do not feel each other."""
    default, acme, globex = sets
    together = tenants(default, ("acme", acme), ("globex", globex))
    alone = {"": build_policy_set(default), "acme": build_policy_set(acme), "globex": build_policy_set(globex)}
    state = together.initial_state()
    own: dict[str, dict[str, Any]] = {name: each.initial_state() for name, each in alone.items()}
    number = 0
    for index, tick in enumerate(ticks):
        batch: list[tuple[str, Trace]] = []
        for names, error, color, ms in tick:
            number += 1
            tenant = next((name for name in ("acme", "globex") if name in names), "")
            made = spans_of(*names, number=number * 0x9E3779B97F4A7C15, error=error, color=color, ms=ms)
            batch.append((tenant, made))
        tick_ms = 250 * index
        found = verdicts(together, *(made for _, made in batch), tick_ms=tick_ms, state=state, share=share)
        for name, policies in alone.items():
            mine = [made for tenant, made in batch if tenant == name]
            got = [v for (tenant, _), v in zip(batch, found, strict=True) if tenant == name]
            wanted = verdicts(policies, *mine, tick_ms=tick_ms, state=own[name], share=share)
            assert [replace(v, tenant="", output="") for v in got] == wanted
            assert {(v.tenant, v.output) for v in got} <= {(name, name.upper())}
