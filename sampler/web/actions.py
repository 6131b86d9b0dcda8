"""What may be asked of a process by POST or is not for everyone to see, and by whom.

With a token, whoever brings it may. Without one only programs on the machine itself may, so the server must listen on
an address of the machine alone; and no web page may, which is why a request has to name such an address and, to change
something, to be JSON: a browser sends a foreign page's request neither with that type nor, behind a forged name, under
that host.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping
from email.message import Message
from io import BufferedIOBase
from typing import Any, TypeAlias

Answer: TypeAlias = tuple[int, Mapping[str, Any]]
"""HTTP status and a JSON-able answer."""
Action: TypeAlias = Callable[[bytes], Answer]
"""Gets the body of the request, in a thread of its own."""

MOST_BYTES = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,9}")


class Actions:
    """Actions by path."""

    def __init__(self, token: str | None = None) -> None:
        self._by_path: dict[str, Action] = {}
        self._token = token

    def offer(self, path: str, action: Action) -> None:
        """Take requests for this path from now on."""
        self._by_path[path] = action

    def carry_out(self, path: str, listening_on: str, headers: Message, body: BufferedIOBase) -> Answer:
        """Do what a request asks for, or say why not; `listening_on` is the address of the server."""
        action = self._by_path.get(path)
        if action is None:
            return _refused(404, "nothing to be asked for here: this is no worker, or another path is meant")
        refusal = self.refusal(listening_on, headers)
        if refusal is not None:
            return refusal
        if headers.get_content_type() != "application/json":
            return _refused(415, "the request must be of type application/json")
        length = headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(length) or int(length) > MOST_BYTES:
            return _refused(413, f"a request has a Content-Length of at most {MOST_BYTES} bytes")
        return action(body.read(int(length)))

    def refusal(self, listening_on: str, headers: Message) -> Answer | None:
        """Why a request may neither change nor see anything; None where it may."""
        if self._token is not None:
            given = headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                return _refused(401, "the token is missing or wrong: expected that of web.token")
        elif not (_is_local(listening_on) and _is_local(_host_of(headers.get("Host", "")))):
            return _refused(403, "without web.token this is for requests to localhost, by a server that listens there")
        return None


def _refused(code: int, why: str) -> Answer:
    return code, {"error": why}


def _host_of(header: str) -> str:
    """The host of `host:port`, brackets of IPv6 removed."""
    host = header.partition("]")[0] if header.startswith("[") else header.partition(":")[0]
    return host.lstrip("[")


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
