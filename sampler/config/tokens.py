"""Tokens for brokers that want `OAUTHBEARER`: asked of the identity provider, or read from a file."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from aiokafka.abc import AbstractTokenProvider

from sampler.clock import wall_ms
from sampler.config.kafka_auth import OauthBearer
from sampler.config.secrets import read_secret

ANSWER_S = 10.0
MOST_BYTES = 256 * 1024
RENEW_AT = 0.8
"""Share of a token's life after which a new connection takes a new one, as librdkafka does."""


class TokenError(OSError):
    """There is no token; the text says why and never holds a secret."""


class Token(NamedTuple):
    """A token, and the second of Unix time at which it ends."""

    value: str
    expires_s: float


def fetch_token(source: OauthBearer) -> Token:
    """A fresh token; TokenError where there is none."""
    if source.token_file is not None:
        text = read_secret(None, source.token_file, "kafka.auth.sasl.oauthbearer.token_file") or ""
        return Token(text, _expiry(text, f"the token in {source.token_file}"))
    answer = _asked(source)
    value = answer.get("access_token")
    if not isinstance(value, str) or not value:
        raise TokenError(f"{source.token_url} answered without an access_token")
    lifetime = answer.get("expires_in")
    if isinstance(lifetime, int | float) and lifetime > 0:
        return Token(value, _now_s() + lifetime)
    return Token(value, _expiry(value, f"the token of {source.token_url}"))


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped here
    """Tokens for aiokafka's connections, each used for four fifths of its life."""

    def __init__(self, source: OauthBearer, now_s: Callable[[], float] | None = None) -> None:
        """`now_s` is the clock, in seconds of Unix time."""
        self._source = source
        self._clock = now_s or _now_s
        self._token: Token | None = None
        self._renew_s = 0.0

    async def token(self) -> str:
        """A token that is valid now; TokenError, which is an OSError, makes aiokafka try again later."""
        if self._token is None or self._clock() >= self._renew_s:
            self._token = await asyncio.to_thread(fetch_token, self._source)
            now_s = self._clock()
            self._renew_s = now_s + RENEW_AT * (self._token.expires_s - now_s)
        return self._token.value

    def extensions(self) -> dict[str, str]:
        """The SASL extensions of the configuration."""
        return dict(self._source.extensions)


class FileTokens:
    """`oauth_cb` of librdkafka's clients where the token lies in a file."""

    def __init__(self, source: OauthBearer) -> None:
        self._source = source

    def __call__(self, _config: str) -> tuple[str, float, str, dict[str, str]]:
        """Token, end of its life, principal and extensions; an exception becomes the client's error."""
        token = fetch_token(self._source)
        return token.value, token.expires_s, _claims(token.value).get("sub") or "", dict(self._source.extensions)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Sends the client secret nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """A redirection is an error."""


def _asked(source: OauthBearer) -> dict[str, Any]:
    """The answer of the token endpoint (RFC 6749, section 4.4)."""
    assert source.token_url is not None and source.client_id is not None  # noqa: PT018  # the model sees to it
    secret = read_secret(source.client_secret, source.client_secret_file, "kafka.auth.sasl.oauthbearer.client_secret")
    login = base64.b64encode(f"{quote(source.client_id, safe='')}:{quote(secret or '', safe='')}".encode()).decode()
    form = {"grant_type": "client_credentials", **({"scope": source.scope} if source.scope else {})}
    request = urllib.request.Request(  # noqa: S310  # the model takes http and https only
        source.token_url, urlencode(form).encode(), {"Authorization": f"Basic {login}", "Accept": "application/json"}
    )
    try:
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if source.token_url.startswith("https"):
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=source.ca_file)))
        with urllib.request.build_opener(*handlers).open(request, timeout=ANSWER_S) as reply:
            answer = json.loads(reply.read(MOST_BYTES))
    except urllib.error.HTTPError as error:
        error.close()
        raise TokenError(f"{source.token_url} gave no token: {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise TokenError(f"{source.token_url} cannot be asked for a token: {error.reason}") from None
    except (OSError, ValueError) as error:
        raise TokenError(f"{source.token_url} gave no token: {type(error).__name__}") from None
    return answer if isinstance(answer, dict) else {}


def _expiry(token: str, what: str) -> float:
    expires = _claims(token).get("exp")
    if not isinstance(expires, int | float):
        raise TokenError(f"{what} is no JSON Web Token with a time at which it ends (exp)")
    if expires <= _now_s():
        raise TokenError(f"{what} has expired")
    return float(expires)


def _claims(token: str) -> dict[str, Any]:
    """What a JSON Web Token says; empty where it is none. Nothing is verified: that is up to the brokers."""
    try:
        middle = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def _now_s() -> float:
    return wall_ms() / 1000
