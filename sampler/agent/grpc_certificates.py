"""TLS of OTLP/gRPC; grpc asks for the certificate at every handshake."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import grpc

from sampler.certificates import server_context, stamp_of
from sampler.config.errors import ConfigError
from sampler.config.server_tls import ServerTls

log = logging.getLogger(__name__)

KEY = "agent.grpc.tls"


class GrpcCertificates:
    """Credentials for a server that follow their files; a mistake in these later leaves what was before."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._seen = stamp_of(tls)

    def credentials(self) -> Any:
        """What `add_secure_port` takes; ConfigError where a file cannot be used."""
        return grpc.dynamic_ssl_server_credentials(
            self._read(), self._changed, require_client_authentication=self._tls.client_ca_file is not None
        )

    def _changed(self) -> Any:
        """The configuration where the files have changed, else None; called by grpc's threads."""
        now = stamp_of(self._tls)
        if now is None or now == self._seen:
            return None
        self._seen = now
        try:
            read = self._read()
        except (ConfigError, OSError) as error:
            log.error("the certificate before goes on: %s", error)
            return None
        log.info("%s: the certificate was read again", KEY)
        return read

    def _read(self) -> Any:
        # grpc takes any bytes, and fails at every handshake without a word: Python's ssl says what is wrong.
        server_context(self._tls, KEY)
        pair = (Path(self._tls.key_file).read_bytes(), Path(self._tls.cert_file).read_bytes())
        roots = Path(self._tls.client_ca_file).read_bytes() if self._tls.client_ca_file else None
        return grpc.ssl_server_certificate_configuration([pair], roots)
