"""Where a backend is: `host:port` or a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

Protocol = Literal["grpc", "http"]

TRACES_PATH = "/v1/traces"
_TARGET = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]@]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class BackendAddress:
    """An address taken apart. `target` is host:port for gRPC, the whole URL for HTTP."""

    target: str
    host: str
    port: int
    encrypted: bool


def parse_address(text: str, protocol: Protocol, *, insecure: bool) -> BackendAddress:
    """The address of an endpoint; ValueError with what to write instead.

    A scheme decides about encryption, as in the Collector; gRPC needs none, and `insecure` decides then.
    """
    if protocol == "http":
        return _url(text)
    encrypted = not insecure
    for scheme, secure in (("http://", False), ("https://", True)):
        if text.startswith(scheme):
            text, encrypted = text.removeprefix(scheme).rstrip("/"), secure
    match = _TARGET.fullmatch(text)
    if not match or not 0 < int(match["port"]) <= 65535:
        raise ValueError("endpoint must be host:port for protocol grpc, such as tempo:4317")
    return BackendAddress(text, match["host"].strip("[]"), int(match["port"]), encrypted)


def _url(text: str) -> BackendAddress:
    url = urlsplit(text)
    try:
        port = url.port
    except ValueError:
        port = 0
    if url.scheme not in {"http", "https"} or not url.hostname or port == 0 or re.search(r"\s", text):
        raise ValueError("endpoint must be a URL for protocol http, such as http://tempo:4318")
    if url.query or url.fragment:
        raise ValueError("endpoint must not hold a query (?) or fragment (#)")
    whole = text.rstrip("/")
    target = whole if whole.endswith(TRACES_PATH) else whole + TRACES_PATH
    encrypted = url.scheme == "https"
    return BackendAddress(target, url.hostname, port or (443 if encrypted else 80), encrypted)


def _no_login(text: str) -> str:
    if "@" in text:
        raise ValueError("must not hold a user or password: set headers")
    return text


Address = Annotated[
    str,
    AfterValidator(_no_login),
    Field(min_length=1, examples=["tempo:4317", "https://otlp.example.com"]),
]
"""An endpoint to send to."""
