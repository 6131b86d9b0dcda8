"""Certificates of what listens, read again when their files change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from sampler.config.errors import ConfigError
from sampler.config.server_tls import Certificate, ServerTls

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
"""How often files are looked at, where a library does not ask for each connection."""

Stamp = tuple[tuple[int, int, int], ...]


def server_context(tls: Certificate, key: str) -> ssl.SSLContext:
    """TLS for Python's servers; ConfigError at `key` where a file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_into(context, tls, key)
    if _client_ca(tls) is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def load_into(context: ssl.SSLContext, tls: Certificate, key: str) -> None:
    """Have new connections use what the files hold now. Authorities are added to those that are trusted already."""
    try:
        # A text in place of None: Python would ask for the password of an encrypted key at the terminal.
        context.load_cert_chain(tls.cert_file, tls.key_file, "")
    except (OSError, ssl.SSLError) as error:
        raise _unfit(f"{tls.cert_file}, {tls.key_file}", f"{key}.cert_file", error) from None
    authorities = _client_ca(tls)
    if authorities is not None:
        try:
            context.load_verify_locations(authorities)
        except (OSError, ssl.SSLError) as error:
            raise _unfit(authorities, f"{key}.client_ca_file", error) from None


def stamp_of(tls: Certificate) -> Stamp | None:
    """What changes when one of the files does; None where one cannot be looked at."""
    names = (tls.cert_file, tls.key_file, _client_ca(tls))
    try:
        stats = [Path(name).stat() for name in names if name is not None]
    except OSError:
        return None
    return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)


class ReloadedContext:
    """An SSLContext that follows its files; `look` now and then. What is wrong later leaves it as it is."""

    def __init__(self, tls: Certificate, key: str) -> None:
        self._tls, self._key = tls, key
        self._seen = stamp_of(tls)
        self.context = server_context(tls, key)

    def look(self) -> None:
        """Read files that have changed, and say so in the log."""
        now = stamp_of(self._tls)
        if now is None or now == self._seen:
            return
        self._seen = now
        try:
            load_into(self.context, self._tls, self._key)
        except ConfigError as error:
            log.error("the certificate before goes on: %s", error)
        else:
            log.info("%s: the certificate was read again", self._key)


def _client_ca(tls: Certificate) -> str | None:
    return tls.client_ca_file if isinstance(tls, ServerTls) else None


def _unfit(files: str, key: str, error: Exception) -> ConfigError:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    return ConfigError.single(files, None, key, f"cannot be used: {reason}")
