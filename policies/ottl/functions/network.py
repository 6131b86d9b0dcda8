"""Converters of addresses."""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import UNKNOWN, many, prepared
from policies.ottl.getters import STRING

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_CIDR = re.compile(r"([0-9a-fA-F.:]+)/0*([0-9]{1,3})")


@prepared(lazy=True, target=STRING, networks=many(STRING))
def IsInCIDR(known: Sequence[Any]) -> Callable[[str, list[Callable[[], str]]], bool]:
    """Whether an IP address lies in one of several networks like "10.0.0.0/8"; what is no address lies in none."""
    fixed: list[Network] | None = None
    if known[1] is not UNKNOWN:
        try:
            fixed = [_network(text) for text in known[1]]
        except EvaluationError as error:
            raise ValueError(str(error)) from error

    def is_in(target: str, networks: list[Callable[[], str]]) -> bool:
        address = address_of(target)
        if address is None:
            return False
        candidates = (_network(text()) for text in networks) if fixed is None else fixed
        return any(address.version == network.version and address in network for network in candidates)

    return is_in


def address_of(text: str) -> Address | None:
    """An IP address, that of IPv4 where one is written as IPv6; None where the text is none."""
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str) -> Network:
    found = _CIDR.fullmatch(text)
    if found:
        try:
            return ipaddress.ip_network(f"{found[1]}/{found[2]}", strict=False)
        except ValueError:
            pass
    raise EvaluationError(f"{text!r} is no network: write it like 10.0.0.0/8")
