"""How to be let in by the brokers, said in the words of each client: librdkafka, aiokafka, Faust."""

from __future__ import annotations

import ssl
from typing import Any

from sampler.config.kafka import Kafka, Tls

Properties = dict[str, str | int | float | bool]

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
    """Properties for any librdkafka client: brokers, security, then the pass-through, which wins. Holds secrets."""
    conf: Properties = {"bootstrap.servers": kafka.bootstrap, "security.protocol": security_protocol(kafka)}
    if kafka.tls and not kafka.tls.insecure:
        conf.update(_librdkafka_tls(kafka.tls))
    if kafka.auth.sasl:
        sasl = kafka.auth.sasl
        conf.update(
            {
                "sasl.mechanism": sasl.mechanism,
                "sasl.username": sasl.username,
                "sasl.password": sasl.password.get_secret_value(),
            }
        )
    return {**conf, **kafka.librdkafka}


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
    """The TLS settings as Python's clients take them, None where TLS is off.

    OSError where a file cannot be read, ssl.SSLError where it is not what it should be.
    """
    tls = kafka.tls
    if tls is None or tls.insecure:
        return None
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file and tls.key_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def aiokafka_options(kafka: Kafka) -> dict[str, Any]:
    """Keyword arguments for aiokafka's clients: brokers and security. Holds secrets."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap,
        "security_protocol": security_protocol(kafka),
        "ssl_context": ssl_context(kafka),
    }
    if kafka.auth.sasl:
        sasl = kafka.auth.sasl
        options.update(
            sasl_mechanism=sasl.mechanism,
            sasl_plain_username=sasl.username,
            sasl_plain_password=sasl.password.get_secret_value(),
        )
    return options


def faust_credentials(kafka: Kafka) -> Any:
    """Faust's `broker_credentials`, None where the brokers let anyone in."""
    if security_protocol(kafka) == "PLAINTEXT":
        return None
    import faust

    context = ssl_context(kafka)
    if kafka.auth.sasl is None:
        return faust.SSLCredentials(context)
    sasl = kafka.auth.sasl
    return faust.SASLCredentials(
        username=sasl.username,
        password=sasl.password.get_secret_value(),
        ssl_context=context,
        mechanism=sasl.mechanism,
    )


def _librdkafka_tls(tls: Tls) -> Properties:
    conf: Properties = {"enable.ssl.certificate.verification": not tls.insecure_skip_verify}
    files = {
        "ssl.ca.location": tls.ca_file,
        "ssl.certificate.location": tls.cert_file,
        "ssl.key.location": tls.key_file,
    }
    conf.update({name: path for name, path in files.items() if path})
    return conf


def _without(conf: Properties, prefixes: tuple[str, ...]) -> Properties:
    return {key: value for key, value in conf.items() if not key.startswith(prefixes)}
