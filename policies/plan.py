"""What a tick of traces is worth remembering: answers by the outcome of conditions, verdicts by R.

Policies that read conditions only answer the same for all traces whose conditions came out the same. For such an
outcome the line of all R falls into a few segments with one verdict each, so a decision is a look-up and a bisection.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from policies.build import TopPolicy
from policies.conditions import TraceCondition, TraceHasRoot, TraceInRange
from policies.intent import NOTHING_SETTLED, Intent, Settled, chosen, edges, keep_set
from policies.randomness import DEFAULT_SALT, RandomnessSource
from policies.rset import ALWAYS, NEVER, SPACE, RSet, contains, difference, union
from policies.trace import Summary
from policies.verdict import Decision, Verdict

_NS_PER_MS = 1_000_000
_MAX_INTERNED = 1 << 16


class Verdicts:
    """Concludes from the answers of all policies; equal verdicts are one object, because millions are held."""

    def __init__(
        self, policies: Sequence[TopPolicy], salt: str = DEFAULT_SALT, tenant: str = "", output: str = ""
    ) -> None:
        """`policies` in order of evaluation: those that drop come first. `salt` is that of their randomness.

        `tenant` and `output` are written on every verdict.
        """
        self._salt = "" if salt == DEFAULT_SALT else salt
        self._tenant, self._output = tenant, output
        self._names = tuple(top.name for top in policies)
        self._drops = sum(top.policy.drops for top in policies)
        self._interned: dict[tuple[Decision, RSet, str | None, RandomnessSource], Verdict] = {}

    def conclude(
        self, intents: Sequence[Intent], randomness: int, source: RandomnessSource, settled: Settled = NOTHING_SETTLED
    ) -> Verdict:
        """The verdict on one trace: (union of what the policies keep) minus (union of what drop policies drop)."""
        sets = [keep_set(intent, settled) for intent in intents]
        keep: RSet = NEVER
        for kept in sets[self._drops :]:
            keep = union(keep, kept)
        for dropped in sets[: self._drops]:
            keep = difference(keep, dropped)
        for index, decided in enumerate(sets):
            if contains(decided, randomness):
                decision: Decision = "dropped" if index < self._drops else "sampled"
                below = chosen(intents[index], randomness, settled)
                policy = self._names[index] if below is None else f"{self._names[index]}/{below}"
                return self._intern(decision, keep, policy, source)
        return self._intern("not_sampled", keep, None, source)

    def _intern(self, decision: Decision, keep: RSet, policy: str | None, source: RandomnessSource) -> Verdict:
        key = (decision, keep, policy, source)
        verdict = self._interned.get(key)
        if verdict is None:
            if len(self._interned) >= _MAX_INTERNED:
                self._interned.clear()
            verdict = self._interned[key] = Verdict(
                decision, keep, policy, source, salt=self._salt, tenant=self._tenant, output=self._output
            )
        return verdict


@dataclass(frozen=True, slots=True)
class Plan:
    """Verdicts of all traces whose conditions came out the same: segment i of R begins at `edges[i - 1]`."""

    edges: tuple[int, ...]
    rows: dict[RandomnessSource, tuple[Verdict, ...]]
    intents: Sequence[Intent]


def make_plan(intents: Sequence[Intent], verdicts: Verdicts) -> Plan:
    """The plan of settled intents; neighbouring segments with the same verdict are one."""
    cuts = sorted({edge for intent in intents for edge in edges(intent) if ALWAYS < edge < SPACE})
    starts: list[int] = []
    for low in (0, *cuts):
        here = verdicts.conclude(intents, low, RandomnessSource.HASH)
        if not starts or here != verdicts.conclude(intents, starts[-1], RandomnessSource.HASH):
            starts.append(low)
    rows = {source: tuple(verdicts.conclude(intents, low, source) for low in starts) for source in RandomnessSource}
    return Plan(tuple(starts[1:]), rows, tuple(intents))


def key_function(conditions: Iterable[TraceCondition], bits: int | None = None) -> Callable[[Summary], Hashable]:
    """A function that gives equal keys to summaries for which all declared conditions have equal answers.

    Of a number only the place between the bounds that occur is kept, so that there are few keys. `bits` has a bit for
    each span condition that counts; without, all of a summary count.
    """
    mask = -1 if bits is None else bits
    conditions = list(conditions)
    durations = _cuts(conditions, "duration_ms", _NS_PER_MS)
    spans = _cuts(conditions, "span_count")
    sizes = _cuts(conditions, "size_bytes")
    root = any(isinstance(condition, TraceHasRoot) for condition in conditions)
    if not conditions:
        return attrgetter("bits") if bits is None else lambda summary: summary.bits & mask

    def duration_class(summary: Summary) -> int:
        start, end = summary.start_unix_nano, summary.end_unix_nano
        return bisect_right(durations, end - start if start and end > start else 0)

    def key_of_duration(summary: Summary) -> Hashable:
        start, end = summary.start_unix_nano, summary.end_unix_nano
        return summary.bits & mask, bisect_right(durations, end - start if start and end > start else 0)

    def key_of_all(summary: Summary) -> Hashable:
        return (
            summary.bits & mask,
            duration_class(summary),
            bisect_right(spans, summary.span_count),
            bisect_right(sizes, summary.size_bytes),
            root and summary.has_root,
        )

    return key_of_all if spans or sizes or root else key_of_duration


def _cuts(conditions: Iterable[TraceCondition], what: str, unit: int = 1) -> list[int]:
    """Every number at which the answer of a condition on `what` changes, sorted."""
    bounds = (c for c in conditions if isinstance(c, TraceInRange) and c.what == what)
    return sorted({edge * unit for c in bounds for edge in (c.low, c.high + 1)})
