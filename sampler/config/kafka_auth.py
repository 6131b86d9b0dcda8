"""`kafka.auth` and `kafka.tls`: how the brokers know us, and we them."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from sampler.config.base import Section
from sampler.config.secrets import one_of_both

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
Secret = Annotated[SecretStr, Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]

_EXTENSION = re.compile(r"[A-Za-z]+")
_LOCAL = ("localhost", "127.0.0.1", "::1")


def _url(text: str) -> str:
    if urlsplit(text).scheme not in {"http", "https"} or not urlsplit(text).hostname:
        raise ValueError("must be a URL, such as https://login.example.com/oauth2/token")
    if urlsplit(text).username is not None:
        raise ValueError("must not hold a user or password: set client_id and client_secret")
    return text


def _extensions(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not _EXTENSION.fullmatch(name) or name.lower() == "auth":
            raise ValueError(f"extension {name!r}: a name has letters only and is not auth")
        if not value.isprintable() or "," in value:
            raise ValueError(f"extension {name}: the value has characters that cannot be sent (or a comma)")
    return given


class OauthBearer(Section):
    """Where the token for the brokers comes from: asked for with client credentials, or read from a file."""

    token_url: Annotated[str, AfterValidator(_url)] | None = None
    """Token endpoint of the identity provider (OAuth 2.0, grant type client_credentials)."""
    client_id: Text | None = None
    client_secret: Secret | None = None
    """Best from a variable: `${env:KAFKA_CLIENT_SECRET}`."""
    client_secret_file: Text | None = None
    """A file that holds the secret, in place of client_secret."""
    scope: Text | None = None
    """Scopes to ask for, with spaces between them."""
    extensions: Annotated[dict[str, str], AfterValidator(_extensions)] = Field(default={})
    """SASL extensions that the brokers want, such as `logicalCluster`."""
    ca_file: Text | None = None
    """Certificates to trust at token_url, PEM; without, those of the system."""
    insecure: bool = False
    """True lets the client secret travel over plain http; to localhost it may anyway."""
    token_file: Text | None = None
    """A file in which something else keeps a fresh JSON Web Token, read whenever one is needed; in place of the
    rest."""

    @model_validator(mode="after")
    def _source(self) -> Self:
        asked = (self.token_url, self.client_id, self.client_secret, self.client_secret_file, self.scope, self.ca_file)
        if self.token_file is not None:
            if any(value is not None for value in asked):
                raise ValueError("token_file stands alone: leave token_url and what belongs to it out")
            return self
        if self.token_url is None or self.client_id is None:
            raise ValueError("needs token_url and client_id, or token_file")
        one_of_both("client_secret", self.client_secret, self.client_secret_file, needed=True)
        url = urlsplit(self.token_url)
        if url.scheme == "http" and url.hostname not in _LOCAL and not self.insecure:
            raise ValueError("token_url is plain http: the client secret could be read (insecure: true allows it)")
        return self


class Sasl(Section):
    """Login at the brokers: user name and password, or a token with `mechanism: OAUTHBEARER`."""

    username: Text | None = None
    password: Secret | None = None
    """Best from a variable: `${env:KAFKA_PASSWORD}`."""
    password_file: Text | None = None
    """A file that holds the password, in place of password; read when a process starts."""
    mechanism: Mechanism = "SCRAM-SHA-512"
    oauthbearer: OauthBearer | None = None
    """For `mechanism: OAUTHBEARER`."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mechanism == "OAUTHBEARER":
            if self.oauthbearer is None:
                raise ValueError("mechanism OAUTHBEARER needs the block oauthbearer")
            if (self.username, self.password, self.password_file) != (None, None, None):
                raise ValueError("mechanism OAUTHBEARER takes no username and password")
            return self
        if self.oauthbearer is not None:
            raise ValueError("the block oauthbearer needs mechanism: OAUTHBEARER")
        if self.username is None:
            raise ValueError("needs username")
        one_of_both("password", self.password, self.password_file, needed=True)
        return self


class Auth(Section):
    """How the brokers know us."""

    sasl: Sasl | None = None


class Tls(Section):
    """Encryption to the brokers. Without this block the connection is plain text, as with `insecure: true`."""

    insecure: bool = False
    """True switches TLS off (the Collector's word)."""
    insecure_skip_verify: bool = False
    """True accepts any certificate of the broker."""
    ca_file: Text | None = None
    """Certificates to trust, PEM; without, those of the system."""
    cert_file: Text | None = None
    """Our certificate, PEM; needs key_file."""
    key_file: Text | None = None
    """Its private key, PEM."""
    key_password: Secret | None = None
    """What the private key is encrypted with; best from a variable."""
    key_password_file: Text | None = None
    """A file that holds it, in place of key_password."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    """Lowest TLS version of the control connection; those of librdkafka (spans, outputs) speak 1.2 and above."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: set both or none")
        one_of_both("key_password", self.key_password, self.key_password_file, needed=False)
        return self
