"""A list of policies, ready to decide traces."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from policies.aliases import NO_ALIASES, Aliases
from policies.budget import BudgetRule
from policies.budgeted_set import NOBODY_REFUSED, BudgetedSet, settled_answers
from policies.build import TopPolicy, build_list, normalised, tree
from policies.claims import Tick
from policies.conditions import Condition, SpanCondition, TraceHasRoot, TraceInRange
from policies.contract import Limiter, Reads
from policies.discovery import code_of
from policies.errors import PolicyConfigError
from policies.exchange import Exchange
from policies.guard import Guard, TooSlowError, share_out
from policies.header import NO_HEADER
from policies.intent import Intent, claims
from policies.plan import Plan, Verdicts, key_function, make_plan
from policies.randomness import Randomness, RandomnessMode, RandomnessSource
from policies.registry import Registry, installed
from policies.rset import ALWAYS, NEVER
from policies.settle import Case, Settling
from policies.state import check_state, state_key
from policies.tokens import BUDGET_HELPS, CAPS_NOTHING
from policies.trace import Summary, TraceView
from policies.verdict import Verdict
from policies.views import ConditionsView, Loader, no_spans

__all__ = ["PolicySet", "TraceInput", "Verdict", "build_policy_set"]

TraceInput: TypeAlias = tuple[bytes, Summary, Callable[[], Sequence[Any]]]
"""(trace id, summary with bits for this set's span conditions, loader of the ResourceSpans)."""

_MAX_REMEMBERED = 1 << 16
_T = TypeVar("_T")


class PolicySet:
    """Decides traces: pure but for the limiter state that is passed in, memos that never show, and `errors`."""

    by_header = NO_HEADER
    """No tenants: no header of a record matters."""

    def __init__(
        self,
        policies: Sequence[TopPolicy],
        randomness: Randomness,
        *,
        sample_on_first_match: bool = False,
        notes: Sequence[str] = (),
        aliases: Aliases = NO_ALIASES,
        budget: BudgetRule | None = None,
    ) -> None:
        """`policies` in list order; those that drop are moved to the front. See `build_policy_set`."""
        self._policies = tuple(sorted(policies, key=lambda top: not top.policy.drops))
        self.randomness = randomness
        self.sample_on_first_match = sample_on_first_match
        self.notes = tuple(dict.fromkeys(notes))
        conditions = dict.fromkeys(c for top in self._policies for part in tree(top.policy) for c in part.conditions)
        trace_conditions = [c for c in conditions if isinstance(c, TraceInRange | TraceHasRoot)]
        asked = {c: aliases.applied(c) for c in conditions if not isinstance(c, TraceInRange | TraceHasRoot)}
        self.span_conditions: tuple[SpanCondition, ...] = tuple(dict.fromkeys(asked.values()))
        """What a scanner answers: the policies' conditions, with attributes under all their names."""
        self._aliases = aliases
        self.budget = BudgetedSet(budget, self._policies) if budget is not None else None
        """What caps all that is kept, where the policy file has a budget."""
        self.needs_spans = any(top.reads is Reads.SPANS for top in self._policies)
        self.plugin_code = frozenset(code_of(type(part)) for top in self._policies for part in tree(top.policy)) - {""}
        """Hashes of the code of policies that are no part of tailsampler: it may answer anew under an old name."""
        self.errors: Counter[str] = Counter()
        """How often each policy raised, by name."""
        self.last_errors: dict[str, str] = {}
        """The text of the latest error of each policy, by name, with the place in the policy's own code."""
        self.too_slow: Counter[str] = Counter()
        """How often each policy was not asked for want of time, by name; these are among `errors`."""
        self._guards = {id(top): Guard(top) for top in self._policies}
        self.content_hash = self._hash()
        self._asked, self._trace_conditions = asked, trace_conditions
        bits = {condition: bit for bit, condition in enumerate(self.span_conditions)}
        self._bit_of: dict[Condition, int] = {condition: bits[scanned] for condition, scanned in asked.items()}
        self._key_of = key_function(trace_conditions)
        self._verdicts = Verdicts(self._policies, randomness.salt)
        self._settling = Settling(
            self._policies, self._guards, self._failed, sample_on_first_match=sample_on_first_match
        )
        self._only_conditions = all(top.reads is Reads.CONDITIONS and not top.limiters for top in self._policies)
        self._plans: dict[Hashable, Plan] = {}
        self._answers: dict[Hashable, list[Intent]] = {}
        self._clock_s: Callable[[], float] | None = None

    def join(self, span_conditions: Sequence[SpanCondition], tenant: str = "", output: str = "") -> None:
        """Be one of several sets for the traces of one stream, as `policies.tenants` makes them; before any decision.

        Summaries answer `span_conditions`, this set's among them. `tenant` and `output` go into every verdict.
        """
        bits = {condition: bit for bit, condition in enumerate(span_conditions)}
        self._bit_of = {condition: bits[scanned] for condition, scanned in self._asked.items()}
        self._key_of = key_function(self._trace_conditions, sum(1 << bit for bit in set(self._bit_of.values())))
        self._verdicts = Verdicts(self._policies, self.randomness.salt, tenant, output)

    def use_clock(self, clock_s: Callable[[], float], beside: Sequence[PolicySet] = ()) -> None:
        """Limit the time of policies that are no part of tailsampler, as `policies.guard` says; monotonic seconds.

        Those of the sets `beside` share the same time.
        """
        sets = (self, *beside)
        for each in sets:
            each._clock_s = clock_s
        share_out([guard for each in sets for guard in each._guards.values()], clock_s)

    @property
    def seconds(self) -> dict[str, float]:
        """Time taken by each policy that is no part of tailsampler, by name; 0 where no clock is used."""
        asked = ((top.name, self._guards[id(top)]) for top in self._policies)
        return {name: guard.seconds for name, guard in asked if not guard.shipped}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the policies in order of evaluation: drop policies first, else as in the list."""
        return tuple(dict.fromkeys(top.name for top in self._policies))

    @property
    def remembers_all(self) -> bool:
        """Whether every answer follows from conditions, so that none is asked for twice."""
        return self._only_conditions

    @property
    def limiters(self) -> tuple[Limiter, ...]:
        """The limiters of all policies, each under the `context.path` that its claims name."""
        return tuple(limiter for top in self._policies for limiter in top.limiters)

    @property
    def rates(self) -> dict[str, Mapping[str, float]]:
        """The rates by key of limiters that have some, by their path; see `Limiter.rates`."""
        return {limiter.context.path: rates for limiter in self.limiters if (rates := limiter.rates())}

    @property
    def budgets(self) -> dict[str, BudgetedSet]:
        """The budget under the empty name, as of a tenant that has none; nothing where there is no budget."""
        return {} if self.budget is None else {"": self.budget}

    @property
    def exchange_keys(self) -> frozenset[str]:
        """Under which keys limiters and the budget ask what all partitions have counted."""
        budget = () if self.budget is None else (self.budget.key,)
        return frozenset((*(state_key(limiter) for limiter in self.limiters if limiter.exchanges), *budget))

    @property
    def state_keys(self) -> tuple[str, ...]:
        """The keys of a partition's state: those of the limiters, and of the budget."""
        budget = () if self.budget is None else (self.budget.key,)
        return (*dict.fromkeys(state_key(limiter) for limiter in self.limiters), *budget)

    def randomness_of(self, trace_id: bytes, summary: Summary) -> tuple[int, RandomnessSource]:
        """(R, where it came from) of a trace."""
        return self.randomness.of(trace_id, summary.rv, summary.has_threshold)

    def initial_state(self) -> dict[str, Any]:
        """The limiters' state of a partition that has decided nothing yet: JSON-able, by `policies.state.state_key`."""
        states: dict[str, Any] = {}
        for limiter in self.limiters:
            # One that fails here starts afresh, and fails where it is counted, when it first settles.
            with suppress(Exception, SystemExit):
                state = limiter.initial_state()
                check_state(state)
                states[state_key(limiter)] = state
        if self.budget is not None:
            states[self.budget.key] = self.budget.initial_state()
        return states

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
        """Verdicts on all traces that are due in one tick of one partition, in their order.

        `tick_ms` is the tick in milliseconds of stream time; `state` is that of the partition and is changed in
        place (missing limiters start afresh); `share` is the part of the limiters' budgets that is this partition's;
        `exchange` tells limiters that ask what all partitions have counted. `let_in` tells the budget of traces that
        came while others were refused for their R: the lowest R that was let in, by trace id. The same arguments and
        answers of the exchange give the same verdicts and state. A loader that fails raises through; nothing else does.
        """
        tick = Tick(tick_ms, share, exchange)
        answers: list[Sequence[Intent]] = []
        if self._only_conditions:
            verdicts = self._decide_by_plan(traces, answers)
            if self.budget is None:
                return verdicts
            return self.budget.apply(tick, traces, verdicts, answers, self.randomness_of, state, let_in)
        cases = [self._ask(trace_id, summary, load) for trace_id, summary, load in traces]
        self._settling.run(tick, cases, state)
        conclude = self._verdicts.conclude
        verdicts = [conclude(case.intents, case.randomness, case.source, case.settled) for case in cases]
        if self.budget is None:
            return verdicts
        answers = settled_answers(cases) if self.budget.asks_policies else []
        return self.budget.apply(tick, traces, verdicts, answers, self.randomness_of, state, let_in)

    def decide_again(self, trace_id: bytes, summary: Summary, load: Callable[[], Sequence[Any]]) -> Verdict:
        """The verdict on a trace of which more has come since it was decided.

        Limiters are not asked: tokens are for traces that are decided in time. A policy that would need some casts no
        vote; a drop policy that would drops the trace. A budget cuts as in the latest tick.
        """
        case = self._ask(trace_id, summary, load)
        sure = [
            (ALWAYS if top.policy.drops else NEVER) if any(claims(intent)) else intent
            for top, intent in zip(self._policies, case.intents, strict=True)
        ]
        verdict = self._verdicts.conclude(sure, case.randomness, case.source)
        return verdict if self.budget is None else self.budget.again(verdict, summary, replace(case, intents=sure))

    def describe(self) -> str:
        """The policies, one a line, in order of evaluation, and the budget."""
        listed = (top for top in self._policies if not any(top.policy is other.policy.veto for other in self._policies))
        lines = [f"{top.name} ({top.policy.type}): {top.policy.describe()}" for top in listed]
        return "\n".join(lines if self.budget is None else [*lines, self.budget.describe()])

    def _decide_by_plan(self, traces: Sequence[TraceInput], answers: list[Sequence[Intent]]) -> list[Verdict]:
        """The fast path, where every answer follows from conditions and R. `answers` gets those, if the budget asks."""
        asked = self.budget is not None and self.budget.asks_policies
        plans, key_of, randomness = self._plans, self._key_of, self.randomness
        verdicts: list[Verdict] = []
        for trace_id, summary, _ in traces:
            key = key_of(summary)
            plan = plans.get(key)
            if plan is None:
                intents, failed = self._answers_of(TraceView(trace_id, summary, self._bit_of, no_spans))
                if failed:  # is not remembered, so that every failure is counted and a passing one passes
                    value, source = randomness.of(trace_id, summary.rv, summary.has_threshold)
                    verdicts.append(self._verdicts.conclude(intents, value, source))
                    answers.append(intents)
                    continue
                plan = _remember(plans, key, make_plan(intents, self._verdicts))
            if asked:
                answers.append(plan.intents)
            if plan.edges:
                value, source = randomness.of(trace_id, summary.rv, summary.has_threshold)
                verdicts.append(plan.rows[source][bisect_right(plan.edges, value)])
            else:
                verdicts.append(plan.rows[randomness.source(summary.rv, summary.has_threshold)][0])
        return verdicts

    def _answers_of(self, view: TraceView) -> tuple[list[Intent], bool]:
        """(what all policies answer, whether one of them failed), for sets that read conditions only."""
        failures = self.errors.total()
        intents = [self._evaluate(top, view, None) for top in self._policies]
        return intents, self.errors.total() != failures

    def _ask(self, trace_id: bytes, summary: Summary, load: Callable[[], Sequence[Any]]) -> Case:
        """First phase, the general way: answers of policies that read conditions only are remembered."""
        key = self._key_of(summary)
        remembered = self._answers.get(key)
        sound = True
        loader = Loader(load, self._clock_s) if self.needs_spans else None
        view = TraceView(trace_id, summary, self._bit_of, no_spans)
        spans_view = TraceView(trace_id, summary, self._bit_of, loader) if loader else view
        intents: list[Intent] = []
        for index, top in enumerate(self._policies):
            if remembered is not None and top.reads is Reads.CONDITIONS:
                intents.append(remembered[index])
            elif top.reads is Reads.SPANS:
                intents.append(NEVER if _settled_before(top, intents) else self._evaluate(top, spans_view, loader))
            elif top.reads is Reads.SUMMARY:
                intents.append(self._evaluate(top, view, None))
            else:
                failures = self.errors.total()
                intents.append(self._evaluate(top, view, None))
                sound = sound and self.errors.total() == failures
        if remembered is None and sound:
            _remember(self._answers, key, list(intents))
        randomness, source = self.randomness_of(trace_id, summary)
        return Case(randomness, source, intents)

    def _evaluate(self, top: TopPolicy, view: TraceView, loader: Loader | None) -> Intent:
        """One policy's answer; one that raises casts no vote, or keeps the trace by its `on_error`."""
        if top.reads is Reads.CONDITIONS:
            view = ConditionsView(view, top.conditions)
        try:
            return self._guards[id(top)].evaluate(view, loader)
        except (Exception, SystemExit) as error:
            if loader is not None and loader.failure is not None:
                raise loader.failure from None
            self._failed(top, error)
            return ALWAYS if top.keep_on_error else NEVER

    def _failed(self, top: TopPolicy, error: BaseException) -> None:
        self.errors[top.name] += 1
        self.too_slow[top.name] += isinstance(error, TooSlowError)
        self.last_errors[top.name] = self._guards[id(top)].culprit(error)

    def _hash(self) -> str:
        settings = {
            "policies": [
                {**normalised(top.name, top.policy), "keep_on_error": top.keep_on_error} for top in self._policies
            ],
            "randomness": self.randomness.mode,
            "hash_salt": self.randomness.salt,
            "sample_on_first_match": self.sample_on_first_match,
            **({"attribute_aliases": self._aliases.groups} if self._aliases else {}),
            **({"budget": self.budget.rule.settings} if self.budget else {}),
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def build_policy_set(
    specs: Sequence[Mapping[str, Any]],
    *,
    randomness: RandomnessMode = "auto",
    hash_salt: str | None = None,
    sample_on_first_match: bool = False,
    on_error: str = "skip",
    registry: Registry | None = None,
    aliases: Aliases = NO_ALIASES,
    budget: BudgetRule | None = None,
) -> PolicySet:
    """The policy set of a list of specs as in a policy file; raises PolicyConfigError with the place inside the list.

    A spec is {name, type, <type>: {...}, on_error?: skip | keep}. `hash_salt` overrides those of the policies; else
    the first non-empty one of them, in list order, salts the R of all. `on_error` is the default of every policy.
    `registry` defaults to the installed policy types. `aliases` are further names of the attributes that conditions
    ask for; policies that read spans themselves see spans as they are. `budget` caps all that is kept together.
    """
    policies = build_list(specs, registry or installed(), on_error)
    salt, notes = _shared_salt(policies, hash_salt)
    notes.extend(
        f'policy "{part.context.path}": {note}' for top in policies for part in tree(top.policy) for note in part.notes
    )
    keeping = [top for top in policies if not top.policy.drops]
    if len(keeping) > 1:
        more = BUDGET_HELPS if budget is None else ""
        beside = ((top.name, note) for top in keeping for note in top.policy.notes_beside_others)
        notes.extend(f'policy "{name}": {note}{more if note == CAPS_NOTHING else ""}' for name, note in beside)
    try:
        source = Randomness(randomness, salt)
    except ValueError as error:
        raise PolicyConfigError((), str(error)) from error
    return PolicySet(
        policies, source, sample_on_first_match=sample_on_first_match, notes=notes, aliases=aliases, budget=budget
    )


def _shared_salt(policies: Sequence[TopPolicy], override: str | None) -> tuple[str, list[str]]:
    """(the salt of all, notes on policies that asked for another one)."""
    asking = [part for top in policies for part in tree(top.policy) if part.hash_salt]
    if override:
        others = [part for part in asking if part.hash_salt != override]
        return override, [
            f'policy "{part.context.path}": its hash_salt has no effect: all policies share one randomness, salted '
            f"with {override!r}"
            for part in others
        ]
    if not asking:
        return "", []
    first = asking[0]
    return first.hash_salt, [
        f'policy "{part.context.path}" has another hash_salt than policy "{first.context.path}": all policies share '
        f'one randomness, salted with that of "{first.context.path}"'
        for part in asking
        if part.hash_salt != first.hash_salt
    ]


def _remember(memory: dict[Hashable, _T], key: Hashable, value: _T) -> _T:
    """Keeps a value in a bounded memo; a full one starts anew."""
    if len(memory) >= _MAX_REMEMBERED:
        memory.clear()
    memory[key] = value
    return value


def _settled_before(top: TopPolicy, intents: Sequence[Intent]) -> bool:
    """Whether a policy earlier in the list keeps every R, so that reading spans could change nothing."""
    return not top.policy.drops and not top.limiters and ALWAYS in intents
