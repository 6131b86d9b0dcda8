"""The command line as its user meets it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sampler.cli.agent import agent_settings
from sampler.cli.root import cli, invoke
from sampler.cli.run import parts, web_endpoint
from sampler.cli.worker import worker
from sampler.config import Config
from sampler.topic_specs import topic_specs

ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


ALL = list(commands(cli))


@pytest.mark.parametrize("path", [path for path, _ in ALL], ids=" ".join)
def test_help_on_every_level(path: tuple[str, ...], capsys: Capture) -> None:
    """Each command says what it does; so does each of its options."""
    assert invoke([*path, "--help"]) == 0
    assert "Usage: tailsampler" in capsys.readouterr().out
    command = dict(ALL)[path]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_help_is_quick() -> None:
    """Nothing heavy is imported before a command runs."""
    code = (
        "import sys\nfrom sampler.cli.root import invoke\ninvoke(['--help'])\ninvoke(['worker', '--help'])\n"
        "print([m for m in ('faust', 'pydantic', 'confluent_kafka', 'grpc', 'yaml', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_command() -> None:
    """`python -m sampler.cli` works."""
    done = subprocess.run(
        [sys.executable, "-m", "sampler.cli", "version"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert re.match(r"tailsampler \S+\n", done.stdout)


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["worker"],
        ["run", "--policies", "/nonexistent.yaml"],
        ["agent", "--config", "/nonexistent.yaml"],
        ["agent", "--brokers", "nowhere"],
        ["policies", "describe", "latncy"],
        ["validate"],
        ["validate", "/nonexistent.yaml"],
        ["simulate", "--policies", "p.yaml"],
    ],
)
def test_wrong_input_is_exit_code_2_without_traceback(argv: list[str], capsys: Capture) -> None:
    """One readable message, no matter how deep it was found."""
    assert invoke(argv) == 2
    error = capsys.readouterr().err
    assert error
    assert "Traceback" not in error


def test_internal_errors_are_exit_code_70(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """With the traceback, since nobody expected them."""

    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(dict(ALL)["version",], "callback", fail)
    assert invoke(["version"]) == 70
    assert "boom" in capsys.readouterr().err


def test_config_schema(capsys: Capture) -> None:
    """The committed schema."""
    assert invoke(["config", "schema", "policies"]) == 0
    committed = json.loads((ROOT / "schema/policies.schema.json").read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out) == committed


def test_policies_list_and_describe(capsys: Capture) -> None:
    """Every installed type has its line; one type has its settings."""
    assert invoke(["policies", "list"]) == 0
    assert "\nlatency " in capsys.readouterr().out
    assert invoke(["policies", "describe", "latency"]) == 0
    assert "threshold_ms: whole number, default 0" in capsys.readouterr().out
    assert invoke(["policies", "describe", "string_attribute"]) == 0
    described = capsys.readouterr().out
    assert "values: list of texts, default []" in described
    assert "invert_match: true or false, default false" in described
    assert invoke(["policies", "describe", "and"]) == 0
    assert "and_sub_policy: list of policies, required" in capsys.readouterr().out


def test_agent_settings_follow_the_configuration() -> None:
    """Every value of the agent block reaches the agent."""
    config = Config.model_validate(
        {
            "kafka": {"brokers": "b:1", "partitioner": "murmur2", "topics": {"spans": "s"}},
            "agent": {
                "grpc": {"enabled": False}, "http": {"endpoint": "localhost:0"}, "max_request_bytes": "1MiB",
                "record_size": "64KiB", "flush_interval": "20ms", "max_buffer": "2MiB", "delivery_timeout": "5s",
            },
        }
    )  # fmt: skip
    settings = agent_settings(config)
    assert (settings.grpc_listen, settings.http_listen, settings.max_request_bytes) == (None, "localhost:0", 1 << 20)
    publisher = settings.publisher
    assert (publisher.topic, publisher.hasher, publisher.record_size_bytes) == ("s", "murmur2", 65536)
    assert (publisher.flush_interval_ms, publisher.max_buffer_bytes, publisher.delivery_timeout_ms) == (
        20,
        2 << 20,
        5000,
    )
    assert publisher.librdkafka["bootstrap.servers"] == "b:1"


def test_topics_follow_the_configuration() -> None:
    """Names and measures of the kafka block."""
    kafka = Config.model_validate(
        {"kafka": {"partitions": 3, "replication_factor": 3, "min_insync_replicas": 2, "retention": "1h"}}
    ).kafka
    spans = topic_specs(kafka)[0]
    assert (spans.name, spans.partitions, spans.replication_factor) == ("otlp_spans", 3, 3)
    assert (spans.config["min.insync.replicas"], spans.config["retention.ms"]) == ("2", "3600000")


def test_run_gives_each_process_its_own_port_and_folder() -> None:
    """web.endpoint is left to all of them together; the agent has the port after it, then come the workers."""
    config = Config()
    made = parts(config, ["--brokers", "b:1"], Path("p.yaml"), 2, Path("d"))
    assert [part.name for part in made] == ["agent", "worker-1", "worker-2"]
    assert [part.argv[part.argv.index("--web-endpoint") + 1] for part in made] == [
        "localhost:8485", "localhost:8486", "localhost:8487",
    ]  # fmt: skip
    assert "d/worker-2" in made[2].argv
    for part in made:
        context = dict(ALL)[part.argv[3],].make_context("x", list(part.argv[4:]))
        assert context.params["brokers"] == "b:1"
    free = Config.model_validate({"web": {"endpoint": "localhost:0"}})
    assert web_endpoint(free, 3) == "localhost:0"


def test_run_gives_each_of_several_workers_its_own_name_in_the_group() -> None:
    """A name of the configuration is that of a single worker, and the beginning of the names of several."""
    config = Config.model_validate({"worker": {"group_instance_id": "host"}})

    def names(workers: int) -> list[str | None]:
        made = parts(config, [], Path("p.yaml"), workers, Path("d"))[1:]
        return [worker.make_context("x", list(part.argv[4:])).params["group_instance_id"] for part in made]

    assert names(1) == [None]
    assert names(3) == ["host-1", "host-2", "host-3"]
