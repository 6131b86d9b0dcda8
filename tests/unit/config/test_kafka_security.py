"""`kafka.auth` and `kafka.tls`: what may be written, and what the clients get of it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sampler.acls import commands, needs_of
from sampler.cli.root import invoke
from sampler.config.base import dump_public
from sampler.config.errors import ConfigError
from sampler.config.exposure import exposures
from sampler.config.kafka_auth import OauthBearer
from sampler.config.models import Config
from sampler.config.security import admin_conf, aiokafka_options, faust_credentials, librdkafka_conf, usable_files
from sampler.config.tokens import TokenError, TokenProvider, fetch_token
from tests.harness.secured import Certificates, TokenServer, token

SECRET = "hunter2-the-secret"
LOGIN = {"username": "u", "password": "p"}
CLIENT = {"token_url": "https://login.example/token", "client_id": "app", "client_secret": SECRET}


def kafka(**block: Any) -> Any:
    """The `kafka:` block."""
    return Config.model_validate({"kafka": {"brokers": "a:1", **block}}).kafka


@pytest.mark.parametrize(
    ("sasl", "words"),
    [
        ({"username": "u"}, "password_file"),
        ({"username": "u", "password": "p", "password_file": "f"}, "both set"),
        ({"password": "p"}, "needs username"),
        ({"username": "u", "password": ""}, "at least 1"),
        ({"mechanism": "OAUTHBEARER"}, "needs the block oauthbearer"),
        ({"mechanism": "OAUTHBEARER", "oauthbearer": CLIENT, **LOGIN}, "no username"),
        ({**LOGIN, "oauthbearer": CLIENT}, "mechanism: OAUTHBEARER"),
        ({"mechanism": "GSSAPI", **LOGIN}, "OAUTHBEARER"),
        ({"mechanism": "OAUTHBEARER", "oauthbearer": {"client_id": "a"}}, "token_url and client_id"),
        ({"mechanism": "OAUTHBEARER", "oauthbearer": {**CLIENT, "client_secret": None}}, "client_secret_file"),
        ({"mechanism": "OAUTHBEARER", "oauthbearer": {**CLIENT, "token_file": "f"}}, "stands alone"),
        ({"mechanism": "OAUTHBEARER", "oauthbearer": {**CLIENT, "token_url": "http://far/t"}}, "plain http"),
        ({"mechanism": "OAUTHBEARER", "oauthbearer": {**CLIENT, "token_url": "ftp://far"}}, "must be a URL"),
        ({"mechanism": "OAUTHBEARER", "oauthbearer": {**CLIENT, "token_url": "https://u:p@far/"}}, "user or password"),
        ({"mechanism": "OAUTHBEARER", "oauthbearer": {**CLIENT, "extensions": {"auth": "x"}}}, "extension"),
        ({"mechanism": "OAUTHBEARER", "oauthbearer": {**CLIENT, "extensions": {"a": "x,b=y"}}}, "extension"),
    ],
)
def test_what_cannot_be_meant_is_refused(sasl: dict[str, Any], words: str) -> None:
    """Half a login, two kinds of it, a secret in clear text over the network: an error that says so."""
    with pytest.raises(ValidationError, match=words) as refused:
        kafka(auth={"sasl": sasl})
    assert SECRET not in str(refused.value)


def test_a_password_from_a_file(tmp_path: Path) -> None:
    """It reaches every client without the line end behind it, and is not printed; a missing file is one line."""
    file = tmp_path / "password"
    file.write_text(SECRET + "\r\n")
    block = kafka(auth={"sasl": {"username": "u", "password_file": str(file), "mechanism": "PLAIN"}})
    assert librdkafka_conf(block)["sasl.password"] == SECRET
    assert aiokafka_options(block)["sasl_plain_password"] == SECRET
    assert faust_credentials(block).password == SECRET
    assert SECRET not in repr(faust_credentials(block)) + yaml.safe_dump(dump_public(block)) + repr(block)
    for content in (None, b"", b"\xff\xfe", b"x" * 100_000):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"kafka\.auth\.sasl\.password: the file"):
            usable_files(block)


def test_client_credentials_reach_both_libraries() -> None:
    """The data plane asks for tokens itself; aiokafka and Faust get a provider that asks for the same."""
    source = {**CLIENT, "scope": "kafka", "extensions": {"logicalCluster": "lkc-1"}, "ca_file": "ca.pem"}
    block = kafka(auth={"sasl": {"mechanism": "OAUTHBEARER", "oauthbearer": source}}, tls={})
    conf = librdkafka_conf(block)
    assert {name: value for name, value in conf.items() if name.startswith(("sasl.", "https.", "security."))} == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": "https://login.example/token",
        "sasl.oauthbearer.client.id": "app",
        "sasl.oauthbearer.client.secret": SECRET,
        "sasl.oauthbearer.scope": "kafka",
        "sasl.oauthbearer.extensions": "logicalCluster=lkc-1",
        "https.ca.location": "ca.pem",
    }
    provider = aiokafka_options(block)["sasl_oauth_token_provider"]
    assert provider.extensions() == {"logicalCluster": "lkc-1"}
    assert type(faust_credentials(block).oauth_cb) is type(provider)
    assert SECRET not in yaml.safe_dump(dump_public(block))


def test_tokens_are_asked_for_and_used_for_a_while() -> None:
    """One request serves many connections; a wrong secret, and an address that nobody answers at, are said so."""
    with TokenServer("app", SECRET, "me") as server:
        source = OauthBearer.model_validate({**CLIENT, "token_url": server.url})
        provider = TokenProvider(source)

        async def many() -> set[str]:
            return {await provider.token() for _ in range(5)}

        assert len(asyncio.run(many())) == 1
        assert server.given == 1
        wrong = OauthBearer.model_validate({**CLIENT, "token_url": server.url, "client_secret": "another secret"})
        with pytest.raises(TokenError, match="401") as refused:
            fetch_token(wrong)
        assert "another" not in str(refused.value)
    with pytest.raises(TokenError, match="cannot be asked"):
        fetch_token(source)


def test_the_client_secret_is_not_sent_where_a_redirection_points() -> None:
    """A token endpoint that sends elsewhere gives no token."""
    with TokenServer("app", SECRET, "me") as target, TokenServer("app", SECRET, "me", moved_to=target.url) as server:
        with pytest.raises(TokenError, match="302"):
            fetch_token(OauthBearer.model_validate({**CLIENT, "token_url": server.url}))
        assert target.given == 0


def test_tokens_from_a_file_are_read_again(tmp_path: Path) -> None:
    """A token that ends soon is read anew for the next connection; what has ended, or is none, is an error."""
    file = tmp_path / "token"
    source = OauthBearer(token_file=str(file))
    now_s = time.time()
    provider = TokenProvider(source, lambda: now_s)
    first, second = token("first", 1000), token("second", 3000)
    file.write_text(first)
    assert asyncio.run(provider.token()) == first
    file.write_text(second)
    assert asyncio.run(provider.token()) == first
    now_s += 900
    assert asyncio.run(provider.token()) == second
    for content, words in ((token("late", -5), "has expired"), ("no.token", "no JSON Web Token")):
        file.write_text(content)
        with pytest.raises(TokenError, match=words) as refused:
            fetch_token(source)
        assert content not in str(refused.value)


@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_a_file_of_tls_that_cannot_be_used_is_named(tmp_path: Path, key: str) -> None:
    """With its key, before any library has seen it."""
    files = {"ca_file": Certificates(tmp_path).ca_file, **Certificates(tmp_path, "client").issue("me")}
    usable_files(kafka(tls=files))
    Path(files[key]).write_text("damaged")
    with pytest.raises(ConfigError, match=rf"kafka\.tls\.{key}: cannot be used"):
        usable_files(kafka(tls=files))


def test_an_encrypted_key_needs_its_password(tmp_path: Path) -> None:
    """Without one nobody is asked at a terminal."""
    from cryptography.hazmat.primitives import serialization

    files = Certificates(tmp_path).issue("me")
    key = serialization.load_pem_private_key(Path(files["key_file"]).read_bytes(), None)
    Path(files["key_file"]).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(SECRET.encode()),
        )
    )
    usable_files(kafka(tls={**files, "key_password": SECRET}))
    assert librdkafka_conf(kafka(tls={**files, "key_password": SECRET}))["ssl.key.password"] == SECRET
    for wrong in ({}, {"key_password": "wrong"}):
        with pytest.raises(ConfigError, match=r"kafka\.tls\.cert_file"):
            usable_files(kafka(tls={**files, **wrong}))


@pytest.mark.parametrize("name", ["security.protocol", "sasl.password", "sasl.username", "sasl.mechanism"])
def test_a_login_for_some_clients_only_is_refused(name: str) -> None:
    """What is passed through reaches only one of the libraries."""
    with pytest.raises(ValidationError, match="every client"):
        kafka(librdkafka={name: "x"})


def test_the_acls_of_a_process_follow_from_its_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each process is given what it does, the commands can be pasted into a shell."""
    config = Config.model_validate(
        {
            "kafka": {"create_topics": False, "group_id": "my group"},
            "agent": {"kafka_source": {"topics": ["raw"]}},
            "exporter": {"backends": [{"name": "tempo", "endpoint": "tempo:4317"}]},
        }
    )
    wanted = {
        "agent": {"Write otlp_spans", "Read raw", "Write otlp_spans_dead_letter", "Read tailsampler-repartition"},
        "worker": {
            "Read otlp_spans", "DescribeConfigs otlp_spans",
            "Read tailsampler.decisions", "Write tailsampler.decisions",
            "Read tailsampler.keyspace", "Write tailsampler.keyspace", "Write otlp_spans_sampled", "Write acme",
            "Write otlp_spans_dead_letter", "Read my group",
        },
        "exporter": {
            "Read otlp_spans_sampled", "Read acme", "Write otlp_spans_dead_letter", "Read my group-exporter-tempo",
        },
    }  # fmt: skip
    for process in ("agent", "worker", "exporter"):
        tenants = () if process == "agent" else ("acme",)
        assert {f"{need.operation} {need.name}" for need in needs_of(process, config, tenants)} == wanted[process]
    lines = commands(needs_of("worker", config), "User:me", "kafka:9092")
    assert lines[-1].startswith("kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal User:me")
    assert any("--operation Read --group 'my group'" in line for line in lines)
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(config.model_dump(mode="json", exclude_unset=True)))
    assert invoke(["topics", "acls", "--config", str(file), "--principal", "User:me", "--process", "agent"]) == 0
    printed = capsys.readouterr().out
    assert "--operation Write --topic otlp_spans\n" in printed
    assert "decisions" not in printed
    assert invoke(["topics", "acls", "--principal", "me"]) == 2
    assert "User:" in capsys.readouterr().err


def test_every_client_logs_through_the_log(tmp_path: Path) -> None:
    """The library's own lines go the way of all others."""
    assert admin_conf(kafka())["logger"].name == "librdkafka"


def test_what_travels_in_clear_text_is_said() -> None:
    """Credentials without TLS, on ports that others reach, and brokers that anyone may pass for."""
    risky = {
        "kafka": {"brokers": "a:1", "auth": {"sasl": {**LOGIN, "mechanism": "PLAIN"}}},
        "agent": {"grpc": {"endpoint": "0.0.0.0:4317"}, "auth": {"tokens_file": "f"}},
        "web": {"endpoint": "0.0.0.0:8484", "token": SECRET},
    }
    said = exposures(Config.model_validate(risky), agent=True)
    assert [text.partition(":")[0] for text in said] == [
        "kafka.auth.sasl without kafka.tls", "agent.auth without agent.grpc.tls", "web.token without web.tls"
    ]  # fmt: skip
    assert len(exposures(Config.model_validate(risky), agent=False)) == 2
    assert exposures(Config(), agent=True) == []
    unsure = Config.model_validate({"kafka": {"tls": {"insecure_skip_verify": True}, "auth": {"sasl": LOGIN}}})
    assert [text.partition(":")[0] for text in exposures(unsure, agent=True)] == ["kafka.tls.insecure_skip_verify"]
