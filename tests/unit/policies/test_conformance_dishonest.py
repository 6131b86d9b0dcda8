"""Every obligation of a policy has a check in the suite that fails for a policy which breaks just that one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from policies import (
    ALWAYS,
    NEVER,
    Candidate,
    Intent,
    Policy,
    PolicyConfigError,
    Reads,
    Settlement,
    Tick,
    TraceView,
)
from policies.state import state_key
from policies.testing import PolicyConformance
from tests.unit.policies.sample_policies import TokenBucket

BUCKET = {"rate": 3.0, "burst": 40.0}
COUNTER = itertools.count()


class Base(Policy):
    """Honest; keeps everything."""

    type = "dishonest"
    reads = Reads.SPANS

    def evaluate(self, trace: TraceView) -> Intent:
        """Everything."""
        return ALWAYS

    def describe(self) -> str:
        """Says what it keeps."""
        return "everything"


class TwoLines(Base):
    """Describes itself in two lines."""

    def describe(self) -> str:
        """Too long."""
        return "this\nand that"


class Chatty(Base):
    """Describes itself differently from what the list can show."""

    calls = 0

    def describe(self) -> str:
        """One line while it is loaded, two later."""
        self.calls += 1
        return "this" if self.calls == 1 else "this\nand that"


class Stumbling(Base):
    """Takes for granted that there is a span."""

    def evaluate(self, trace: TraceView) -> Intent:
        """Fails without spans."""
        return ALWAYS if trace.spans[0].scope_spans else NEVER


class Babbling(Base):
    """Answers yes instead of a set of R."""

    def evaluate(self, trace: TraceView) -> Intent:
        """No set of R."""
        return trace.span_count > 1


class Greedy(Base):
    """Reads the summary and says that it reads conditions."""

    reads = Reads.CONDITIONS

    def evaluate(self, trace: TraceView) -> Intent:
        """Reads the summary."""
        return ALWAYS if trace.summary.has_error else NEVER


class Counting(Base):
    """Keeps every third trace that it is asked about."""

    asked = 0

    def evaluate(self, trace: TraceView) -> Intent:
        """By a counter."""
        self.asked += 1
        return NEVER if self.asked % 3 else ALWAYS


class Individual(Base):
    """Two instances with the same config answer differently."""

    def __init__(self, config: Any, context: Any) -> None:
        super().__init__(config, context)
        self.number = next(COUNTER)

    def evaluate(self, trace: TraceView) -> Intent:
        """By the instance."""
        return ALWAYS if self.number % 2 else NEVER


class FirstSpan(Base):
    """Looks at the span that came first."""

    def evaluate(self, trace: TraceView) -> Intent:
        """By the first span."""
        names = [span.name for unit in trace.spans for scope in unit.scope_spans for span in scope.spans]
        return ALWAYS if names and names[0] == "GET 1" else NEVER


class Parts(Base):
    """Looks at how the spans were packed."""

    def evaluate(self, trace: TraceView) -> Intent:
        """By the number of messages."""
        return ALWAYS if len(trace.spans) > 1 else NEVER


class Restless(Base):
    """Its settings are others each time."""

    def settings(self) -> Mapping[str, Any]:
        """Not those of the config."""
        return {"number": next(COUNTER)}


class Unwritable(TokenBucket):
    """Its state turns into what JSON cannot hold when it settles."""

    type = "dishonest"

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Puts a tuple into the state."""
        state["seen"] = (tick.ms,)
        return super().settle(tick, candidates, state)


class Secretive(TokenBucket):
    """Keeps a part of its state in the instance, where a restart loses it."""

    type = "dishonest"
    spent: ClassVar[float] = 0.0

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Knows the last tick by itself."""
        state["at_ms"] = getattr(self, "last_ms", None)
        self.last_ms = tick.ms
        state["tokens"] = 1.0 if state["at_ms"] is None else 1e9
        return super().settle(tick, candidates, state)


class Impatient(TokenBucket):
    """Fails where nobody takes part."""

    type = "dishonest"

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Divides by the number of candidates."""
        state["mean"] = sum(candidate.cost for candidate in candidates) / len(candidates)
        return super().settle(tick, candidates, state)


class Sharing(TokenBucket):
    """Tells the other partitions what it has seen, and hears of them."""

    type = "dishonest"
    exchanges = True
    published: ClassVar[Mapping[str, Any]] = {"": (1.0,)}

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Publishes the same in every interval."""
        if tick.exchange is not None:
            key, interval = state_key(self), tick.ms // 5000
            state["partitions"] = tick.exchange.sums(key, interval - 2).partitions
            tick.exchange.publish(self.name_of(key), interval, 5000, self.published)
        return super().settle(tick, candidates, state)

    def name_of(self, key: str) -> str:
        """The key that it publishes under."""
        return key


class Misnamed(Sharing):
    """Publishes where nobody looks for it."""

    def name_of(self, key: str) -> str:
        """A name of its own."""
        return "mine"


class Wordy(Sharing):
    """Publishes words."""

    published: ClassVar[Mapping[str, Any]] = {"": ("many",)}


class Trusting(Sharing):
    """Takes the counts of the tier for granted."""

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Looks for a key that nobody has."""
        if tick.exchange is not None:
            state["seen"] = tick.exchange.sums(state_key(self), 0).counts["mine"][0]
        return super().settle(tick, candidates, state)


SAYS = "test_says_in_one_line_what_it_keeps"
FAILS = "test_never_fails_and_reads_only_what_it_declares"
AGAIN = "test_gives_the_same_answer_in_any_order_and_again"
SPANS = "test_gives_the_same_answer_for_spans_in_any_order"
STATE = "test_state_survives_being_stored"
EMPTY = "test_settles_without_candidates"
SHARES = "test_takes_part_in_the_exchange_of_the_tier"
SETTINGS = "test_equal_configs_have_equal_hashes"
CHECKS = (SAYS, FAILS, AGAIN, SPANS, STATE, EMPTY, SHARES, SETTINGS)


@pytest.mark.parametrize(
    ("policy", "check", "message"),
    [
        (TwoLines, SAYS, "must be one line"),
        (Chatty, SAYS, "must be one line"),
        (Stumbling, FAILS, "IndexError"),
        (Babbling, FAILS, "answered True of type bool"),
        (Greedy, FAILS, r"declare `reads = Reads\.SUMMARY`"),
        (Counting, AGAIN, "trace 0 is decided differently asked again"),
        (Individual, AGAIN, "another instance"),
        (FirstSpan, SPANS, "its spans one by one, the last first,"),
        (Parts, SPANS, "its spans one by one"),
        (Unwritable, STATE, "not the same after it was stored"),
        (Secretive, STATE, None),
        (Impatient, EMPTY, "division by zero"),
        (Misnamed, SHARES, "under other keys than its own"),
        (Wordy, SHARES, "something else than lists of finite numbers"),
        (Trusting, SHARES, "KeyError"),
        (Restless, SETTINGS, None),
    ],
)
def test_a_broken_obligation_is_found(policy: type[Policy], check: str, message: str | None) -> None:
    """The check of an obligation fails for a policy that breaks it, and says what is wrong."""
    config = BUCKET if issubclass(policy, TokenBucket) else {}
    suite = type("Broken", (PolicyConformance,), {"policy": policy, "configs": (config,)})()
    with pytest.raises((AssertionError, PolicyConfigError, ArithmeticError), match=message):
        getattr(suite, check)()


@pytest.mark.parametrize("check", CHECKS)
def test_an_honest_policy_passes_all_checks(check: str) -> None:
    """What the dishonest ones are made of passes."""
    for policy, config in ((Base, {}), (TokenBucket, BUCKET), (Sharing, BUCKET)):
        getattr(type("Sound", (PolicyConformance,), {"policy": policy, "configs": (config,)})(), check)()


def test_the_list_of_checks_is_complete() -> None:
    """No check of the suite is without a policy that fails it."""
    assert {name for name in vars(PolicyConformance) if name.startswith("test_")} == set(CHECKS)
