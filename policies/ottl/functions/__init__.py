"""All converters of OTTL conditions, by name."""

from __future__ import annotations

from policies.ottl.functions import (
    formats,
    hashes,
    lists,
    network,
    parsing,
    printf,
    strings,
    tables,
    times,
    types,
    urls,
)
from policies.ottl.functions.base import CONVERTERS, UNKNOWN, Converter, Param
from policies.ottl.functions.left_out import LEFT_OUT

__all__ = ["CONVERTERS", "LEFT_OUT", "UNKNOWN", "Converter", "Param"]

_MODULES = (formats, hashes, lists, network, parsing, printf, strings, tables, times, types, urls)
assert all(module.__name__.startswith(__name__) for module in _MODULES)
