"""No client of Kafka is made without what `kafka.auth` and `kafka.tls` say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
HOME = "sampler/config/security.py"
DEMO = {"sampler/demo/reader.py"}
"""Speaks to the broker inside the same command."""

CLIENTS = {"Producer", "Consumer", "AdminClient", "SerializingProducer", "DeserializingConsumer", "AvroProducer"}
PLACES = {"bootstrap.servers", "metadata.broker.list", "bootstrap_servers"}

FILES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "sampler").rglob("*.py"))
}


def made(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls that make a client."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            if name in CLIENTS or name.startswith("AIOKafka"):
                yield node


def addresses(tree: ast.AST) -> Iterator[int]:
    """The lines that tell a client where the brokers are: keys of a mapping, keyword arguments, assignments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from (key.lineno for key in node.keys if isinstance(key, ast.Constant) and key.value in PLACES)
        elif isinstance(node, ast.keyword) and node.arg in PLACES:
            yield node.value.lineno
        elif isinstance(node, ast.Assign):
            targets = (target for target in node.targets if isinstance(target, ast.Subscript))
            yield from (t.lineno for t in targets if isinstance(t.slice, ast.Constant) and t.slice.value in PLACES)


def test_only_one_file_says_where_the_brokers_are() -> None:
    """No client can be made without that, and the file says how to be let in along with it."""
    found = {name for name, tree in FILES.items() if [*addresses(tree)]}
    # A list of settings that may not be passed through names it too.
    assert found - DEMO - {"sampler/config/kafka.py"} == {HOME}


def test_no_client_gets_security_of_its_own() -> None:
    """Nobody but that file says anything of TLS or logins to a client: it holds for all of them, or for none."""
    words = ("security.protocol", "sasl.", "ssl.", "oauth_cb")
    for name, tree in FILES.items():
        if name in {HOME, "sampler/config/kafka.py"}:
            continue
        keys = [
            key.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Dict)
            for key in node.keys
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value.startswith(words)
        ]
        assert keys == [], name


def test_the_clients_are_found() -> None:
    """What is looked for is there: the agent, the worker, the topics and the exporter make clients of librdkafka."""
    found = {name.split("/")[1] for name, tree in FILES.items() if [*made(tree)]}
    assert found >= {"agent", "exporter", "stream", "topics"}


def test_faust_gets_the_credentials() -> None:
    """The one app is made with `broker_credentials`, and the worker fills them in from the configuration."""
    apps = [
        {keyword.arg for keyword in node.keywords}
        for tree in FILES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"faust.App", "App"}
    ]
    assert len(apps) == 1
    assert "broker_credentials" in apps[0]
    assert "broker_credentials=faust_credentials(kafka)" in (ROOT / "sampler/stream/assembly.py").read_text()


def test_the_checks_see_what_they_forbid() -> None:
    """In each of its forms."""
    code = (
        'Producer({"bootstrap.servers": x})\nf(bootstrap_servers=y)\nc["metadata.broker.list"] = z\nAIOKafkaClient()\n'
    )
    assert sorted(addresses(ast.parse(code))) == [1, 2, 3]
    assert len([*made(ast.parse(code))]) == 2
