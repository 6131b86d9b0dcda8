"""Tokens and passwords of senders, from files that are read again when they change."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sampler.config.errors import ConfigError

log = logging.getLogger(__name__)

ANY_TENANT = "*"
LOOK_EVERY_S = 5.0
"""How often the files are looked at, when requests come."""

_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})")
_TENANT = re.compile(r"[!-~]{1,100}")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: `name` for limits and logs, no secret; `tenant` None for none, `*` for any that a header names."""

    name: str
    tenant: str | None


class Credentials:
    """Who may send. ConfigError where a file cannot be used at the start; later mistakes leave what was read before.

    Only hashes are kept, and looked up: how long that takes tells nothing of them.
    """

    def __init__(self, tokens_file: str | None, users_file: str | None, clock: Callable[[], float]) -> None:
        self._files = [
            (Path(file), key, parse)
            for file, key, parse in (
                (tokens_file, "agent.auth.tokens_file", _token_line),
                (users_file, "agent.auth.users_file", _user_line),
            )
            if file is not None
        ]
        self._clock = clock
        self._look_s = clock() + LOOK_EVERY_S
        self._stamps = self._looked()
        self._senders = self._read()

    @property
    def assign_tenants(self) -> bool:
        """Whether a tenant follows from who sends, so that nobody else may claim it."""
        return any(sender.tenant is not None for sender in self._senders.values())

    def sender(self, authorization: str | None) -> Sender | None:
        """Who brings this Authorization header; None for nobody that is known."""
        now_s = self._clock()
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_EVERY_S
            self._look()
        scheme, _, value = (authorization or "").partition(" ")
        match scheme.lower():
            case "bearer":
                return self._senders.get(_digest("token", value.strip()))
            case "basic":
                return self._senders.get(_basic(value.strip()))
        return None

    def _look(self) -> None:
        stamps = self._looked()
        if stamps == self._stamps:
            return
        try:
            self._senders = self._read()
        except ConfigError as error:
            log.error("the credentials of senders stay as they were: %s", error)
        else:
            log.info("the credentials of senders were read again: %d", len(self._senders))
        self._stamps = stamps

    def _looked(self) -> list[tuple[int, int, int] | None]:
        """What changes when a file does."""
        stamps: list[tuple[int, int, int] | None] = []
        for path, _, _ in self._files:
            try:
                stat = path.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return stamps

    def _read(self) -> dict[bytes, Sender]:
        senders: dict[bytes, Sender] = {}
        for path, key, parse in self._files:
            try:
                text = path.read_text(encoding="utf-8")
            except OSError as error:
                raise ConfigError.single(str(path), None, key, f"the file cannot be read: {error.strerror}") from None
            except UnicodeDecodeError:
                raise ConfigError.single(str(path), None, key, "the file is not UTF-8 text") from None
            for number, words in _lines(text):
                try:
                    if len(words) > 2 or (len(words) == 2 and not _TENANT.fullmatch(words[1])):
                        raise ValueError("a line is a credential and, behind a space, a tenant (printable ASCII)")
                    digest, name = parse(words[0])
                except ValueError as error:
                    raise ConfigError.single(str(path), number, key, str(error)) from None
                senders[digest] = Sender(name, words[1] if len(words) == 2 else None)
            if not senders:
                raise ConfigError.single(str(path), None, key, "holds no credential: nobody could send")
        return senders


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Number and words of the lines that are neither empty nor comments."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield number, words


def _token_line(word: str) -> tuple[bytes, str]:
    """Digest and name of a token."""
    digest = _given_hash("token", word) or _digest("token", word)
    return digest, f"token {digest.hex()[-6:]}"


def _user_line(word: str) -> tuple[bytes, str]:
    user, colon, password = word.partition(":")
    if not (user and colon and password):
        raise ValueError("a user is written user:password")
    return _given_hash(f"user {user}", password) or _digest(f"user {user}", password), f"user {user}"


def _basic(value: str) -> bytes:
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return b""
    return _digest(f"user {user}", password)


def _given_hash(owner: str, text: str) -> bytes | None:
    match = _HASH.fullmatch(text)
    if text.startswith("sha256:") and match is None:
        raise ValueError("sha256: is followed by 64 hex digits")
    return _owned(owner, bytes.fromhex(match[1])) if match else None


def _digest(owner: str, secret: str) -> bytes:
    return _owned(owner, hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest())


def _owned(owner: str, digest: bytes) -> bytes:
    """The key of a secret: no user's password is anybody else's, and no token."""
    return hashlib.sha256(owner.encode() + b"\0" + digest).digest()
