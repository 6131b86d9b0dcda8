"""After a reload: undecided traces were scanned for the conditions of another policy set than decides them.

Their summaries are made anew from their payload, each when it is decided and not before: the reload itself takes no
time however many traces are pending, and a trace is read again at most once however many reloads it waits through.
Until then a summary mixes the bits of several plans. Its other fields, which the limits look at, follow from the spans
alone and are right throughout.

The tenant that a header named is not in the payload. Where a header names tenants, the reload does look at every
pending trace: it notes the tenants, by name, and clears the bits, so that those that come later can be told apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from policies.header import NO_HEADER, HeaderTenants
from sampler.engine.entry import TraceEntry
from sampler.engine.tenant_runs import without_bits
from sampler.engine.trace_table import TraceTable
from sampler.otlp import Scanner, ScanPlan


class Rescan:
    """Knows which traces of one partition have bits of a plan that is no longer in force.

    Offsets of new traces only grow, so it is those that begin below the offset at which the plan changed.
    """

    def __init__(self, scanner: Scanner, table: TraceTable) -> None:
        self._scan = scanner.scan
        self._table = table
        self._plan: ScanPlan | None = None
        self._below = 0
        self._by_header = NO_HEADER
        self._tenants: dict[bytes, frozenset[str]] = {}

    def use_plan(
        self, plan: ScanPlan, next_offset: int, before: HeaderTenants = NO_HEADER, after: HeaderTenants = NO_HEADER
    ) -> None:
        """Another plan is in force for records from `next_offset` on, and for all decisions.

        A tenant named by a header goes on under its name, where the policies `after` know it.
        """
        self._plan, self._below, self._by_header = plan, next_offset, after
        if before.name or after.name:
            for entry in self._table.by_age():
                self._note_tenants(entry, before)

    def renew(self, entries: Iterable[TraceEntry]) -> int:
        """Make the summaries of these traces those of the plan in force; returns how many were scanned again.

        Their payload must still be there.
        """
        if self._plan is None:
            return 0
        stale = [entry for entry in entries if entry.first_offset < self._below]
        for entry in stale:
            self._scan_again(entry, self._plan)
        self._end_when_done()
        return len(stale)

    def _scan_again(self, entry: TraceEntry, plan: ScanPlan) -> None:
        summary: Any = None
        for chunk in self._table.read(entry):
            for _, _, part in self._scan(plan, chunk)[0]:
                if summary is None:
                    summary = part
                else:
                    summary.merge(part)
        # A chunk holds at least one span, so there is always a summary.
        if self._by_header.name:
            summary.merge(type(summary)(bits=self._header_bits(entry)))
        entry.summary = summary

    def _note_tenants(self, entry: TraceEntry, before: HeaderTenants) -> None:
        found = frozenset(name for name, bit in before.tenants if entry.summary.bits >> bit & 1)
        if found:
            self._tenants[entry.trace_id] = found | self._tenants.get(entry.trace_id, frozenset())
        entry.summary = without_bits(entry.summary)

    def _header_bits(self, entry: TraceEntry) -> int:
        """The tenants that headers named before and after the reload, as bits of the plan in force."""
        noted = self._tenants.pop(entry.trace_id, frozenset())
        named = sum(1 << bit for name, bit in self._by_header.tenants if name in noted)
        select = sum(1 << bit for _, bit in self._by_header.tenants)
        bits: int = entry.summary.bits & select
        return named | bits

    def _end_when_done(self) -> None:
        """Stop looking when every undecided trace began under the plan in force.

        The oldest may be among those about to be decided; then it is noticed with the next ones.
        """
        oldest = self._table.oldest()
        if oldest is None or oldest.first_offset >= self._below:
            self._plan = None
            self._tenants.clear()
