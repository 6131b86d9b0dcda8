"""The counts of a partition as others get them: a view, which grows with the counts until their interval ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import fsum

from policies.dynamic.counters import ALL, NOW, PAST, REST, Counts
from policies.dynamic.learning import Ledger


class Published(Mapping[str, tuple[float, ...]]):
    """(this interval, past) by key; under `ALL` that of all traffic, and the ledger."""

    def __init__(self, counts: Counts, ledger: Ledger, sound: Callable[[], bool], factor: float) -> None:
        """What was counted is told multiplied by `factor`, because the interval was seen in part only."""
        self._counts, self._ledger, self._sound, self._factor = counts, ledger, sound, factor

    def close(self, *, sound: bool) -> None:
        """The interval is over, and the counts have been made those of a whole one."""
        self._sound, self._factor = (lambda: sound), 1.0

    def __getitem__(self, key: str) -> tuple[float, ...]:
        if key == ALL:
            whole = self._counts.whole
            return whole[NOW] * self._factor, whole[PAST], *self._ledger.rolled(sound=self._sound()).past
        if key == REST:
            of_keys = [entry for _, entry in self._counts.known()]
            whole = self._counts.whole
            now, past = (max(0.0, whole[place] - fsum(entry[place] for entry in of_keys)) for place in (NOW, PAST))
            return now * self._factor, past
        entry = self._counts.entries[key]
        return entry[NOW] * self._factor, entry[PAST]

    def __iter__(self) -> Iterator[str]:
        yield ALL
        yield REST
        for key, _ in self._counts.known():
            yield key

    def __len__(self) -> int:
        return 2 + sum(1 for _ in self._counts.known())
