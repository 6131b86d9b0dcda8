"""The contract of a sampling policy: this page is all its author has to know.

A policy is a small class with a config model. It looks at one trace and answers with the set of R (the trace's shared
randomness, 56 bits) for which it would keep it: `ALWAYS`, `NEVER`, a threshold T for [T, 2**56), or, for limiters, a
`Claim`. It never draws random numbers: all policies share R, which is what makes inclusion probabilities exact.

    class SlowQueries(Policy):
        '''Keep traces with a slow database call.'''

        type = "slow_queries"

        class Config(PolicyConfig):
            min_ms: int = 500

        config: Config

        def __init__(self, config: Config, context: Context) -> None:
            super().__init__(config, context)
            slow = SpanDurationInRange(low_ns=config.min_ms * 1_000_000)
            self.slow = AllOf((AttributeExists("db.system"), slow))
            self.conditions = (self.slow,)

        def evaluate(self, trace: TraceView) -> Intent:
            return ALWAYS if trace.matches(self.slow) else NEVER

        def describe(self) -> str:
            return f"a database call of at least {self.config.min_ms} ms"

It is found through the entry-point group `tailsampler.policies`, under the name that is its `type`, or in a file or
folder that a policy file names under `plugins:`; `tailsampler policies new NAME` writes one to begin with. Test it with
`policies.testing`, whose `PolicyConformance` checks the obligations below.

Obligations
* Pure: the answer depends on the config and the declared parts of the trace only. No clock, no I/O, no counters; one
  instance serves all partitions, answers are memoised, and after a crash the same traces are asked again.
* Cheap: `reads = Reads.CONDITIONS` costs next to nothing, because answers are remembered by the outcome of the declared
  conditions. `SUMMARY` runs for every trace. `SPANS` decodes every trace it is asked about and pays for it alone.
* Honest: a policy that reads what it has not declared raises `ContractError`.
* Content with what came: spans arrive in any order and some never do. A trace may have no root, no times, one span.
* Free to fail: a policy that raises casts no vote (`on_error: keep` makes it keep the trace), is counted under its
  name, and does not disturb the others. Errors of configuration belong in `Config` or `__init__`, as `ValueError`.
"""

from __future__ import annotations

import builtins
import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from policies.claims import Candidate, Settlement, Tick
from policies.conditions import Condition
from policies.intent import Claim, Intent
from policies.trace import TraceView


class Reads(enum.IntEnum):
    """What `evaluate` looks at; each includes those before it."""

    CONDITIONS = 0
    """`trace.matches` of the declared conditions, nothing else: answers are memoised."""
    SUMMARY = 1
    """Also the trace id and the numbers of the whole trace: runs once per trace."""
    SPANS = 2
    """Also `trace.spans`: the trace's payload is decoded for it."""


class PolicyConfig(BaseModel):
    """Base of config models: unknown keys and wrong types are errors, values never change.

    The text below a field says what it means, in the reference, in `tailsampler policies describe` and in editors.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class SubPolicy:
    """A policy inside a combinator; `name` may be empty there."""

    name: str
    policy: Policy


class Context(Protocol):
    """What a policy may ask while it is built."""

    @property
    def path(self) -> str:
        """Unique name of this policy in the set, e.g. "errors" or "outer/inner"; a limiter's state lives under it."""
        ...

    def children(self, field: str, specs: Sequence[Mapping[str, Any]]) -> tuple[SubPolicy, ...]:
        """Builds the sub-policies that the config field `field` lists; errors point into that field."""
        ...

    def child(self, field: str | tuple[str | int, ...], spec: Mapping[str, Any]) -> SubPolicy:
        """Builds the one sub-policy that the config field `field` holds; a tuple is the way to one deeper inside."""
        ...


class Policy(ABC):
    """One way to say which traces are worth keeping. See the page above for what it owes."""

    type: ClassVar[str]
    """Its name in policy files and in the entry-point group."""
    Config: ClassVar[builtins.type[BaseModel]] = PolicyConfig
    """Model of the block `<type>:` of its spec; a missing block is validated as an empty one."""
    example: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Settings that show its use, for `tailsampler policies describe`; without, they are made from `Config`."""
    drops: ClassVar[bool] = False
    """Its set is subtracted from what the others keep; allowed at the top level only, evaluated first."""

    reads: Reads = Reads.CONDITIONS
    conditions: tuple[Condition, ...] = ()
    """What `evaluate` asks by `trace.matches`; those of sub-policies need not be repeated."""
    subs: tuple[SubPolicy, ...] = ()
    """Sub-policies of a combinator, as the context built them."""
    hash_salt: str = ""
    """The salt of R it asks for; all policies of a set share one."""
    notes: tuple[str, ...] = ()
    """Things the operator should know, said once at load."""
    notes_beside_others: tuple[str, ...] = ()
    """Those that hold only where other policies of the list may keep traces too; for a policy of the list itself."""
    veto: Policy | None = None
    """What it drops besides what it keeps: a policy with `drops = True`, without limiters, that goes by the same name.
    It counts at the top level of the list only; anywhere else it is left out, and a note says so. `describe` of the
    policy speaks for both."""

    def __init__(self, config: Any, context: Context) -> None:
        """`config` is a valid `Config`; a ValueError raised here is reported at the policy's place in the file."""
        self.config = config
        self.context = context

    @abstractmethod
    def evaluate(self, trace: TraceView) -> Intent:
        """The set of R for which this policy keeps the trace, or an expression of claims (`policies.intent`)."""

    @abstractmethod
    def describe(self) -> str:
        """Half a sentence that says which traces it keeps, without its name."""

    def settings(self) -> Mapping[str, Any]:
        """What the set's content hash covers, JSON-able: equal settings must mean equal answers."""
        dumped: dict[str, Any] = self.config.model_dump(mode="json")
        return dumped


class Limiter(Policy):
    """A policy that grants tokens: asked twice, once per trace for the cost, once per tick to share out.

    `settle` is pure but for `state`, which it may change: a JSON-able dict, one per partition, stored with every
    decided tick, so that a replay settles the same. Time is `tick.ms`, milliseconds of stream time, never a clock.
    """

    reads = Reads.SUMMARY
    exchanges: ClassVar[bool] = False
    """Whether it uses `tick.exchange`: counts of all partitions are carried only where a limiter says so."""

    def rates(self) -> Mapping[str, float]:
        """For how many traces one that is kept stands at this time, by key, those of most traffic first.

        For people and metrics; nothing where keys have no rates of their own.
        """
        return {}

    @abstractmethod
    def cost(self, trace: TraceView) -> float:
        """Tokens that keeping this trace takes, finite and not negative."""

    @abstractmethod
    def initial_state(self) -> dict[str, Any]:
        """The state of a partition that has decided nothing yet."""

    @abstractmethod
    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Shares out the tokens of one tick; called when at least one trace of the tick claims.

        `candidates` may be empty, in any order. Settings speak of all partitions together, of which this one has
        `tick.share`; `policies.tokens.TokenBucket` does all that for a rate. Ticks come in rising order.
        """

    def evaluate(self, trace: TraceView) -> Intent:
        """Claims the cost; a combinator round it decides whether the claim counts."""
        return Claim(self.context.path, self.cost(trace))
