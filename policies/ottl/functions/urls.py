"""The converter URL: the parts of a URL, by the rules of Go's net/url."""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

import ipaddress
import re
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import converter
from policies.ottl.getters import STRING
from policies.ottl.gotext import short
from policies.ottl.kinds import PlainInt, raw, text_of

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_PATH = _UNRESERVED | frozenset(b"$&+,/:;=@")
_USER = _UNRESERVED | frozenset(b"$&+,;=")
_FRAGMENT = _UNRESERVED | frozenset(b"$&+,/:;=?@!()*")
_HOST = _UNRESERVED | frozenset(b"!$&'()*+,;=:[]<>\"")
_KEPT_AS_WRITTEN = frozenset(b"!$&'()*+,;=:@[]%")
_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*):")
_USERINFO = re.compile(rb"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_PORT = re.compile(rb"(:[0-9]*)?")
_IF_ANY = frozenset({"url.fragment", "url.query", "url.extension"})
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})?")


@converter(uri=STRING)
def URL(uri: str) -> dict[str, Any]:
    """The parts of a URL as a map: `url.scheme`, `url.domain`, `url.path`, `url.query`, `url.original` and others."""
    content = raw(short(uri))
    if not content:
        raise EvaluationError("an empty URL")
    return _query(content[1:]) if content.startswith(b"?") else _parts(content)


def _query(content: bytes) -> dict[str, Any]:
    """What stands for a URL that is a query only: its parameters, each with the list of its values."""
    parameters: dict[str, list[str]] = {}
    for part in content.split(b"&"):
        if b";" in part:
            raise _not_a_url()
        if part:
            key, _, value = (text_of(_unescaped(text.replace(b"+", b" "))) for text in part.partition(b"="))
            parameters.setdefault(key, []).append(value)
    return {"query": parameters} if parameters else {}


def _parts(content: bytes) -> dict[str, Any]:
    before, _, fragment = content.partition(b"#")
    if any(byte < 0x20 or byte == 0x7F for byte in before):
        raise _not_a_url()
    scheme, rest = _scheme(before)
    force_query = rest.endswith(b"?") and rest.count(b"?") == 1
    rest, _, query = rest.partition(b"?")
    user: list[bytes] | None = None
    host = opaque = b""
    omit_host = False
    if before == b"*":
        scheme, rest = b"", b"*"
    elif not rest.startswith(b"/"):
        if scheme:
            opaque, rest = rest, b""
        elif b":" in rest.partition(b"/")[0]:
            raise _not_a_url()
    elif rest.startswith(b"//") and (scheme or not rest.startswith(b"///")):
        authority, slash, path = rest[2:].partition(b"/")
        user, host = _authority(authority)
        rest = slash + path
    else:
        omit_host = bool(scheme)
    path = _unescaped(rest)
    written = _as_written(rest, path, _PATH) if path != b"*" else b"*"
    shown_fragment = _unescaped(fragment)
    original = _original(scheme, opaque, user, host, written, omit_host=omit_host)
    original += b"?" + query if force_query or query else b""
    original += b"#" + _as_written(fragment, shown_fragment, _FRAGMENT) if shown_fragment else b""
    found = {
        "url.original": text_of(original),
        "url.scheme": text_of(scheme),
        "url.path": text_of(path),
        "url.fragment": text_of(shown_fragment),
        "url.query": text_of(query),
        "url.extension": text_of(path.rpartition(b".")[2] if b"." in path else b""),
        **_place(user, host),
    }
    return {key: value for key, value in found.items() if value != "" or key not in _IF_ANY}


def _place(user: list[bytes] | None, host: bytes) -> dict[str, Any]:
    """The parts that say where and as whom."""
    name, port = _host_and_port(host)
    place: dict[str, Any] = {"url.domain": text_of(name)}
    if port:
        place["url.port"] = PlainInt(_number(port))
    if user is not None:
        place["url.user_info"] = text_of(b":".join(_escaped(part, _USER) for part in user))
        place["url.username"] = text_of(user[0]) or None
        if len(user) > 1:
            place["url.password"] = text_of(user[1])
    return {key: value for key, value in place.items() if value is not None}


def _not_a_url() -> EvaluationError:
    return EvaluationError("a string that is no URL")


def _scheme(content: bytes) -> tuple[bytes, bytes]:
    if content.startswith(b":"):
        raise _not_a_url()
    found = _SCHEME.match(content)
    return (found[1].lower(), content[found.end() :]) if found else (b"", content)


def _authority(authority: bytes) -> tuple[list[bytes] | None, bytes]:
    info, at, place = authority.rpartition(b"@")
    host = _host(place)
    if not at:
        return None, host
    if not _USERINFO.fullmatch(info):
        raise _not_a_url()
    name, colon, password = info.partition(b":")
    return ([_unescaped(name), _unescaped(password)] if colon else [_unescaped(info)]), host


def _host(host: bytes) -> bytes:
    if b"[" in host:
        return _address(host)
    if b":" in host and not _PORT.fullmatch(host[host.rfind(b":") :]):
        raise _not_a_url()
    return _unescaped_host(host)


def _address(host: bytes) -> bytes:
    """An IPv6 address in brackets, with a port after it."""
    address, bracket, port = host[1:].rpartition(b"]")
    if host.rfind(b"[") > 0 or not bracket or not _PORT.fullmatch(port):
        raise _not_a_url()
    if b"%25" in address:  # a zone, which Go's own rules for escapes make a matter of its own
        raise EvaluationError("a URL with an IPv6 zone is not taken apart")
    address = _unescaped_host(address)
    try:
        ipaddress.IPv6Address(address.decode("ascii"))
    except ValueError as error:
        raise _not_a_url() from error
    return b"[" + address + b"]" + port


def _unescaped(text: bytes) -> bytes:
    def byte(found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            raise _not_a_url()
        return bytes([int(found[1], 16)])

    return _ESCAPE.sub(byte, text) if b"%" in text else text


def _unescaped_host(host: bytes) -> bytes:
    """In a host only bytes above 127 are escaped, and the percent sign."""
    for found in _ESCAPE.finditer(host):
        if found[1] is None or (int(found[1], 16) < 0x80 and found[1] != b"25"):
            raise _not_a_url()
    if any(byte < 0x80 and byte not in _HOST and byte != 0x25 for byte in host):
        raise _not_a_url()
    return _unescaped(host)


def _escaped(text: bytes, allowed: frozenset[int]) -> bytes:
    return b"".join(bytes([byte]) if byte in allowed else b"%%%02X" % byte for byte in text)


def _as_written(text: bytes, unescaped: bytes, allowed: frozenset[int]) -> bytes:
    """A part as it stood in the URL, where that was a valid way to write it."""
    valid = all(byte in allowed or byte in _KEPT_AS_WRITTEN for byte in text)
    return text if text and valid else _escaped(unescaped, allowed)


def _original(
    scheme: bytes, opaque: bytes, user: list[bytes] | None, host: bytes, path: bytes, *, omit_host: bool
) -> bytes:
    text = scheme + b":" if scheme else b""
    if opaque:
        return text + opaque
    bare = omit_host and not host and user is None
    if (scheme or host or user is not None) and not bare:
        if host or path or user is not None:
            text += b"//"
        if user is not None:
            text += b":".join(_escaped(part, _USER) for part in user) + b"@"
        text += _escaped(host, _HOST)
    if path and not path.startswith(b"/") and host:
        text += b"/"
    if not text and b":" in path.partition(b"/")[0]:
        text = b"./"
    return text + path


def _host_and_port(host: bytes) -> tuple[bytes, bytes]:
    name, colon, port = host.rpartition(b":")
    if not colon or not _PORT.fullmatch(b":" + port):
        name, port = host, b""
    return (name[1:-1] if name.startswith(b"[") and name.endswith(b"]") else name), port


def _number(port: bytes) -> int:
    number = int(port) if len(port) < 20 else 2**63
    if number >= 2**63:
        raise _not_a_url()
    return number
