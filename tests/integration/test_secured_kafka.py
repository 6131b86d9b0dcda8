"""A Kafka with TLS, logins and ACLs: what is let in, what is not, and how that is said."""

from __future__ import annotations

import asyncio
import datetime
import gc
import json
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiokafka.client import AIOKafkaClient
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from sampler.acls import Process, needs_of
from sampler.cli.root import invoke
from sampler.config.models import Config
from sampler.config.security import admin_conf, aiokafka_options, consumer_conf, producer_conf
from sampler.topics.access import ForbiddenError, Need, check_access
from tests.harness.distribution import MissingToolError
from tests.harness.process import TestProcess, sampler_process
from tests.harness.secured import Acl, Certificates, SecuredKafka, TokenServer, token
from tests.harness.tier import Tier
from tests.harness.traffic import encode, plan_traces, read_sampled

pytestmark = pytest.mark.kafka

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
CLIENT_SECRET = "s3cret-of-the-client"
ENDED_S = 60.0


class Site:
    """The secured Kafka, and everybody's credentials."""

    def __init__(self, kafka: SecuredKafka, certificates: Certificates, folder: Path, token_url: str) -> None:
        self.kafka = kafka
        self.certificates = certificates
        self.folder = folder
        self.token_url = token_url
        self.strangers = Certificates(folder, "strangers")

    def client(self, way: str, user: str, password: str = "") -> dict[str, Any]:
        """The `kafka:` block of a user, its password (PLAIN, SCRAM) in a file."""
        tls = {"ca_file": self.certificates.ca_file}
        if way == "mtls":
            return self.kafka.client(user)
        if way == "token":
            source = {"token_url": self.token_url, "client_id": user, "client_secret": CLIENT_SECRET}
        elif way == "token file":
            file = self.folder / f"{user}.jwt"
            file.write_text(token(user))
            source = {"token_file": str(file)}
        else:
            file = self.folder / f"{user}.password"
            file.write_text(password or f"password of {user}\n")
            sasl = {"username": user, "password_file": str(file), "mechanism": way}
            return {"brokers": self.kafka.listener("SASL"), "tls": tls, "auth": {"sasl": sasl}}
        sasl = {"mechanism": "OAUTHBEARER", "oauthbearer": source}
        return {"brokers": self.kafka.listener("OAUTH"), "tls": tls, "auth": {"sasl": sasl}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The secured Kafka; user plain has a password for PLAIN, user scram one for SCRAM, user app gets tokens."""
    folder = tmp_path_factory.mktemp("secured")
    certificates = Certificates(folder)
    cluster = SecuredKafka(certificates, folder, {"plain": "password of plain"})
    try:
        cluster.start()
    except MissingToolError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        cluster.add_scram_user("scram", "password of scram")
        with TokenServer("app", CLIENT_SECRET, "app") as tokens:
            yield Site(cluster, certificates, folder, tokens.url)
    finally:
        cluster.stop()


def acls(needs: tuple[Need, ...]) -> list[Acl]:
    """Needs as the harness takes them."""
    return [(need.kind, need.name, need.operation) for need in needs]


WAYS = {"PLAIN": "plain", "SCRAM-SHA-256": "scram", "SCRAM-SHA-512": "scram", "mtls": "cert", "token": "app",
        "token file": "subject"}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_one_block_lets_every_kind_of_client_in(site: Site, topics: Callable[[str], str], way: str) -> None:
    """Admin, producer and consumer of librdkafka and aiokafka, which Faust uses, are let in in each way."""
    topic, user = topics("ways"), WAYS[way]
    site.kafka.create_topic(topic, 1)
    site.kafka.allow(user, [("topic", topic, "Read"), ("topic", topic, "Write"), ("group", topic, "Read")])
    kafka = Config.model_validate({"kafka": {**site.client(way, user), "group_id": topic}}).kafka
    assert topic in AdminClient(admin_conf(kafka)).list_topics(timeout=20).topics
    producer = Producer(producer_conf(kafka))
    producer.produce(topic, b"hello")
    assert producer.flush(20) == 0
    consumer = Consumer({**consumer_conf(kafka), "auto.offset.reset": "earliest"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None
        assert message.value() == b"hello"
    finally:
        consumer.close()

    async def control() -> int:
        client = AIOKafkaClient(**aiokafka_options(kafka))
        await client.bootstrap()
        try:
            return len(client.cluster.brokers())
        finally:
            await client.close()

    with warnings.catch_warnings():
        # aiokafka closes its connections without waiting for TLS to say goodbye, so that the loop ends before.
        warnings.simplefilter("ignore", ResourceWarning)
        assert asyncio.run(control()) == 1
        gc.collect()


def test_traces_pass_with_no_more_than_the_listed_acls(
    site: Site, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """From OTLP to the sampled topic, agent and worker as different users that may do what is listed for them."""
    agent, worker = ("PLAIN", "plain"), ("token", "app")
    policies = {"decision_wait": "500ms", "policies": [ERRORS]}
    with Tier(site.kafka, topics("secured"), tmp_path, policies, partitions=2) as tier:
        config = Config.model_validate(json.loads(tier.config("listed", 0).read_text()))
        site.kafka.allow(agent[1], acls(needs_of("agent", config)))
        site.kafka.allow(worker[1], acls(needs_of("worker", config)))
        tier.client = site.client(*agent)
        tier.start_agent()
        tier.client = site.client(*worker)
        process = tier.start_worker()
        traces = plan_traces(40, 3)
        with grpc.insecure_channel(tier.grpc_endpoint) as channel:
            export = channel.unary_unary(EXPORT)
            for trace in traces:
                assert export(encode(trace.trace_id, trace.spans, 1_700_000_000_000_000_000), timeout=30) == b""
        tier.wait_decided()
        found = read_sampled(site.kafka.read_all(tier.topics["sampled"]))
        failed = {trace.trace_id for trace in traces if any(span.error for span in trace.spans)}
        assert failed
        assert found.trace_ids == failed
        assert tier.workers[0].terminate() == 0
        # The control sequences of a terminal have no place in a log.
        assert "\x1b" not in process.output()
        # A right that is taken away later is told to who sends.
        site.kafka.forbid(agent[1], [("topic", tier.topics["spans"], "Write")])
        with grpc.insecure_channel(tier.grpc_endpoint) as channel:
            export = channel.unary_unary(EXPORT)
            answers = (export.future(encode(uuid.uuid4().bytes, traces[0].spans, 1), timeout=30) for _ in range(1000))
            refused = next(answer for answer in answers if answer.exception() is not None)
        assert f"the ACL Write on topic {tier.topics['spans']} is missing" in refused.details()


@pytest.mark.parametrize("process", ["agent", "worker", "create"])
def test_each_missing_acl_is_named(site: Site, topics: Callable[[str], str], process: Process) -> None:
    """All rights suffice for the check at the start; without one of them it names that one."""
    name = topics("acl")
    names = {role: f"{name}.{role}" for role in ("spans", "sampled", "decisions", "keyspace", "dead_letter")}
    block = {**site.client("mtls", f"{process}-acls"), "topics": names, "group_id": name}
    config = Config.model_validate({"kafka": block})
    for topic in names.values():
        site.kafka.create_topic(topic, 1)
    needs, conf = needs_of(process, config), admin_conf(config.kafka)
    with pytest.raises(ForbiddenError) as refused:
        check_access(conf, needs)
    assert set(refused.value.missing) == set(needs)
    site.kafka.allow(f"{process}-acls", acls(needs))
    check_access(conf, needs)
    for need in needs:
        if need.operation == "Describe":
            continue  # Kafka allows it to who may read or write
        site.kafka.forbid(f"{process}-acls", acls((need,)))
        with pytest.raises(ForbiddenError, match=f"{need.operation} on {need.kind} {need.name}"):
            check_access(conf, needs)
        site.kafka.allow(f"{process}-acls", acls((need,)))


def wrong_blocks(site: Site) -> dict[str, tuple[dict[str, Any], int, str]]:
    """Mistakes: the `kafka:` block, the exit code, and words of the error."""
    right = site.client("PLAIN", "plain", "password of plain")
    scram = site.client("SCRAM-SHA-512", "scram")
    mtls = site.client("mtls", "late")
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    expired_token = site.folder / "expired.jwt"
    expired_token.write_text(token("app", -60))
    oauth = site.client("token", "app")
    source = {**oauth["auth"]["sasl"]["oauthbearer"], "client_secret": "of somebody else"}
    sasl = oauth["auth"]["sasl"]
    no_file = {**right["auth"]["sasl"], "password_file": str(site.folder / "nowhere")}
    return {
        "wrong password": (site.client("PLAIN", "plain", "of somebody else"), 2, "Check kafka.auth.sasl: PLAIN"),
        "unknown user": (site.client("SCRAM-SHA-512", "nobody"), 2, "SCRAM-SHA-512 (user nobody)"),
        "no login": ({**right, "auth": {}}, 1, "as kafka.tls and kafka.auth.sasl say"),
        "no tls": ({"brokers": right["brokers"], "auth": scram["auth"]}, 1, "as kafka.tls and kafka.auth.sasl say"),
        "another authority": ({**right, "tls": {"ca_file": site.strangers.ca_file}}, 2, "Check kafka.tls.ca_file"),
        "no certificate": ({**mtls, "tls": right["tls"]}, 2, "does not take our certificate"),
        "certificate of another": (
            {**mtls, "tls": {**right["tls"], **site.strangers.issue("stranger")}}, 2, "does not take our certificate"
        ),
        "expired certificate": (
            {**mtls, "tls": {**right["tls"], **site.certificates.issue("late", not_after=yesterday)}},
            2, "does not take our certificate",
        ),
        "wrong client secret": ({**oauth, "auth": {"sasl": {**sasl, "oauthbearer": source}}}, 2, "OAUTHBEARER"),
        "expired token": (
            {**oauth, "auth": {"sasl": {**sasl, "oauthbearer": {"token_file": str(expired_token)}}}}, 2, "has expired"
        ),
        "no file": ({**right, "auth": {"sasl": no_file}}, 2, "kafka.auth.sasl.password"),
    }  # fmt: skip


def test_wrong_expired_and_missing_credentials_end_with_one_line(site: Site, tmp_path: Path) -> None:
    """Each mistake ends the process before it begins, with a line that says what to check, and never the secret."""
    mistakes = wrong_blocks(site)
    running: dict[str, TestProcess] = {}
    policies = tmp_path / "policies.yaml"
    policies.write_text(json.dumps({"tail_sampling": {"policies": [ERRORS]}}))
    try:
        for number, (name, (block, _, _)) in enumerate(mistakes.items()):
            config = tmp_path / f"{number}.yaml"
            listen = {part: {"endpoint": "127.0.0.1:0"} for part in ("grpc", "http")}
            worker = {"data_dir": str(tmp_path / f"data-{number}")}
            config.write_text(
                json.dumps({"kafka": block, "agent": listen, "worker": worker, "web": {"endpoint": "127.0.0.1:0"}})
            )
            # Both kinds of process say it alike; each mistake is tried with one of them.
            command = ["agent"] if number % 2 else ["worker", "--policies", str(policies)]
            running[name] = sampler_process([*command, "--config", str(config)], tmp_path / f"{number}.log").start()
        for name, (_, code, words) in mistakes.items():
            ended, output = running[name].wait(ENDED_S), running[name].output().strip()
            assert (name, ended) == (name, code), output
            assert words in output, name
            assert len(output.splitlines()) == 1, output
            assert "somebody else" not in output
    finally:
        for process in running.values():
            process.kill()


def test_commands_are_let_in_and_turned_away_alike(
    site: Site, topics: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tailsampler topics` makes topics with the listed ACLs, names the one that it lacks, and a wrong login."""
    name, file = topics("made"), tmp_path / "config.yaml"
    names = {role: f"{name}.{role}" for role in ("spans", "sampled", "decisions", "keyspace", "dead_letter")}
    block = {**site.client("SCRAM-SHA-512", "scram"), "topics": names, "partitions": 1, "replication_factor": 1}
    file.write_text(json.dumps({"kafka": block}))
    assert invoke(["topics", "create", "--config", str(file)]) == 1
    assert f"the ACL Create on topic {names['spans']} is missing" in capsys.readouterr().err
    site.kafka.allow("scram", acls(needs_of("create", Config.model_validate({"kafka": block}))))
    assert invoke(["topics", "create", "--config", str(file)]) == 0
    assert f"{names['spans']}: created" in capsys.readouterr().out
    file.write_text(json.dumps({"kafka": site.client("SCRAM-SHA-512", "scram", "of somebody else")}))
    assert invoke(["topics", "check", "--config", str(file)]) == 2
    assert "Check kafka.auth.sasl: SCRAM-SHA-512 (user scram)" in capsys.readouterr().err
    # The password of the file is that of all tests.
    site.client("SCRAM-SHA-512", "scram")


def test_an_unreachable_kafka_is_no_mistake(tmp_path: Path) -> None:
    """The check says nothing of brokers that nobody answers for: they may come later."""
    check_access(admin_conf(Config.model_validate({"kafka": {"brokers": "127.0.0.1:1"}}).kafka), ())
