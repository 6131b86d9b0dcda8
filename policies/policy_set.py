"""A list of policies, ready to decide traces."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from policies.build import TopPolicy, build_list, normalised, tree
from policies.conditions import Condition, SpanCondition, TraceHasRoot, TraceInRange
from policies.contract import Reads
from policies.errors import PolicyConfigError
from policies.intent import Intent, claims
from policies.plan import Plan, Verdicts, key_function, make_plan
from policies.randomness import Randomness, RandomnessMode, RandomnessSource
from policies.registry import Registry, installed
from policies.rset import ALWAYS, NEVER
from policies.settle import Case, Settling
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

    def __init__(
        self,
        policies: Sequence[TopPolicy],
        randomness: Randomness,
        *,
        sample_on_first_match: bool = False,
        notes: Sequence[str] = (),
    ) -> None:
        """`policies` in list order; those that drop are moved to the front. See `build_policy_set`."""
        self._policies = tuple(sorted(policies, key=lambda top: not top.policy.drops))
        self.randomness = randomness
        self.sample_on_first_match = sample_on_first_match
        self.notes = tuple(notes)
        conditions = dict.fromkeys(c for top in self._policies for part in tree(top.policy) for c in part.conditions)
        trace_conditions = [c for c in conditions if isinstance(c, TraceInRange | TraceHasRoot)]
        self.span_conditions: tuple[SpanCondition, ...] = tuple(
            c for c in conditions if not isinstance(c, TraceInRange | TraceHasRoot)
        )
        self.needs_spans = any(top.reads is Reads.SPANS for top in self._policies)
        self.errors: Counter[str] = Counter()
        """How often each policy raised, by name."""
        self.last_errors: dict[str, str] = {}
        """The text of the latest error of each policy, by name."""
        self.content_hash = self._hash()
        self._bit_of: dict[Condition, int] = {condition: bit for bit, condition in enumerate(self.span_conditions)}
        self._key_of = key_function(trace_conditions)
        self._verdicts = Verdicts(self._policies)
        self._settling = Settling(self._policies, self._failed, sample_on_first_match=sample_on_first_match)
        self._only_conditions = all(top.reads is Reads.CONDITIONS and not top.limiters for top in self._policies)
        self._plans: dict[Hashable, Plan] = {}
        self._answers: dict[Hashable, list[Intent]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the policies in order of evaluation: drop policies first, else as in the list."""
        return tuple(top.name for top in self._policies)

    def randomness_of(self, trace_id: bytes, summary: Summary) -> tuple[int, RandomnessSource]:
        """(R, where it came from) of a trace."""
        return self.randomness.of(trace_id, summary.rv, summary.has_threshold)

    def initial_state(self) -> dict[str, Any]:
        """The limiters' state of a partition that has decided nothing yet: JSON-able, by limiter path."""
        return {limiter.context.path: limiter.initial_state() for top in self._policies for limiter in top.limiters}

    def decide(self, tick_ms: int, traces: Sequence[TraceInput], state: dict[str, Any]) -> list[Verdict]:
        """Verdicts on all traces that are due in one tick of one partition, in their order.

        `tick_ms` is the tick in milliseconds of stream time; `state` is that of the partition and is changed in
        place (missing limiters start afresh). The same traces, tick and state give the same verdicts and state. A
        loader that fails raises through; nothing else does.
        """
        if self._only_conditions:
            return self._decide_by_plan(traces)
        cases = [self._ask(trace_id, summary, load) for trace_id, summary, load in traces]
        self._settling.run(tick_ms, cases, state)
        conclude = self._verdicts.conclude
        return [conclude(case.intents, case.randomness, case.source, case.settled) for case in cases]

    def describe(self) -> str:
        """The policies, one a line, in order of evaluation."""
        return "\n".join(f"{top.name} ({top.policy.type}): {top.policy.describe()}" for top in self._policies)

    def _decide_by_plan(self, traces: Sequence[TraceInput]) -> list[Verdict]:
        """The fast path, where every answer follows from conditions and R."""
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
                    continue
                plan = _remember(plans, key, make_plan(intents, self._verdicts))
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
        failures = self.errors.total()
        loader = Loader(load) if self.needs_spans else None
        view = TraceView(trace_id, summary, self._bit_of, no_spans)
        spans_view = TraceView(trace_id, summary, self._bit_of, loader) if loader else view
        intents: list[Intent] = []
        for index, top in enumerate(self._policies):
            if remembered is not None and top.reads is Reads.CONDITIONS:
                intents.append(remembered[index])
            elif top.reads is Reads.SPANS:
                intents.append(NEVER if _settled_before(top, intents) else self._evaluate(top, spans_view, loader))
            else:
                intents.append(self._evaluate(top, view, None))
        if remembered is None and self.errors.total() == failures:
            _remember(self._answers, key, list(intents))
        randomness, source = self.randomness_of(trace_id, summary)
        return Case(randomness, source, intents)

    def _evaluate(self, top: TopPolicy, view: TraceView, loader: Loader | None) -> Intent:
        """One policy's answer; one that raises casts no vote, or keeps the trace by its `on_error`."""
        if top.reads is Reads.CONDITIONS:
            view = ConditionsView(view, top.conditions)
        try:
            intent = top.policy.evaluate(view)
            _check(top, intent)
        except Exception as error:
            if loader is not None and loader.failure is not None:
                raise loader.failure from None
            self._failed(top, error)
            return ALWAYS if top.keep_on_error else NEVER
        return intent

    def _failed(self, top: TopPolicy, error: Exception) -> None:
        self.errors[top.name] += 1
        self.last_errors[top.name] = f"{type(error).__name__}: {error}"

    def _hash(self) -> str:
        settings = {
            "policies": [
                {**normalised(top.name, top.policy), "keep_on_error": top.keep_on_error} for top in self._policies
            ],
            "randomness": self.randomness.mode,
            "hash_salt": self.randomness.salt,
            "sample_on_first_match": self.sample_on_first_match,
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
) -> PolicySet:
    """The policy set of a list of specs as in a policy file; raises PolicyConfigError with the place inside the list.

    A spec is {name, type, <type>: {...}, on_error?: skip | keep}. `hash_salt` overrides those of the policies; else
    the first non-empty one of them, in list order, salts the R of all. `on_error` is the default of every policy.
    `registry` defaults to the installed policy types.
    """
    policies = build_list(specs, registry or installed(), on_error)
    salt, notes = _shared_salt(policies, hash_salt)
    notes.extend(
        f'policy "{part.context.path}": {note}' for top in policies for part in tree(top.policy) for note in part.notes
    )
    try:
        source = Randomness(randomness, salt)
    except ValueError as error:
        raise PolicyConfigError((), str(error)) from error
    return PolicySet(policies, source, sample_on_first_match=sample_on_first_match, notes=notes)


def _shared_salt(policies: Sequence[TopPolicy], override: str | None) -> tuple[str, list[str]]:
    """(the salt of all, notes on policies that asked for another one)."""
    asking = [part for top in policies for part in tree(top.policy) if part.hash_salt]
    if override:
        others = [part for part in asking if part.hash_salt != override]
        return override, [
            f'policy "{part.context.path}": its hash_salt is overridden by that of the tail_sampling block'
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


def _check(top: TopPolicy, intent: Intent) -> None:
    """Refuses claims of limiters that the tree of the policy does not hold: nobody would settle them."""
    if isinstance(intent, int):
        return
    known = {limiter.context.path for limiter in top.limiters}
    for claim in claims(intent):
        if claim.path not in known:
            raise ValueError(f"claims tokens of {claim.path!r}, which is no limiter of this policy")
        if not 0 <= claim.cost < float("inf"):
            raise ValueError(f"the cost {claim.cost} of a claim is not a finite number of at least 0")
