"""The decision on a trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from policies.randomness import RandomnessSource
from policies.rset import SPACE, RSet, measure, threshold

Decision: TypeAlias = Literal["sampled", "not_sampled", "dropped"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided on a trace, and with which probability it would have been kept.

    `keep` is the set of R of the whole policy tree, claims settled. `policy` is the path of the deciding policy: the
    first in list order that keeps R; the drop policy of a dropped trace; None where nothing decided. `reason` is
    "policy", or why a decision came without policies (the engine's "too_large" and the like) or a second time. A trace
    that is sampled though `keep` is empty was kept beside the sample: it stands for nothing. `salt` is that of the
    hash, empty for the default one: spans that come after a reload are marked by the randomness that decided.
    `tenant` is the one whose policies decided, empty for the default ones, and `output` names where its kept traces
    go, empty for where all go.
    """

    decision: Decision
    keep: RSet
    policy: str | None
    source: RandomnessSource
    reason: str = "policy"
    salt: str = ""
    tenant: str = ""
    output: str = ""

    @property
    def decider(self) -> str | None:
        """The deciding policy, by a name that is unique among those of all tenants."""
        return f"{self.tenant}/{self.policy}" if self.tenant and self.policy is not None else self.policy

    @property
    def sampled(self) -> bool:
        """Whether the trace is kept."""
        return self.decision == "sampled"

    @property
    def threshold(self) -> int | None:
        """T where `keep` is [T, 2**56); None where it is not one upper interval."""
        return threshold(self.keep)

    @property
    def probability(self) -> float:
        """The inclusion probability: measure of `keep` / 2**56."""
        return measure(self.keep) / SPACE
