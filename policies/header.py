"""Tenants told by a header of the record that spans came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HeaderTenants:
    """Which span condition stands for which tenant; it holds for the spans of that tenant's records, and for no others.

    It is not to be scanned for: whoever reads the records says by `bit_of` that it holds.
    """

    name: str = ""
    """Of the header; empty where none is to be read."""
    bit_of: Mapping[str, int] = field(default_factory=dict)
    """The number of the condition that a value of the header makes true; other values make none true."""
    tenants: tuple[tuple[str, int], ...] = ()
    """Every tenant with the number of its condition."""


NO_HEADER = HeaderTenants()
