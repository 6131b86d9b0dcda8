"""`config.yaml`: defaults, mistakes, secrets, and what the Kafka clients are told."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from sampler.config import Config, ConfigError, load_config
from sampler.config.base import dump_public
from sampler.config.security import (
    admin_conf,
    aiokafka_options,
    consumer_conf,
    faust_credentials,
    librdkafka_conf,
    producer_conf,
    security_protocol,
    ssl_context,
)  # fmt: skip

SECRET = "hush-hush-0123"  # not a password of anything


def load(tmp_path: Path, text: str, **environment: str) -> Config:
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    return load_config(tmp_path / "config.yaml", environment=environment)


def complaints(tmp_path: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environment)
    return [line.removeprefix(f"{tmp_path}/config.yaml:") for line in str(caught.value).splitlines()]


def test_nothing_given_is_the_defaults(tmp_path: Path) -> None:
    """No file, an empty file and empty sections all mean the defaults."""
    assert load_config(None) == load(tmp_path, "") == load(tmp_path, "kafka:\nworker:\n  trace_table:\n") == Config()


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """One line each: line, key, what is wrong, and the name that was meant."""
    text = (
        "kafka:\n  brokers: nowhere\n  topcs: {}\n  topics: {spans: 'a b'}\nworker:\n  session_timeout: 30\n"
        "  scanner: fast\n  trace_table: [1]\n  decision_cache:\n    ttl: 0s\n"
    )
    assert complaints(tmp_path, text) == [
        "2: kafka.brokers: 'nowhere' is not host:port, such as localhost:9092",
        "3: kafka.topcs: unknown key (did you mean topics?)",
        "4: kafka.topics.spans: has characters that are not allowed here",
        "6: worker.session_timeout: a duration needs a unit: write 30s or 30ms",
        "7: worker.scanner: must be one of 'auto', 'compiled', 'upb'",
        "8: worker.trace_table: must be a mapping",
        "10: worker.decision_cache.ttl: must be more than 0",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafka: {replication_factor: 1, min_insync_replicas: 2}", "nothing could ever be written"),
        ("kafka: {topics: {spans: a, sampled: a}}", "the same name"),
        ("kafka: {tls: {cert_file: a}}", "belong together"),
        ("kafka: {librdkafka: {acks: 1}}", "acks cannot be set here"),
        ("worker: {session_timeout: 6s}", "at most a third"),
        ("agent: {grpc: {enabled: false}, http: {enabled: false}}", "nothing could be received"),
        ("agent: {max_buffer: 1MiB}", "could never be taken"),
        ("web: {endpoint: localhost}", "must be host:port"),
        ("- a", "must be a mapping"),
    ],
)
def test_settings_that_cannot_work_together(tmp_path: Path, text: str, said: str) -> None:
    """Each is refused with the reason."""
    (line,) = complaints(tmp_path, text)
    assert said in line


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    """Its name and why."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    """Overrides replace single values and are checked like them; None is no override."""
    (tmp_path / "c.yaml").write_text("kafka: {brokers: 'a:1', group_id: g}", encoding="utf-8")
    config = load_config(tmp_path / "c.yaml", {"kafka.brokers": "b:2,c:3", "log.level": None})
    assert (config.kafka.brokers, config.kafka.group_id) == (("b:2", "c:3"), "g")
    with pytest.raises(ConfigError, match=r"^command line: kafka\.brokers: 'x' is not host:port"):
        load_config(None, {"kafka.brokers": "x"})


def test_variables_take_the_type_of_their_place(tmp_path: Path) -> None:
    """A password made of digits stays what it is; a number becomes a number."""
    text = "kafka:\n  partitions: ${P}\n  auth:\n    sasl:\n      username: u\n      password: ${PW}\n"
    kafka = load(tmp_path, text, P="6", PW="0123").kafka
    assert kafka.partitions == 6
    assert kafka.auth.sasl
    assert kafka.auth.sasl.password.get_secret_value() == "0123"


def test_secrets_never_show(tmp_path: Path) -> None:
    """Neither in repr, nor in what is printed, nor in errors about them or beside them."""
    good = (
        f"kafka:\n  auth:\n    sasl: {{username: u, password: {SECRET}}}\n"
        f"  librdkafka: {{ssl.key.password: {SECRET}, linger.ms: 7}}\n"
    )
    config = load(tmp_path, good)
    shown = yaml.safe_dump(dump_public(config))
    assert SECRET not in repr(config) + str(config) + shown
    assert "linger.ms: 7" in shown
    bad = [
        f"kafka:\n  auth:\n    sasl: {{username: u, password: [{SECRET}]}}\n",
        f"kafka:\n  auth:\n    sasl: {{username: u, passwrd: {SECRET}}}\n",
        f"kafka:\n  auth: {SECRET}\n",
        "kafka:\n  partitions: ${PW}\n",
        f"kafka:\n  librdkafka: {{ssl.key.password: [{SECRET}], acks: {SECRET}}}\n",
    ]
    assert all(SECRET not in line for text in bad for line in complaints(tmp_path, text, PW=SECRET))


def test_printed_configuration_reads_back(tmp_path: Path) -> None:
    """What `config print` shows is a valid file of the same meaning."""
    config = load(tmp_path, "kafka: {retention: 1h30m, brokers: 'a:1'}\nagent: {record_size: 64KiB}\n")
    assert load(tmp_path, yaml.safe_dump(dump_public(config))) == config


def certificate(tmp_path: Path) -> tuple[str, str]:
    key, cert = tmp_path / "k.pem", tmp_path / "c.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test",
         "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True,
    )  # fmt: skip
    return str(cert), str(key)


@pytest.mark.parametrize(
    ("tls", "sasl", "protocol"),
    [
        ("", "", "PLAINTEXT"),
        ("tls: {insecure: true}", "", "PLAINTEXT"),
        ("tls: {}", "", "SSL"),
        ("", "auth: {sasl: {username: u, password: p}}", "SASL_PLAINTEXT"),
        ("tls: {insecure_skip_verify: true}", "auth: {sasl: {username: u, password: p}}", "SASL_SSL"),
    ],
)
def test_every_client_is_told_the_same_security(tmp_path: Path, tls: str, sasl: str, protocol: str) -> None:
    """The properties suit librdkafka; aiokafka and Faust get the matching protocol."""
    kafka = load(tmp_path, f"kafka:\n  brokers: a:1\n  {tls}\n  {sasl}\n").kafka
    assert security_protocol(kafka) == librdkafka_conf(kafka)["security.protocol"] == protocol
    assert aiokafka_options(kafka)["security_protocol"] == protocol
    credentials = faust_credentials(kafka)
    assert (credentials.protocol.value if credentials else "PLAINTEXT") == protocol
    Producer({**producer_conf(kafka), "log_level": 0})
    AdminClient({**admin_conf(kafka), "log_level": 0})


def test_tls_files_reach_both_libraries(tmp_path: Path) -> None:
    """Certificates, key and lowest version."""
    cert, key = certificate(tmp_path)
    kafka = load(
        tmp_path, f'kafka: {{tls: {{ca_file: {cert}, cert_file: {cert}, key_file: {key}, min_version: "1.3"}}}}'
    ).kafka
    context = ssl_context(kafka)
    assert context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.get_ca_certs()
    conf = librdkafka_conf(kafka)
    assert (conf["ssl.ca.location"], conf["ssl.certificate.location"], conf["ssl.key.location"]) == (cert, cert, key)
    Producer({**conf, "log_level": 0})


def test_pass_through_reaches_the_clients_that_know_it(tmp_path: Path) -> None:
    """Producer properties stay away from consumers and the other way round; promises are kept."""
    text = "kafka: {librdkafka: {compression.type: zstd, fetch.min.bytes: 5, client.rack: r}}"
    kafka = load(tmp_path, text).kafka
    consumer, producer = consumer_conf(kafka), producer_conf(kafka)
    assert ("compression.type" in consumer, "compression.type" in producer) == (False, True)
    assert ("fetch.min.bytes" in consumer, "fetch.min.bytes" in producer) == (True, False)
    assert consumer["client.rack"] == producer["client.rack"] == admin_conf(kafka)["client.rack"] == "r"
    assert (consumer["enable.auto.commit"], producer["enable.idempotence"], producer["acks"]) == (False, True, "all")


def test_annotation_presets() -> None:
    """A preset gives the names, single names go before it."""
    load_names = Config.model_validate
    annotation = {"preset": "honeycomb", "policy_attribute": "why"}
    names = load_names({"worker": {"annotation": annotation}}).worker.annotation.names
    assert names == ("SampleRate", "why", True)
    assert Config().worker.annotation.names == ("sampling.rate", "sampling.policy", False)
