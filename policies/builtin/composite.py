"""Shares a rate out among kinds of traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from policies.claims import Candidate, Settlement, Tick
from policies.conditions import INT64_MAX
from policies.contract import Context, Limiter, PolicyConfig
from policies.demand import TierParts
from policies.errors import nearest
from policies.intent import Claim, Intent, first_match
from policies.rset import RSet
from policies.tokens import CAPS_NOTHING, TokenBucket
from policies.trace import TraceView


class Allocation(PolicyConfig):
    """The part of a sub-policy, by its name; `percent` 0 is an equal part."""

    policy: str
    """Name of the sub-policy."""
    percent: int = Field(default=0, ge=0, le=INT64_MAX)
    """Its percentage of the total; 0 is an equal part."""


@dataclass(frozen=True, slots=True)
class Shares:
    """A settlement of several budgets: each claim is answered by the budget of its key."""

    budgets: Mapping[str, Settlement]

    def keep(self, claim: Claim, randomness: int, *, candidate: bool) -> RSet:
        """What the claim's own budget grants."""
        return self.budgets[claim.key].keep(claim, randomness, candidate=candidate)


class Composite(Limiter):
    """Gives each sub-policy a budget of its own, a part of `max_total_spans_per_second`.

    The first sub-policy, in the order of the list, that keeps a trace decides about it alone: within its budget the
    trace is kept, beyond it is not, whatever other sub-policies say and have left. A budget is a token bucket that
    saves one second; traces of the same tick share it by their randomness. The rate is that of all partitions together.
    """

    type = "composite"

    class Config(PolicyConfig):
        """Fields and defaults of the Collector."""

        max_total_spans_per_second: int = Field(default=0, ge=0, le=INT64_MAX)
        """What the percentages are of. It is no limit of its own: percentages above 100 together exceed it."""
        policy_order: tuple[str, ...] = Field(default=(), strict=False)
        """Has no effect, as in the Collector: the order is that of `composite_sub_policy`."""
        composite_sub_policy: list[dict[str, Any]] = Field(min_length=1)
        """Policies of any type but those that drop; the first that keeps a trace decides about it."""
        rate_allocation: tuple[Allocation, ...] = Field(default=(), strict=False)
        """The parts; a sub-policy that is not listed gets an equal part, the total divided by their number."""

    config: Config
    exchanges = True

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.subs = context.children("composite_sub_policy", config.composite_sub_policy)
        self._rates = self._shared_out()
        self._buckets = {str(index): TokenBucket(rate, rate) for index, rate in enumerate(self._rates)}
        self._parts = TierParts(self)
        self.notes = tuple(self._remarks())
        self.notes_beside_others = (CAPS_NOTHING,)

    def _shared_out(self) -> tuple[int, ...]:
        """Spans per second of each sub-policy, whole numbers, by the Collector's rule, at most the total."""
        total = self.config.max_total_spans_per_second
        percent_of = {each.policy: each.percent for each in self.config.rate_allocation}
        parts = (percent_of.get(sub.name, 0) for sub in self.subs)
        return tuple(min(total, total * percent // 100 if percent else total // len(self.subs)) for percent in parts)

    def _remarks(self) -> Sequence[str]:
        names = [sub.name for sub in self.subs]
        total, listed = self.config.max_total_spans_per_second, self.config.rate_allocation
        notes = []
        if not total:
            notes.append("keeps nothing: `max_total_spans_per_second` is 0")
        if self.config.policy_order and list(self.config.policy_order) != names:
            notes.append(
                "`policy_order` is ignored, as in the Collector: sub-policies are asked in the order of "
                "`composite_sub_policy`"
            )
        for each in listed:
            if each.policy not in names:
                meant = nearest(each.policy, names)
                hint = f" (did you mean {meant!r}?)" if meant else ""
                notes.append(f"`rate_allocation` names {each.policy!r}, which is none of its sub-policies{hint}")
        equal = {each.policy for each in listed if not each.percent} | set(names) - {each.policy for each in listed}
        if listed and equal & set(names):
            which = ", ".join(repr(name) for name in names if name in equal)
            notes.append(
                f"{which}: without a percentage in `rate_allocation` a sub-policy gets an equal part, "
                f"{total // len(names)} spans a second"
            )
        if sum(self._rates) > total:
            notes.append(
                f"its parts add up to {sum(self._rates)} spans a second, more than `max_total_spans_per_second`; "
                "as in the Collector each part is held, the total is not"
            )
        return notes

    def evaluate(self, trace: TraceView) -> Intent:
        """The first sub-policy that keeps the trace decides, by what its budget grants."""
        path, cost = self.context.path, self.cost(trace)
        return first_match(
            (sub.name or sub.policy.type, sub.policy.evaluate(trace), Claim(path, cost, str(index)))
            for index, sub in enumerate(self.subs)
        )

    def cost(self, trace: TraceView) -> float:
        """One token a span that arrived."""
        return trace.span_count

    def initial_state(self) -> dict[str, Any]:
        """A full bucket for each sub-policy."""
        return {key: bucket.initial_state() for key, bucket in self._buckets.items()}

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Each budget is shared out among those whose claim is for it."""
        asking: dict[str, list[Candidate]] = {key: [] for key in self._buckets}
        for candidate in candidates:
            asking[candidate.claim.key].append(candidate)
        parts = self._parts.of(tick, state, self._buckets, asking)
        return Shares(
            {key: bucket.settle(tick, asking[key], state[key], parts.get(key)) for key, bucket in self._buckets.items()}
        )

    def describe(self) -> str:
        """Says what it keeps."""
        parts = (
            f"({sub.policy.describe()}) up to {rate} spans a second"
            for sub, rate in zip(self.subs, self._rates, strict=True)
        )
        return "the first that applies of " + ", ".join(parts)

    def settings(self) -> Mapping[str, Any]:
        """The budgets as shared out; the sub-policies speak for themselves."""
        return {"spans_per_second": list(self._rates), "of": [sub.name for sub in self.subs]}
