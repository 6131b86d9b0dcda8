"""Records whose tenant a Kafka header names: which are scanned together, and by which plan.

What a header says holds for all spans of its record. So a record of a tenant is scanned by a plan that is the one in
force but for that tenant's condition, which always holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from types import MappingProxyType
from typing import Final

from policies.header import HeaderTenants
from sampler.engine.gathering import Record
from sampler.otlp import ScanPlan, Summary, unpack_summary
from sampler.otlp.plan import TRUE, Program

NO_TENANTS: Final[Mapping[int, str]] = MappingProxyType({})
_BITS_BYTES = 32


def runs(
    plan: ScanPlan, by_header: HeaderTenants, records: list[Record], tenants: Mapping[int, str]
) -> Iterator[tuple[ScanPlan, list[Record]]]:
    """The records in their order, cut where the tenant changes, each run with its plan.

    `tenants` has the value of the header by offset, for records that have one.
    """
    bit_of = by_header.bit_of
    for bit, run in groupby(records, key=lambda record: bit_of.get(tenants.get(record[0], ""), -1)):
        yield plan if bit < 0 else given(plan, bit), list(run)


def given(plan: ScanPlan, condition: int) -> ScanPlan:
    """The plan under which a condition, one that is no leaf by itself, holds on every span; made once, kept on it."""
    key = f"given {condition}"
    made: ScanPlan | None = plan.native.get(key)
    if made is None:
        programs = tuple(
            Program(condition, of_event=False, code=(TRUE,)) if program.condition == condition else program
            for program in plan.programs
        )
        made = plan.native[key] = replace(plan, programs=programs, native={})
    return made


def without_bits(summary: Summary) -> Summary:
    """A summary of the same spans in which no condition holds."""
    return unpack_summary(summary.pack()[:-_BITS_BYTES] + bytes(_BITS_BYTES))
