"""Several policy sets, of which every trace has one: that of its tenant.

A trace belongs to the first tenant, in the order of the list, that one of its spans belongs to; with none, the default
set decides. That holds whatever the order in which spans come. Every set decides as it would by itself on the traces
it is given: its limiters have budgets of their own. All share one randomness.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from policies.aliases import NO_ALIASES, Aliases
from policies.budgeted_set import NOBODY_REFUSED, BudgetedSet
from policies.conditions import AllOf, AnyOf, AttributeIn, SpanCondition, Where
from policies.exchange import Exchange, TenantExchange
from policies.header import NO_HEADER, HeaderTenants
from policies.policy_set import PolicySet, TraceInput
from policies.trace import Summary
from policies.verdict import Verdict

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant with a policy set of its own. The set is taken over: nothing else may use it."""

    name: str
    values: tuple[str, ...]
    """Values of the attribute or the header that mean this tenant; each means one tenant at most."""
    policies: PolicySet
    output: str = ""
    """Where its kept traces go; empty for where all go."""


class _Member:
    """A set with the keys of its limiters' states: in its own state, and in that of all sets together."""

    def __init__(self, policies: PolicySet, tenant: str = "") -> None:
        self.policies = policies
        self._suffix = f"@{tenant}" if tenant else ""
        self._keys = [
            # A key ends with 12 hexadecimal digits: one of a tenant is never one of the default set.
            (key, key + self._suffix)
            for key in policies.state_keys
        ]

    def stored(self, own: dict[str, Any]) -> dict[str, Any]:
        """A state of this set as it stands in the common one."""
        return {stored: own[key] for key, stored in self._keys if key in own}

    def exchange(self, exchange: Exchange | None) -> Exchange | None:
        """The exchange under the keys that the limiters of this set have in the common state."""
        return TenantExchange(exchange, self._suffix) if exchange is not None and self._suffix else exchange

    def exchange_keys(self) -> set[str]:
        """The keys of its limiters that ask the exchange, as they stand in the common state."""
        return {key + self._suffix for key in self.policies.exchange_keys}

    def own(self, state: dict[str, Any]) -> dict[str, Any]:
        """This set's part of the common state."""
        return {key: state[stored] for key, stored in self._keys if stored in state}


class TenantPolicySets:
    """Decides every trace by the policy set of its tenant; see `policies.any_set.AnyPolicySet`."""

    def __init__(
        self,
        default: PolicySet,
        tenants: Sequence[Tenant],
        *,
        attribute: str = "",
        header: str = "",
        aliases: Aliases = NO_ALIASES,
    ) -> None:
        """`attribute` of the resource, under all names that it has by `aliases`, or `header` of the record, names the
        tenant; ValueError unless it is one of both, and where a value means two tenants.

        The sets have one randomness; it is that of `default` which counts.
        """
        if bool(attribute) == bool(header):
            raise ValueError("either an attribute of the resource or a header of the record names the tenant")
        values = [value for tenant in tenants for value in tenant.values]
        if len(set(values)) < len(values):
            raise ValueError("a value names one tenant only")
        self.default, self.tenants = default, tuple(tenants)
        self.randomness = default.randomness
        selectors = [_selector(attribute, header, tenant.values, aliases) for tenant in tenants]
        sets = [default, *(tenant.policies for tenant in tenants)]
        # The selectors first: of several that hold, the lowest bit is that of the first tenant.
        self.span_conditions: tuple[SpanCondition, ...] = tuple(
            dict.fromkeys([*selectors, *(condition for each in sets for condition in each.span_conditions)])
        )
        self._select = (1 << len(selectors)) - 1
        default.join(self.span_conditions)
        for tenant in tenants:
            tenant.policies.join(self.span_conditions, tenant.name, tenant.output)
        self._default = _Member(default)
        self._members = {1 << bit: _Member(tenant.policies, tenant.name) for bit, tenant in enumerate(tenants)}
        self.by_header = _by_header(header, tenants) if header else NO_HEADER
        self.needs_spans = any(each.needs_spans for each in sets)
        self.plugin_code: frozenset[str] = frozenset().union(*(each.plugin_code for each in sets))
        self.content_hash = self._hash(attribute, header, aliases)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the policies, those of tenants behind the tenant's, in order of evaluation."""
        return tuple(name for prefix, policies in self._named() for name in _prefixed(prefix, policies.names))

    @property
    def rates(self) -> dict[str, Mapping[str, float]]:
        """The rates by key of all sets' limiters, those of tenants behind the tenant's name."""
        return {
            f"{name}/{path}" if name else path: rates
            for name, policies in self._named()
            for path, rates in policies.rates.items()
        }

    @property
    def budgets(self) -> dict[str, BudgetedSet]:
        """The budgets by tenant; that of the default policies has an empty name."""
        return {name: each.budget for name, each in self._named() if each.budget is not None}

    @property
    def exchange_keys(self) -> frozenset[str]:
        """Under which keys limiters ask what all partitions have counted."""
        return frozenset().union(*(member.exchange_keys() for member in (self._default, *self._members.values())))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the operator should know of the policies of all sets."""
        named = self._named()
        return tuple(f'tenant "{name}": {note}' if name else note for name, each in named for note in each.notes)

    @property
    def errors(self) -> dict[str, int]:
        """How often each policy raised, by its name as in `names`."""
        return self._merged(lambda policies: policies.errors)

    @property
    def last_errors(self) -> dict[str, str]:
        """The latest error of each policy, by its name as in `names`."""
        return self._merged(lambda policies: policies.last_errors)

    @property
    def too_slow(self) -> dict[str, int]:
        """How often each policy was not asked for want of time; these are among `errors`."""
        return self._merged(lambda policies: policies.too_slow)

    @property
    def seconds(self) -> dict[str, float]:
        """Time taken by each policy that is no part of tailsampler; 0 where no clock is used."""
        return self._merged(lambda policies: policies.seconds)

    def use_clock(self, clock_s: Callable[[], float]) -> None:
        """Limit the time of policies that are no part of tailsampler: those of all sets share it."""
        self.default.use_clock(clock_s, [tenant.policies for tenant in self.tenants])

    def initial_state(self) -> dict[str, Any]:
        """The limiters' state of a partition that has decided nothing yet."""
        members = (self._default, *self._members.values())
        return {key: state for each in members for key, state in each.stored(each.policies.initial_state()).items()}

    def decide(
        self,
        tick_ms: int,
        traces: Sequence[TraceInput],
        state: dict[str, Any],
        *,
        share: float = 1.0,
        exchange: Exchange | None = None,
        let_in: Mapping[bytes, int] = NOBODY_REFUSED,
    ) -> list[Verdict]:
        """Verdicts on all traces of one tick, in their order; see `PolicySet.decide`."""
        select = self._select
        places: dict[int, list[int]] = {}
        for place, (_, summary, _) in enumerate(traces):
            bits = summary.bits & select
            places.setdefault(bits & -bits, []).append(place)
        if list(places) == [0]:
            return self._ask(self._default, tick_ms, traces, state, share, exchange, let_in)
        verdicts: list[Verdict | None] = [None] * len(traces)
        # In the order of the sets: which trace came first must not matter.
        for bit in sorted(places):
            member = self._members[bit] if bit else self._default
            mine = [traces[place] for place in places[bit]]
            found = self._ask(member, tick_ms, mine, state, share, exchange, let_in)
            for place, verdict in zip(places[bit], found, strict=True):
                verdicts[place] = verdict
        assert None not in verdicts, "every trace has a place with one of the sets"
        return cast("list[Verdict]", verdicts)

    def decide_again(self, trace_id: bytes, summary: Summary, load: Callable[[], Sequence[Any]]) -> Verdict:
        """The verdict on a trace of which more has come since it was decided; see `PolicySet.decide_again`."""
        bits = summary.bits & self._select
        member = self._members[bits & -bits] if bits else self._default
        return member.policies.decide_again(trace_id, summary, load)

    def describe(self) -> str:
        """The policies, one a line, in order of evaluation, each tenant's below a line with its name."""
        parts = [self.default.describe()]
        for tenant in self.tenants:
            output = f" to {tenant.output}" if tenant.output else ""
            parts.append(f"tenant {tenant.name} ({', '.join(tenant.values)}){output}:")
            parts.extend(f"  {line}" for line in tenant.policies.describe().splitlines())
        return "\n".join(parts)

    @staticmethod
    def _ask(
        member: _Member,
        tick_ms: int,
        traces: Sequence[TraceInput],
        state: dict[str, Any],
        share: float,
        exchange: Exchange | None,
        let_in: Mapping[bytes, int],
    ) -> list[Verdict]:
        own, seen = member.own(state), member.exchange(exchange)
        verdicts = member.policies.decide(tick_ms, traces, own, share=share, exchange=seen, let_in=let_in)
        state.update(member.stored(own))
        return verdicts

    def _named(self) -> list[tuple[str, PolicySet]]:
        return [("", self.default), *((tenant.name, tenant.policies) for tenant in self.tenants)]

    def _merged(self, of: Callable[[PolicySet], dict[str, _V]]) -> dict[str, _V]:
        merged: dict[str, _V] = {}
        for prefix, policies in self._named():
            values = of(policies)
            merged.update(zip(_prefixed(prefix, values), values.values(), strict=True))
        return merged

    def _hash(self, attribute: str, header: str, aliases: Aliases) -> str:
        settings = {
            "attribute": aliases.names(attribute) if attribute else (),
            "header": header,
            "default": self.default.content_hash,
            "tenants": [[t.name, sorted(t.values), t.output, t.policies.content_hash] for t in self.tenants],
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _selector(attribute: str, header: str, values: Sequence[str], aliases: Aliases) -> SpanCondition:
    """What holds for the spans of a tenant. No span tells its record's header: that one holds for none by itself, and
    differs from those of other headers and values.
    """
    named = AttributeIn(attribute or header, frozenset(values), Where.RESOURCE)
    return aliases.applied(named) if attribute else AllOf((AnyOf(()), named))


def _by_header(header: str, tenants: Sequence[Tenant]) -> HeaderTenants:
    bit_of = {value: bit for bit, tenant in enumerate(tenants) for value in tenant.values}
    return HeaderTenants(header, bit_of, tuple((tenant.name, bit) for bit, tenant in enumerate(tenants)))


def _prefixed(tenant: str, names: Iterable[str]) -> list[str]:
    return [f"{tenant}/{name}" if tenant else name for name in names]
