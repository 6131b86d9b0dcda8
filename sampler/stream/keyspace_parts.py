"""Reports that came in several records, put together."""

from __future__ import annotations

from typing import TypeAlias

from policies.exchange import Counts
from policies.tier_counts import Report
from sampler.stream.keyspace_codec import CountsPart

Whole: TypeAlias = tuple[str, int, int]
"""Who wrote a report, its interval, and in how many parts."""

MAX_UNFINISHED = 1024
"""Reports of which parts are missing; beyond them the oldest are given up."""


class Parts:
    """Gathers the parts of reports. A newer report in the same place of the topic ends one that is not whole yet."""

    def __init__(self) -> None:
        self._unfinished: dict[tuple[str, int, int], tuple[Whole, dict[int, Counts]]] = {}

    def add(self, record: CountsPart) -> Report | None:
        """The report, when this was the last part of it that was missing."""
        if record.parts == 1:
            return record.report
        place = (record.report.policy, record.partition, record.slot)
        whole = (record.by, record.report.interval, record.parts)
        before = self._unfinished.pop(place, None)
        found = before[1] if before is not None and before[0] == whole else {}
        found[record.part] = record.report.counts
        if len(found) < record.parts:
            self._unfinished[place] = (whole, found)
            if len(self._unfinished) > MAX_UNFINISHED:
                del self._unfinished[next(iter(self._unfinished))]
            return None
        counts = {key: values for part in sorted(found) for key, values in found[part].items()}
        return Report(record.report.policy, record.report.interval, record.report.interval_ms, counts)
