"""How to be let in by the brokers, said in the words of each client: librdkafka, aiokafka, Faust."""

from __future__ import annotations

import logging
import ssl
from typing import Any

from sampler.config.errors import ConfigError
from sampler.config.kafka import Kafka
from sampler.config.kafka_auth import OauthBearer, Sasl, Tls
from sampler.config.secrets import read_secret

Properties = dict[str, Any]
"""Of a librdkafka client: plain values, its logger, and where tokens come from a file a callable."""

LIBRDKAFKA_LOG = logging.getLogger("librdkafka")
CLIENT_SECRET_KEY = "kafka.auth.sasl.oauthbearer.client_secret"  # noqa: S105
PASSWORD_KEY = "kafka.auth.sasl.password"  # noqa: S105  # the name of a setting

# Known only to one kind of client: the other would warn about them at every start.
_PRODUCER_ONLY = (
    "compression.",
    "linger.ms",
    "batch.",
    "queue.buffering.",
    "delivery.",
    "message.timeout.ms",
    "sticky.",
)
_CONSUMER_ONLY = ("fetch.", "queued.", "auto.offset.", "isolation.level", "session.", "check.crcs", "max.poll.")


def security_protocol(kafka: Kafka) -> str:
    """Kafka's name for the combination of TLS and SASL: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    transport = "SSL" if kafka.tls and not kafka.tls.insecure else "PLAINTEXT"
    return f"SASL_{transport}" if kafka.auth.sasl else transport


def librdkafka_conf(kafka: Kafka) -> Properties:
    """Properties for any librdkafka client: brokers, security, log, then the pass-through, which wins. Holds secrets.

    ConfigError where a secret's file cannot be read.
    """
    conf: Properties = {"bootstrap.servers": kafka.bootstrap, "security.protocol": security_protocol(kafka)}
    if kafka.tls and not kafka.tls.insecure:
        conf.update(_librdkafka_tls(kafka.tls))
    if kafka.auth.sasl:
        conf.update(_librdkafka_sasl(kafka.auth.sasl))
    # Without a logger the library writes to standard error in a form of its own.
    return {**conf, "logger": LIBRDKAFKA_LOG, **kafka.librdkafka}


def consumer_conf(kafka: Kafka) -> Properties:
    """As librdkafka_conf, for a consumer of the workers' group that commits nothing by itself."""
    return {
        **_without(librdkafka_conf(kafka), _PRODUCER_ONLY),
        "group.id": kafka.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }


def producer_conf(kafka: Kafka) -> Properties:
    """As librdkafka_conf, for an idempotent producer that counts a record as stored when all in-sync replicas do."""
    return {
        **_without(librdkafka_conf(kafka), _CONSUMER_ONLY),
        "enable.idempotence": True,
        "acks": "all",
        "message.max.bytes": kafka.max_message_bytes,
    }


def admin_conf(kafka: Kafka) -> Properties:
    """As librdkafka_conf, for an AdminClient."""
    conf = _without(librdkafka_conf(kafka), _PRODUCER_ONLY + _CONSUMER_ONLY)
    # An AdminClient waits for an answer; at librdkafka's own pace it would write 20 lines a second meanwhile.
    return {"reconnect.backoff.ms": 2000, "reconnect.backoff.max.ms": 10_000, **conf}


def ssl_context(kafka: Kafka) -> ssl.SSLContext | None:
    """The TLS settings as Python's clients take them, None where TLS is off; ConfigError where a file is unfit."""
    tls = kafka.tls
    if tls is None or tls.insecure:
        return None
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _unfit(tls.ca_file, "ca_file", error) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file and tls.key_file:
        password = _key_password(tls)
        try:
            # A text in place of None: Python would ask at the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, password or "")
        except (OSError, ssl.SSLError) as error:
            raise _unfit(f"{tls.cert_file}, {tls.key_file}", "cert_file", error) from None
    return context


def usable_files(kafka: Kafka) -> None:
    """Read the files of `kafka.tls` and `kafka.auth`; ConfigError with the key of what cannot be used.

    A library that is given a bad file says so late, and in its own words.
    """
    ssl_context(kafka)
    sasl = kafka.auth.sasl
    if sasl is None:
        return
    source = sasl.oauthbearer
    if source is None:
        _password(sasl)
    elif source.token_file is not None:
        from sampler.config.tokens import TokenError, fetch_token

        try:
            fetch_token(source)
        except TokenError as error:
            raise ConfigError.single("kafka", None, "auth.sasl.oauthbearer.token_file", str(error)) from None
    else:
        read_secret(source.client_secret, source.client_secret_file, CLIENT_SECRET_KEY)


def aiokafka_options(kafka: Kafka) -> dict[str, Any]:
    """Keyword arguments for aiokafka's clients: brokers and security. Holds secrets."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap,
        "security_protocol": security_protocol(kafka),
        "ssl_context": ssl_context(kafka),
    }
    sasl = kafka.auth.sasl
    if sasl is not None and sasl.oauthbearer is not None:
        options.update(sasl_mechanism=sasl.mechanism, sasl_oauth_token_provider=_token_provider(sasl.oauthbearer))
    elif sasl is not None:
        options.update(
            sasl_mechanism=sasl.mechanism, sasl_plain_username=sasl.username, sasl_plain_password=_password(sasl)
        )
    return options


def faust_credentials(kafka: Kafka) -> Any:
    """Faust's `broker_credentials`, None where the brokers let anyone in."""
    if security_protocol(kafka) == "PLAINTEXT":
        return None
    import faust

    context = ssl_context(kafka)
    sasl = kafka.auth.sasl
    if sasl is None:
        return faust.SSLCredentials(context)
    if sasl.oauthbearer is not None:
        from faust.auth import OAuthCredentials

        return OAuthCredentials(oauth_cb=_token_provider(sasl.oauthbearer), ssl_context=context)
    return faust.SASLCredentials(
        username=sasl.username, password=_password(sasl), ssl_context=context, mechanism=sasl.mechanism
    )


def _librdkafka_sasl(sasl: Sasl) -> Properties:
    source = sasl.oauthbearer
    if source is None:
        return {
            "sasl.mechanism": sasl.mechanism,
            "sasl.username": sasl.username or "",
            "sasl.password": _password(sasl),
        }
    if source.token_file is not None:
        from sampler.config.tokens import FileTokens

        return {"sasl.mechanism": sasl.mechanism, "oauth_cb": FileTokens(source)}
    secret = read_secret(source.client_secret, source.client_secret_file, CLIENT_SECRET_KEY)
    conf: Properties = {
        "sasl.mechanism": sasl.mechanism,
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": source.token_url or "",
        "sasl.oauthbearer.client.id": source.client_id or "",
        "sasl.oauthbearer.client.secret": secret or "",
    }
    if source.scope:
        conf["sasl.oauthbearer.scope"] = source.scope
    if source.extensions:
        conf["sasl.oauthbearer.extensions"] = ",".join(f"{name}={value}" for name, value in source.extensions.items())
    if source.ca_file:
        conf["https.ca.location"] = source.ca_file
    return conf


def _librdkafka_tls(tls: Tls) -> Properties:
    conf: Properties = {"enable.ssl.certificate.verification": not tls.insecure_skip_verify}
    files = {
        "ssl.ca.location": tls.ca_file,
        "ssl.certificate.location": tls.cert_file,
        "ssl.key.location": tls.key_file,
    }
    conf.update({name: path for name, path in files.items() if path})
    password = _key_password(tls)
    if password is not None:
        conf["ssl.key.password"] = password
    return conf


def _token_provider(source: OauthBearer) -> Any:
    from sampler.config.tokens import TokenProvider

    return TokenProvider(source)


def _password(sasl: Sasl) -> str:
    return read_secret(sasl.password, sasl.password_file, PASSWORD_KEY) or ""


def _key_password(tls: Tls) -> str | None:
    return read_secret(tls.key_password, tls.key_password_file, "kafka.tls.key_password")


def _unfit(files: str | None, key: str, error: Exception) -> ConfigError:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    return ConfigError.single(files or "system certificates", None, f"kafka.tls.{key}", f"cannot be used: {reason}")


def _without(conf: Properties, prefixes: tuple[str, ...]) -> Properties:
    return {key: value for key, value in conf.items() if not key.startswith(prefixes)}
