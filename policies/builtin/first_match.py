"""Ordered rules: the first that fits a trace decides alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, field_validator, model_validator

from policies.build import tree
from policies.contract import Context, Limiter, Policy, PolicyConfig, SubPolicy
from policies.fields import Percentage
from policies.intent import Intent, first_match, first_of, intersect, keep_set
from policies.rset import ALWAYS, NEVER, RSet, difference, from_percentage, intersection
from policies.trace import TraceView

DEFAULT = "default"
"""Name of what decides traces that no rule fits."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class Rule(PolicyConfig):
    """`when` says which traces it decides, all without; exactly one of the others says what becomes of them."""

    name: str = Field(min_length=1)
    """Recorded on the traces that it keeps, below the name of the policy."""
    when: Annotated[
        list[dict[str, Any]], BeforeValidator(_as_list, json_schema_input_type=dict[str, Any] | list[dict[str, Any]])
    ] = Field(default=[])
    """A policy as condition, or a list of policies that must all hold."""
    sampling_percentage: Percentage | None = None
    """Keeps this share of them."""
    policy: dict[str, Any] | None = None
    """Keeps those that this policy keeps."""
    drop: bool = False
    """Keeps none, and no other policy of the list keeps them either."""

    @model_validator(mode="after")
    def _one_action(self) -> Rule:
        given = [self.sampling_percentage is not None, self.policy is not None, self.drop]
        if sum(given) != 1:
            raise ValueError(
                f'rule "{self.name}": give exactly one of sampling_percentage, policy and drop: true, not {sum(given)}'
            )
        return self


@dataclass(frozen=True, slots=True)
class BuiltRule:
    """A rule with its policies; `action` is a set of R or the policy that gives one."""

    name: str
    when: tuple[SubPolicy, ...]
    action: RSet | SubPolicy
    drop: bool

    def condition(self, trace: TraceView) -> Intent:
        """The R for which it decides, unless a rule before it does."""
        return intersect(sub.policy.evaluate(trace) for sub in self.when)


class FirstMatch(Policy):
    """Each trace is decided by the first rule whose `when` keeps it, or by the default where none does.

    A `when` that keeps a trace for some R only decides it for these R; for the others the next rules are asked.
    """

    type = "first_match"

    class Config(PolicyConfig):
        """The rules, in order, and the share that is kept of traces that no rule fits."""

        rules: list[Rule] = Field(min_length=1)
        """Asked in this order, until one fits."""
        default_percentage: Percentage = 100.0
        """Share that is kept of traces that no rule fits."""

        @field_validator("rules")
        @classmethod
        def _different_names(cls, rules: list[Rule]) -> list[Rule]:
            seen = {DEFAULT}
            for rule in rules:
                if rule.name in seen:
                    reason = "is the name of what no rule fits" if rule.name == DEFAULT else "stands there twice"
                    raise ValueError(f'the rule name "{rule.name}" {reason}')
                seen.add(rule.name)
            return rules

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._rules = tuple(_built(rule, index, context) for index, rule in enumerate(config.rules))
        self._default = from_percentage(config.default_percentage)
        self.subs = tuple(
            sub
            for rule in self._rules
            for sub in (*rule.when, *((rule.action,) if isinstance(rule.action, SubPolicy) else ()))
        )
        if any(rule.drop for rule in self._rules):
            self.veto = Drops(self._rules, context)
        self.notes = tuple(_notes(config))

    def evaluate(self, trace: TraceView) -> Intent:
        """What each rule keeps of the R for which it decides, under its name."""
        return first_match(self._answers(trace))

    def _answers(self, trace: TraceView) -> Iterator[tuple[str, Intent, Intent]]:
        """Rule by rule, as far as they are asked for: none is evaluated behind one that fits for all R."""
        for rule in self._rules:
            condition = rule.condition(trace)
            if condition == NEVER:
                continue
            action = rule.action.policy.evaluate(trace) if isinstance(rule.action, SubPolicy) else rule.action
            yield rule.name, condition, NEVER if rule.drop else action
        yield DEFAULT, ALWAYS, self._default

    def describe(self) -> str:
        """Says what it keeps."""
        return "the first that fits of " + "; ".join(
            (*map(_described, self._rules), f"else keep {_share(self._default)}")
        )

    def settings(self) -> Mapping[str, Any]:
        """The rules without their policies, which are its `subs`."""
        return {
            "rules": [
                {"name": rule.name, "when": len(rule.when), "drop": rule.drop, "action": _plain(rule.action)}
                for rule in self._rules
            ],
            "default": self._default,
        }


class Drops(Policy):
    """Drops what rules with `drop: true` decide."""

    type = "first_match_drops"
    drops: ClassVar[bool] = True

    def __init__(self, rules: Sequence[BuiltRule], context: Context) -> None:
        super().__init__(PolicyConfig(), context)
        last = max(index for index, rule in enumerate(rules) if rule.drop)
        self._rules = tuple(rules[: last + 1])
        self.subs = tuple(sub for rule in self._rules for sub in rule.when)
        if any(isinstance(part, Limiter) for sub in self.subs for part in tree(sub.policy)):
            raise ValueError(
                f'rule "{rules[last].name}" drops, so neither its `when` nor that of a rule before it may hold a '
                "limiter: what is dropped is known before any tokens are shared out"
            )

    def evaluate(self, trace: TraceView) -> Intent:
        """The R for which a dropping rule decides."""
        dropped: list[tuple[str, Intent]] = []
        undecided: RSet = ALWAYS
        for rule in self._rules:
            holds = keep_set(rule.condition(trace))
            if rule.drop:
                dropped.append((rule.name, intersection(undecided, holds)))
            undecided = difference(undecided, holds)
            if undecided == NEVER:
                break
        return first_of(dropped)

    def describe(self) -> str:
        """Says what it drops."""
        return "drops what is decided by " + " or ".join(f'"{rule.name}"' for rule in self._rules if rule.drop)

    def settings(self) -> Mapping[str, Any]:
        """Which rules drop."""
        return {"rules": [{"name": rule.name, "when": len(rule.when), "drop": rule.drop} for rule in self._rules]}


def _built(rule: Rule, index: int, context: Context) -> BuiltRule:
    """The rule with its policies, which stand below its name whatever names they have of their own."""
    single = len(rule.when) == 1
    when = []
    for place, spec in enumerate(rule.when):
        name = f"{rule.name}/when" if single else f"{rule.name}/when/{place}"
        where: tuple[str | int, ...] = ("rules", index, "when") if single else ("rules", index, "when", place)
        when.append(context.child(where, {**spec, "name": name}))
    action: RSet | SubPolicy = from_percentage(rule.sampling_percentage or 0.0)
    if rule.policy is not None:
        action = context.child(("rules", index, "policy"), {**rule.policy, "name": rule.name})
    return BuiltRule(rule.name, tuple(when), action, rule.drop)


def _notes(config: FirstMatch.Config) -> Iterator[str]:
    for rule in config.rules[:-1]:
        if not rule.when:
            yield f'the rules after "{rule.name}" decide nothing: it has no `when`, so it fits every trace'
            return
    if config.rules[-1].when and "default_percentage" not in config.model_fields_set:
        yield "traces that no rule fits are all kept: say default_percentage, or end with a rule without `when`"


def _share(keep: RSet) -> str:
    return f"{100 - 100 * (keep if isinstance(keep, int) else 0) / NEVER:g} %"


def _plain(action: RSet | SubPolicy) -> Any:
    return "policy" if isinstance(action, SubPolicy) else action


def _described(rule: BuiltRule) -> str:
    conditions = " and ".join(sub.policy.describe() for sub in rule.when) or "all"
    if rule.drop:
        return f"{rule.name} ({conditions}): drop"
    if isinstance(rule.action, SubPolicy):
        return f"{rule.name} ({conditions}): keep {rule.action.policy.describe()}"
    return f"{rule.name} ({conditions}): keep {_share(rule.action)}"
