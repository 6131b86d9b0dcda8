"""The whole of it behind locks: mTLS in, a Kafka with TLS, logins and ACLs, tokens on all pages, TLS to backends."""

from __future__ import annotations

import contextlib
import json
import ssl
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from sampler.acls import Process, needs_of
from sampler.config.models import Config
from tests.harness.distribution import MissingToolError
from tests.harness.otlp_backend import BackendThread, OtlpBackend
from tests.harness.process import TestProcess, free_ports, sampler_process, wait_until
from tests.harness.prometheus import Prometheus
from tests.harness.recording import first_traces, kept_by_hand, made_up_rows, read_rows, recording, requests
from tests.harness.secured import Certificates, SecuredKafka, TokenServer

pytestmark = pytest.mark.kafka

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPANS = 30_000
SPANS_PER_REQUEST = 1000
PARTITIONS = 4
READY_S = 90.0
ARRIVED_S = 90.0

SECRETS = {
    "TEST_AGENT_PASSWORD": "s3cret-password-of-the-agent",
    "TEST_CLIENT_SECRET": "s3cret-of-the-oauth-client",
    "TEST_WEB_TOKEN": "s3cret-token-of-the-pages",
    "TEST_BACKEND_TOKEN": "s3cret-token-of-the-backend",
    "TEST_SENDER_TOKEN": "s3cret-token-of-the-sender",
}
POLICIES = {
    "decision_wait": "2s",
    "policies": [
        {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}},
        {"name": "draw", "type": "probabilistic", "probabilistic": {"sampling_percentage": 5}},
    ],
}


class Pipeline:
    """Agent, two workers and an exporter, each with its own login; their pages are https and want a token."""

    def __init__(self, folder: Path, kafka: SecuredKafka, certificates: Certificates) -> None:
        self.folder = folder
        self.kafka = kafka
        self.certificates = certificates
        self.processes: dict[str, TestProcess] = {}
        self.ports: dict[str, int] = {}
        self.configs: dict[str, Path] = {}
        self._pages = certificates.issue("web")
        self._context = ssl.create_default_context(cafile=certificates.ca_file)

    def start(self, name: str, process: Process, login: dict[str, Any], more: dict[str, Any]) -> None:
        """Start a process under a login that may do what is listed for it, and no more."""
        (self.ports[name],) = free_ports(1)
        config = {
            "kafka": {"create_topics": False, "group_id": "secured", **login},
            "web": {
                "endpoint": f"localhost:{self.ports[name]}", "tls": self._pages,
                "token": "${env:TEST_WEB_TOKEN}", "protect_metrics": True,
            },
            "log": {"format": "json", "level": "debug" if process == "exporter" else "info"},
            **more,
        }  # fmt: skip
        path = self.configs[name] = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(config))
        policies = self.folder / "policies.yaml"
        policies.write_text(json.dumps({"tail_sampling": POLICIES}))
        arguments = [process, "--config", str(path), *(["--policies", str(policies)] if process != "agent" else [])]
        self.processes[name] = sampler_process(arguments, self.folder / f"{name}.log", SECRETS).start()

    def page(self, name: str, path: str, token: str | None = SECRETS["TEST_WEB_TOKEN"]) -> tuple[int, str]:
        """Status and text of a page of a process; 0 while nobody answers."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"https://localhost:{self.ports[name]}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5, context=self._context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self) -> None:
        """Wait until all processes are."""
        for name, process in self.processes.items():
            process.wait_until(lambda name=name: self.page(name, "/readyz", None)[0] == 200, READY_S, f"{name} ready")

    def logs(self) -> str:
        """The ends of all logs, for an error."""
        return "\n".join(f"--- {name}\n{process.output()[-3000:]}" for name, process in self.processes.items())


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """The secured Kafka with the topics, and a pipeline of which nothing runs yet."""
    certificates = Certificates(tmp_path)
    kafka = SecuredKafka(certificates, tmp_path, {})
    try:
        kafka.start()
    except MissingToolError as error:
        pytest.fail(str(error), pytrace=False)
    made = Pipeline(tmp_path, kafka, certificates)
    try:
        topics = Config().kafka.topics
        for name in (topics.spans, topics.sampled, topics.dead_letter):
            kafka.create_topic(name, PARTITIONS)
        for name in (topics.decisions, topics.keyspace):
            kafka.create_topic(name, PARTITIONS if name == topics.decisions else 1, 1, {"cleanup.policy": "compact"})
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
        kafka.stop()


def allow(kafka: SecuredKafka, user: str, process: Process, config: Config) -> None:
    """What a process needs, by its configuration."""
    kafka.allow(user, [(need.kind, need.name, need.operation) for need in needs_of(process, config)])


def start_all(pipeline: Pipeline, backend_port: int, token_url: str) -> int:
    """Start everything, each under another kind of login, and wait until it is ready; the port of OTLP/gRPC."""
    kafka, certificates, folder = pipeline.kafka, pipeline.certificates, pipeline.folder
    tls = {"ca_file": certificates.ca_file}
    kafka.add_scram_user("agent", SECRETS["TEST_AGENT_PASSWORD"])
    (folder / "senders").write_text(f"{SECRETS['TEST_SENDER_TOKEN']} acme\n")
    (port,) = free_ports(1)
    backend = {
        "name": "tempo", "endpoint": f"localhost:{backend_port}", "tls": tls,
        "headers": {"Authorization": "Bearer ${env:TEST_BACKEND_TOKEN}"},
    }  # fmt: skip
    exporter = {"backends": [backend]}
    config = Config.model_validate({"kafka": {"create_topics": False, "group_id": "secured"}, "exporter": exporter})
    users: tuple[tuple[str, Process], ...] = (("agent", "agent"), ("worker", "worker"), ("app", "exporter"))
    for user, process in users:
        allow(kafka, user, process, config)
    sasl = {"username": "agent", "password": "${env:TEST_AGENT_PASSWORD}", "mechanism": "SCRAM-SHA-512"}
    receiving = {
        "grpc": {
            "endpoint": f"localhost:{port}",
            "tls": {**certificates.issue("agent"), "client_ca_file": certificates.ca_file},
        },
        "http": {"enabled": False},
        "auth": {"tokens_file": str(folder / "senders")},
    }
    login = {"brokers": kafka.listener("SASL"), "tls": tls, "auth": {"sasl": sasl}}
    pipeline.start("agent", "agent", login, {"agent": receiving})
    login = {"brokers": kafka.listener("MTLS"), "tls": {**tls, **certificates.issue("worker")}}
    for number in (1, 2):
        worker = {"data_dir": str(folder / f"data-{number}"), "session_timeout": "10s", "heartbeat_interval": "1s"}
        pipeline.start(f"worker-{number}", "worker", login, {"worker": worker})
    source = {"token_url": token_url, "client_id": "app", "client_secret": "${env:TEST_CLIENT_SECRET}"}
    oauth = {"sasl": {"mechanism": "OAUTHBEARER", "oauthbearer": source}}
    login = {"brokers": kafka.listener("OAUTH"), "tls": tls, "auth": oauth}
    pipeline.start("exporter", "exporter", login, {"exporter": exporter})
    pipeline.wait_ready()
    return port


def scraping(pipeline: Pipeline) -> Prometheus:
    """A Prometheus that brings the token and knows the authority."""
    token = pipeline.folder / "scrape.token"
    token.write_text(SECRETS["TEST_WEB_TOKEN"])
    targets = {name: [f"localhost:{port}"] for name, port in pipeline.ports.items()}
    access = {
        "scheme": "https",
        "tls_config": {"ca_file": pipeline.certificates.ca_file},
        "authorization": {"credentials_file": str(token)},
    }
    return Prometheus(pipeline.folder / "prometheus", targets, scrape=access)


def send(pipeline: Pipeline, port: int, bodies: Iterator[bytes]) -> None:
    """Everything over one mTLS connection, with the sender's token."""
    client = pipeline.certificates.issue("sender")
    credentials = grpc.ssl_channel_credentials(
        *(Path(file).read_bytes() for file in (pipeline.certificates.ca_file, client["key_file"], client["cert_file"]))
    )
    token = (("authorization", f"Bearer {SECRETS['TEST_SENDER_TOKEN']}"),)
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        export = channel.unary_unary(EXPORT)
        answers = [export.future(body, timeout=60, metadata=token, wait_for_ready=True) for body in bodies]
        assert {answer.result() for answer in answers} == {b""}
        with pytest.raises(grpc.RpcError, match="Authorization"):
            export(b"", timeout=60)


def arrived(backend: OtlpBackend) -> dict[str, set[str]]:
    """Span ids by trace id of what the backend has accepted."""
    found: dict[str, set[str]] = defaultdict(set)
    for received in list(backend.received):
        for resource_spans in received.request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    found[span.trace_id.hex()].add(span.span_id.hex())
    return found


def test_the_recording_through_a_secured_pipeline(pipeline: Pipeline) -> None:
    """What a plain script keeps of the recording arrives at the backend, whole and with the sender's tenant.

    Prometheus counts the same, and none of the secrets is in any log, page or printed configuration.
    """
    path = recording()
    rows = read_rows(path) if path.is_file() else made_up_rows(3000, 5)
    traces = first_traces(rows, SPANS)
    kept = kept_by_hand(row for own in traces.values() for row in own)
    assert len(kept) > 20
    pair = pipeline.certificates.issue("backend")
    pem = Path(pair["key_file"]).read_bytes(), Path(pair["cert_file"]).read_bytes()
    backend = OtlpBackend(credentials=grpc.ssl_server_credentials([pem]))
    with (
        TokenServer("app", SECRETS["TEST_CLIENT_SECRET"], "app") as tokens,
        BackendThread(backend),
        contextlib.ExitStack() as stack,
    ):
        port = start_all(pipeline, backend.grpc_port, tokens.url)
        prometheus = stack.enter_context(scraping(pipeline))
        send(pipeline, port, requests(traces.values(), SPANS_PER_REQUEST))
        wait_until(lambda: arrived(backend).keys() >= kept.keys(), ARRIVED_S, "kept traces", pipeline.logs)
        wait_until(lambda: arrived(backend) == kept, ARRIVED_S, "all spans of kept traces", pipeline.logs)
        assert {each.headers["authorization"] for each in backend.received} == {
            f"Bearer {SECRETS['TEST_BACKEND_TOKEN']}"
        }
        assert tenants(backend) == {("acme",)}
        look_at_numbers(prometheus, sum(map(len, traces.values())), backend)
        look_for_secrets(pipeline)


def tenants(backend: OtlpBackend) -> set[tuple[str, ...]]:
    """The tenants that resources at the backend name."""
    return {
        tuple(each.value.string_value for each in resource_spans.resource.attributes if each.key == "tenant.id")
        for received in backend.received
        for resource_spans in received.request.resource_spans
    }


def look_at_numbers(prometheus: Prometheus, sent: int, backend: OtlpBackend) -> None:
    """What Prometheus has scraped over TLS comes to what was sent and what has arrived."""
    numbers: Mapping[str, Callable[[], float]] = {
        "sum(up)": lambda: 4,
        "sum(tailsampler_agent_spans_accepted_total)": lambda: sent,
        'sum(tailsampler_agent_requests_total{outcome="unauthenticated"})': lambda: 1,
        "sum(tailsampler_spans_received_total)": lambda: sent,
        "sum(tailsampler_exporter_sent_spans_total)": lambda: float(backend.spans.total()),
    }
    for query, number in numbers.items():
        wait_until(
            lambda query=query, number=number: prometheus.value(query) == number(), ARRIVED_S, query,
            lambda query=query: f"{prometheus.query(query)}\n{prometheus.targets()}",
        )  # fmt: skip


def look_for_secrets(pipeline: Pipeline) -> None:
    """End everything, and search all that was written and shown; every line of a log is JSON with the same fields."""
    shown = {}
    for name in pipeline.processes:
        assert pipeline.page(name, "/status", None)[0] == pipeline.page(name, "/metrics", "wrong-token")[0] == 401
        for page in ("/status", "/metrics", "/readyz?verbose", "/"):
            status, shown[f"{name} {page}"] = pipeline.page(name, page)
            assert status == 200, (name, page)
        printing = sampler_process(
            ["config", "print", "--resolved", "--config", str(pipeline.configs[name])],
            pipeline.folder / f"{name}.printed",
            SECRETS,
        ).start()
        assert printing.wait(60) == 0
        shown[f"{name} config print"] = printing.output()
    for name, process in pipeline.processes.items():
        assert process.terminate() == 0, process.output()
        shown[f"{name} log"] = process.output()
        lines = [json.loads(line) for line in process.output().splitlines()]
        assert lines
        for line in lines:
            assert [*line][:5] == ["time", "level", "logger", "message", "process"]
            assert line["process"] == name.partition("-")[0]
    key = (pipeline.folder / "agent.key").read_text().splitlines()[1]
    for where, text in shown.items():
        for secret in (*SECRETS.values(), key):
            assert secret not in text, where
