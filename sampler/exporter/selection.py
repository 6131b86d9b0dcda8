"""Which traces of a record a backend is sent: its route, looked up in the spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policies.aliases import NO_ALIASES, Aliases
from policies.conditions import AllOf, AnyOf, AttributeIn, AttributeMatches, IsRootSpan, Matcher, SpanCondition, Where
from sampler.config.policies import PolicyFile
from sampler.config.routes import AttributeRoute, Exclude, Route
from sampler.otlp import compile_plan, get_scanner


class RouteError(ValueError):
    """A route that cannot be followed; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The topics that a backend reads; in those of `filtered` a trace's tenant is looked at."""

    topics: tuple[str, ...]
    filtered: frozenset[str] = frozenset()


class Selection:
    """Tells what of a record is sent. With nothing asked for, records are sent as they are and never come here."""

    def __init__(self, route: Route, policy_attribute: str, tenants: TenantConditions | None = None) -> None:
        required = _conditions(policy_attribute, route)
        excluded = _conditions(policy_attribute, route.exclude)
        tenant_conditions = tenants.conditions if tenants else ()
        conditions = tuple(dict.fromkeys([*tenant_conditions, *required, *excluded]))
        self._plan = compile_plan(conditions)
        self._need = _mask(conditions, required)
        self._forbid = _mask(conditions, excluded)
        self._tenant_masks = [
            (1 << conditions.index(each), wanted) for each, wanted in (tenants.order if tenants else ())
        ]
        self._scanner = get_scanner()

    def part(self, value: bytes, *, by_tenant: bool = False) -> tuple[bytes, int]:
        """What is sent of a record, and its spans; nothing and 0 where it is none. ScanError where it is not OTLP."""
        result = self._scanner.scan(self._plan, value)
        need, forbid = self._need, self._forbid
        kept: list[bytes] = []
        spans = 0
        for _, chunk, summary in result.traces:
            bits = summary.bits
            if bits & need == need and not bits & forbid and (not by_tenant or self._is_tenants(bits)):
                kept.append(chunk)
                spans += summary.span_count
        if len(kept) == len(result.traces) and not result.invalid_spans:
            return value, spans
        return b"".join(kept), spans

    def _is_tenants(self, bits: int) -> bool:
        return next((wanted for mask, wanted in self._tenant_masks if bits & mask), False)


@dataclass(frozen=True, slots=True)
class TenantConditions:
    """For every tenant, in the order of the policy file, what its spans meet and whether it is one that is wanted.

    A trace belongs to the first that one of its spans meets.
    """

    order: tuple[tuple[SpanCondition, bool], ...]

    @property
    def conditions(self) -> tuple[SpanCondition, ...]:
        """Those of all tenants."""
        return tuple(condition for condition, _ in self.order)


def sources_of(
    topics: Sequence[str], route: Route, sampled: str, policies: PolicyFile | None
) -> tuple[Sources, TenantConditions | None]:
    """The topics to read for a backend, and how tenants are told apart where that is needed.

    RouteError where the route names tenants that there are none of, or that cannot be told apart.
    """
    tenants = policies.tail_sampling.tenants if policies else None
    own = policies.tenant_topics if policies else {}
    if topics:
        return Sources(tuple(topics)), None
    if not route.tenants:
        return Sources(tuple(dict.fromkeys((sampled, *own.values())))), None
    if policies is None:
        raise RouteError("route.tenants: which tenants there are says the policy file; give it with --policies")
    known = list(tenants.sets) if tenants else []
    unknown = [name for name in route.tenants if name not in known]
    if unknown or tenants is None:
        raise RouteError(
            f"route.tenants: {policies.path} has no tenant {unknown[0]}; it has: {', '.join(known) or 'none'}"
        )
    topic_of = {name: own.get(name, sampled) for name in known}
    wanted = tuple(dict.fromkeys(topic_of[name] for name in route.tenants))
    others = {topic_of[name] for name in known if name not in route.tenants} | {sampled}
    shared = frozenset(topic for topic in wanted if topic in others)
    if not shared:
        return Sources(wanted), None
    if tenants.attribute is None:
        raise RouteError(
            f"route.tenants: topic {sorted(shared)[0]} has traces of others too, and these tenants are told apart by a "
            "header, which kept traces do not carry; give each tenant a topic of its own"
        )
    aliases = policies.tail_sampling.attribute_aliases.table()
    order = tuple(
        (_tenant_condition(tenants.attribute, each.match or (name,), aliases), name in route.tenants)
        for name, each in tenants.sets.items()
    )
    return Sources(wanted, shared), TenantConditions(order)


def asks_for_something(route: Route) -> bool:
    """Whether spans must be looked at for it, tenants apart."""
    return bool(route.policies or route.attributes or route.exclude.policies or route.exclude.attributes)


def _tenant_condition(key: str, values: Iterable[str], aliases: Aliases = NO_ALIASES) -> SpanCondition:
    return AnyOf((aliases.applied(AttributeIn(key, frozenset(values), Where.RESOURCE)),))


def _conditions(policy_attribute: str, criteria: Route | Exclude) -> list[SpanCondition]:
    conditions = [_any_of(criteria.attributes)] if criteria.attributes else []
    if criteria.policies:
        conditions.append(_policy_condition(policy_attribute, criteria.policies))
    return conditions


def _policy_condition(attribute: str, names: Sequence[str]) -> SpanCondition:
    beginnings = tuple(name + "/" for name in names)

    def test(value: str) -> bool:
        return value in names or value.startswith(beginnings)

    return AttributeMatches(attribute, Matcher(f"policy {sorted(names)}", test), Where.SPAN)


def _any_of(attributes: Sequence[AttributeRoute]) -> SpanCondition:
    return AnyOf(tuple(_attribute_condition(each) for each in attributes))


def _attribute_condition(attribute: AttributeRoute) -> SpanCondition:
    values = frozenset(attribute.values)
    if attribute.context == "resource":
        return AttributeIn(attribute.key, values, Where.RESOURCE)
    return AllOf((IsRootSpan(), AttributeIn(attribute.key, values, Where.SPAN)))


def _mask(conditions: Sequence[SpanCondition], some: Iterable[SpanCondition]) -> int:
    mask = 0
    for condition in some:
        mask |= 1 << conditions.index(condition)
    return mask
