"""What a configuration lets others read or forge on the way, though it asks for credentials."""

from __future__ import annotations

from collections.abc import Iterator

from sampler.config.base import split_endpoint
from sampler.config.models import Config

_LOCAL = {"localhost", "127.0.0.1", "::1"}


def exposures(config: Config, *, agent: bool) -> list[str]:
    """A sentence for each; those of OTLP where the process is an `agent`."""
    return [*_kafka(config), *(_otlp(config) if agent else ()), *_web(config)]


def _kafka(config: Config) -> Iterator[str]:
    tls, sasl = config.kafka.tls, config.kafka.auth.sasl
    if sasl is not None and (tls is None or tls.insecure) and not sasl.mechanism.startswith("SCRAM"):
        what = "the token" if sasl.oauthbearer else "the password"
        yield f"kafka.auth.sasl without kafka.tls: {what} travels to the brokers in clear text"
    if tls is not None and not tls.insecure and tls.insecure_skip_verify:
        yield "kafka.tls.insecure_skip_verify: whoever can get in between may pass for a broker"


def _otlp(config: Config) -> Iterator[str]:
    agent = config.agent
    if agent.auth.tokens_file is None and agent.auth.users_file is None:
        return
    for name, block in (("grpc", agent.grpc), ("http", agent.http)):
        if block.enabled and block.tls is None and _reachable(block.endpoint):
            yield f"agent.auth without agent.{name}.tls: credentials of senders travel in clear text"


def _web(config: Config) -> Iterator[str]:
    web = config.web
    if web.enabled and (web.token or web.token_file) and web.tls is None and _reachable(web.endpoint):
        yield "web.token without web.tls: the token travels in clear text"


def _reachable(endpoint: str) -> bool:
    return split_endpoint(endpoint)[0] not in _LOCAL
