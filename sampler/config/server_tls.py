"""`tls` of what listens: the receivers of the agent, the web pages."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sampler.config.base import Section

Text = Annotated[str, Field(min_length=1)]


class Certificate(Section):
    """Encryption of what comes in. The files are read again when they change."""

    cert_file: Text
    """Our certificate and those between it and the authority, PEM."""
    key_file: Text
    """Its private key, PEM, not encrypted."""


class ServerTls(Certificate):
    """Encryption of what comes in. The files are read again when they change."""

    client_ca_file: Text | None = None
    """Certificates that those of clients must come from, PEM; with it, nobody gets in without one (mTLS)."""
