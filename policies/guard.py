"""What stands between a policy that misbehaves and the worker: its answers are checked, its time is limited.

Answers of every policy are checked. Time is measured only of those that are no part of tailsampler, and only where the
owner of the set gives a clock. Together they may take `SHARE` of the time that passes, each an equal part of it, and
save up `SAVED_S` seconds; one that has used up its part is not asked until it has some again, and counts as failed. So
a worker goes on, whatever a plugin costs: of T seconds at least (1 - SHARE) * T - SAVED_S are left for its work, less
the last call. What never returns cannot be stopped.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

from policies.build import TopPolicy, tree
from policies.claims import Candidate, Settlement, Tick
from policies.contract import Limiter
from policies.intent import Claim, Complement, FirstMatch, FirstOf, Intent, Intersection
from policies.rset import SPACE, RSet
from policies.state import check_state
from policies.trace import TraceView
from policies.views import Loader

SHARE = 0.5
SAVED_S = 1.0
MAX_INTERVALS = 256
"""A verdict is written with every decision, with all its intervals."""
MAX_NAMES = 200
"""The names a policy gives as the decider are labels of metrics."""
MAX_NAME_CHARACTERS = 200

_SHIPPED = "policies.builtin."


class TooSlowError(RuntimeError):
    """A policy was not asked, because it has used up its share of the time."""


class Guard:
    """Asks one policy of a list, and keeps account of what it answers and takes."""

    __slots__ = (
        "_allowance_s",
        "_asked",
        "_at_s",
        "_clock_s",
        "_files",
        "_known",
        "_names",
        "_part",
        "_top",
        "seconds",
        "shipped",
    )

    def __init__(self, top: TopPolicy) -> None:
        self._top = top
        self._known = frozenset(limiter.context.path for limiter in top.limiters)
        classes = {type(part) for part in tree(top.policy)}
        self.shipped = all(each.__module__.startswith(_SHIPPED) for each in classes)
        """Whether all of it is part of tailsampler."""
        self._files = _files_of(classes)
        self._names: set[str] = set()
        self._clock_s: Callable[[], float] | None = None
        self._part = 1.0
        self._allowance_s = 0.0
        self._at_s = 0.0
        self._asked = 0
        self.seconds = 0.0
        """Time it has taken, where it is measured."""

    def limit(self, clock_s: Callable[[], float], part: float) -> None:
        """From now on it may take `part` of what all policies that are no part of tailsampler may take."""
        self._clock_s = clock_s
        self._part = part
        self._allowance_s = SAVED_S * part
        self._at_s = clock_s()

    def evaluate(self, view: TraceView, loader: Loader | None) -> Intent:
        """The policy's answer; raises what it raises, TooSlowError, and ValueError or TypeError for nonsense."""
        if self._clock_s is None:
            return self.checked(self._top.policy.evaluate(view))
        began_s, loading_s = self._begin(self._clock_s), loader.seconds if loader else 0.0
        try:
            return self.checked(self._top.policy.evaluate(view))
        finally:
            self._end(self._clock_s() - began_s - (loader.seconds - loading_s if loader else 0.0))

    def settle(
        self, limiter: Limiter, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]
    ) -> Settlement:
        """A limiter's settlement, with its state checked; raises as `evaluate` does."""
        if self._clock_s is None:
            settlement = limiter.settle(tick, candidates, state)
        else:
            began_s = self._begin(self._clock_s)
            try:
                settlement = limiter.settle(tick, candidates, state)
            finally:
                self._end(self._clock_s() - began_s)
        if not self.shipped:
            check_state(state)
        return settlement

    def checked(self, intent: Intent) -> Intent:
        """The intent, where the policy may give it."""
        if type(intent) is int and 0 <= intent <= SPACE:
            return intent
        _check(intent, self._known)
        if not self.shipped:
            self._names.update(_names_in(intent))
            if len(self._names) > MAX_NAMES:
                self._names.clear()
                raise ValueError(f"names more than {MAX_NAMES} deciders: a name stands for a rule, not for a trace")
        return intent

    def culprit(self, error: BaseException) -> str:
        """The error in one line, with the place in the policy's own code where it has one."""
        text = f"{type(error).__name__}: {error}"
        place, step = "", error.__traceback__
        while step is not None:
            path = step.tb_frame.f_code.co_filename
            if path in self._files:
                place = f" ({path}:{step.tb_lineno})"
            step = step.tb_next
        return f"{' '.join(text.split())[:500]}{place}"

    def _begin(self, clock_s: Callable[[], float]) -> float:
        now_s = clock_s()
        self._allowance_s = min(SAVED_S * self._part, self._allowance_s + SHARE * self._part * (now_s - self._at_s))
        self._at_s = now_s
        if self._allowance_s <= 0:
            raise TooSlowError(
                f"too slow: it takes {1000 * self.seconds / self._asked:.3g} ms each time it is asked, "
                "and has used up its share of the worker's time"
            )
        return now_s

    def _end(self, spent_s: float) -> None:
        self._asked += 1
        self.seconds += spent_s
        self._allowance_s -= spent_s


def share_out(guards: Collection[Guard], clock_s: Callable[[], float]) -> None:
    """Limit the time of all policies that are no part of tailsampler; `clock_s` gives monotonic seconds."""
    foreign = [guard for guard in guards if not guard.shipped]
    for guard in foreign:
        guard.limit(clock_s, 1 / len(foreign))


def checked_set(keep: RSet) -> RSet:
    """A set of R, where it is one; else ValueError or TypeError that says what it is."""
    if type(keep) is int:
        if not 0 <= keep <= SPACE:
            raise ValueError(f"the threshold {keep} lies outside of 0 (ALWAYS) to 2**56 (NEVER)")
        return keep
    if type(keep) is not tuple:
        hint = ": a policy answers with a set of R, such as ALWAYS, NEVER or policies.rset.from_percentage(10)"
        raise TypeError(f"answered {reprlib.repr(keep)} of type {type(keep).__name__}{hint}")
    if len(keep) > MAX_INTERVALS:
        raise ValueError(f"answered with {len(keep)} intervals, more than {MAX_INTERVALS}")
    before = -1
    for pair in keep:
        if not (type(pair) is tuple and len(pair) == 2 and type(pair[0]) is int and type(pair[1]) is int):
            raise TypeError(f"answered {reprlib.repr(keep)}: intervals are pairs of whole numbers")
        if not before < pair[0] < pair[1] <= SPACE:
            raise ValueError(f"answered {reprlib.repr(keep)}: build intervals with policies.rset.from_intervals")
        before = pair[1]
    if not keep or (len(keep) == 1 and before == SPACE):
        raise ValueError(f"answered {reprlib.repr(keep)}: build intervals with policies.rset.from_intervals")
    return keep


def _check(intent: object, known: Collection[str]) -> None:
    """Raises where an intent could not be settled or written."""
    match intent:
        case Claim():
            _check_claim(intent, known)
        case Intersection(terms):
            for term in _tuple(terms):
                _check(term, known)
        case Complement(term):
            _check(term, known)
        case FirstOf(terms):
            for name, term in _tuple(terms):
                _check_name(name)
                _check(term, known)
        case FirstMatch(rules):
            for name, condition, answer in _tuple(rules):
                _check_name(name)
                _check(condition, known)
                _check(answer, known)
        case _:
            checked_set(intent)  # type: ignore[arg-type]  # what it is, is the question


def _check_claim(claim: Claim, known: Collection[str]) -> None:
    """A claim of a limiter that the tree of the policy does not hold would be settled by nobody."""
    if claim.path not in known:
        raise ValueError(f"claims tokens of {claim.path!r}, which is no limiter of this policy")
    cost: object = claim.cost
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not isfinite(cost) or cost < 0:
        raise ValueError(f"the cost {reprlib.repr(cost)} of a claim is not a finite number of at least 0")
    if type(claim.key) is not str:
        raise TypeError(f"the key {reprlib.repr(claim.key)} of a claim is no text")


def _check_name(name: object) -> None:
    if type(name) is not str or len(name) > MAX_NAME_CHARACTERS:
        raise TypeError(
            f"the name {reprlib.repr(name)} of a decider is no text of at most {MAX_NAME_CHARACTERS} characters"
        )


def _tuple(parts: object) -> tuple[Any, ...]:
    if type(parts) is not tuple:
        raise TypeError(f"an intent holds {reprlib.repr(parts)} where a tuple belongs: build it with policies.intent")
    return parts


def _names_in(intent: Intent) -> Iterator[str]:
    match intent:
        case Intersection(terms):
            for term in terms:
                yield from _names_in(term)
        case Complement(term):
            yield from _names_in(term)
        case FirstOf(named):
            for name, term in named:
                yield name
                yield from _names_in(term)
        case FirstMatch(rules):
            for name, condition, answer in rules:
                yield name
                yield from _names_in(condition)
                yield from _names_in(answer)


def _files_of(classes: Iterable[type]) -> frozenset[str]:
    """The source files of policies and of what they inherit, the kernel's left out."""
    modules = {base.__module__ for each in classes for base in each.__mro__}
    foreign = (sys.modules.get(module) for module in modules if not module.startswith("policies."))
    return frozenset(str(getattr(module, "__file__", "")) for module in foreign)
