"""`tailsampler validate` and `tailsampler config print`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from sampler.cli.root import invoke
from sampler.config import load_config, load_policies

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs/examples"
WHOLE = ROOT / "tests/unit/config/data/collector.yaml"
Capture = pytest.CaptureFixture[str]


def test_good_files_are_described(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by what it holds: configuration, policies, a whole Collector file with what is said of it."""
    monkeypatch.setenv("BASELINE_PERCENT", "5")
    files = [str(EXAMPLES / "config.yaml"), str(EXAMPLES / "policies.yaml"), str(WHOLE)]
    assert invoke(["validate", *files]) == 0
    printed, error = capsys.readouterr()
    lines = printed.splitlines()
    assert error == ""
    assert lines[:2] == [f"{files[0]}: valid, configuration", f"{files[1]}: valid, 5 policies"]
    assert lines[7] == f"{files[2]}: valid, 8 policies"
    assert sum(line.startswith(f"note: {WHOLE}:") for line in lines) == 7


def test_every_mistake_is_a_line(tmp_path: Path, capsys: Capture) -> None:
    """Of all files, each with path, line, key and the name that was meant; exit code 2."""
    (tmp_path / "c.yaml").write_text("kafak: {}\nworker: {scanner: x}\n", encoding="utf-8")
    (tmp_path / "p.yaml").write_text("tail_sampling:\n  polices: 1\n", encoding="utf-8")
    assert (
        invoke(["validate", str(tmp_path / "c.yaml"), str(tmp_path / "p.yaml"), str(EXAMPLES / "policies.yaml")]) == 2
    )
    printed, error = capsys.readouterr()
    assert error.splitlines() == [
        f"{tmp_path}/c.yaml:1: kafak: unknown key (did you mean kafka?)",
        f"{tmp_path}/c.yaml:2: worker.scanner: must be one of 'auto', 'compiled', 'upb'",
        f"{tmp_path}/p.yaml:1: tail_sampling.policies: is required",
        f"{tmp_path}/p.yaml:2: tail_sampling.polices: unknown key (did you mean policies?)",
    ]
    assert "valid, 5 policies" in printed


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "config"),
        ("version: 1\n", "config"),
        ("kafka: {}\n", "config"),
        ("kafak: {}\n", "config"),
        ("policies: []\n", "policies"),
        ("polices: []\n", "policies"),
        ("tail_sampling/x: {}\n", "policies"),
        ("receivers: {}\n", "policies"),
        ("apiVersion: opentelemetry.io/v1beta1\nkind: OpenTelemetryCollector\nspec: {}\n", "policies"),
        ("version: 1\ndecision_wait: 5s\n", "policies"),
        ("- a\n", "policies"),
    ],
)
def test_a_file_is_what_it_holds(tmp_path: Path, capsys: Capture, text: str, kind: str) -> None:
    """Also where its only key is mistyped."""
    (tmp_path / "f.yaml").write_text(text, encoding="utf-8")
    invoke(["validate", "--output", "json", str(tmp_path / "f.yaml")])
    (found,) = json.loads(capsys.readouterr().out)["files"]
    assert found["kind"] == kind


def test_findings_for_machines(tmp_path: Path, capsys: Capture) -> None:
    """One object: what is wrong with its place in parts, what is said, what the policies are."""
    bad = tmp_path / "p.yaml"
    bad.write_text("policies:\n  - {name: a, type: latncy}\n", encoding="utf-8")
    assert (
        invoke(["validate", "--output", "json", str(bad), str(EXAMPLES / "policies.yaml"), str(tmp_path / "none")]) == 2
    )
    shown = json.loads(capsys.readouterr().out)
    assert shown["valid"] is False
    wrong, right, missing = shown["files"]
    assert wrong["problems"] == [
        {
            "path": str(bad), "line": 2, "key": "policies[0].type", "suggestion": "latency",
            "message": 'policy "a": unknown sampling policy type latncy',
        }
    ]  # fmt: skip
    assert (right["valid"], right["notes"], len(right["policies"])) == (True, [], 5)
    assert "cannot be read" in missing["problems"][0]["message"]
    assert invoke(["validate", "--output", "json", str(EXAMPLES / "policies.yaml")]) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True


def test_one_block_of_several(capsys: Capture) -> None:
    """Named after a hash sign."""
    assert invoke(["validate", f"{WHOLE}#tail_sampling/staging"]) == 0
    assert "#tail_sampling/staging: valid, 1 policies" in capsys.readouterr().out
    assert invoke(["validate", f"{WHOLE}#tail_sampling/other"]) == 2


def test_print_shows_what_is_set(tmp_path: Path, capsys: Capture) -> None:
    """In the files and on the command line, variables filled in, secrets hidden; defaults only when asked for."""
    (tmp_path / "c.yaml").write_text("kafka: {auth: {sasl: {username: u, password: hush}}}\n", encoding="utf-8")
    command = ["config", "print", "--config", str(tmp_path / "c.yaml"), "--brokers", "b:1"]
    assert invoke(command) == 0
    printed = capsys.readouterr().out
    masked = {"sasl": {"username": "u", "password": "**********"}}
    assert yaml.safe_load(printed) == {"kafka": {"brokers": ["b:1"], "auth": masked}}
    assert invoke([*command, "--resolved"]) == 0
    printed = capsys.readouterr().out
    assert "hush" not in printed
    assert yaml.safe_load(printed)["worker"]["trace_table"]["memory_limit_mib"] == 256


def test_printed_files_read_back(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """As files of the same meaning, dollar signs included; the defaults of every policy's settings are among them."""
    monkeypatch.setenv("BASELINE_PERCENT", "5")
    before = load_policies(WHOLE)
    for options in ([], ["--resolved"]):
        assert invoke(["config", "print", "--policies", str(WHOLE), *options]) == 0
        config, policies = capsys.readouterr().out.split("---\n")
        (tmp_path / "c.yaml").write_text(config, encoding="utf-8")
        (tmp_path / "p.yaml").write_text(policies, encoding="utf-8")
        assert load_config(tmp_path / "c.yaml") == load_config(None)
        after = load_policies(tmp_path / "p.yaml")
        assert after.policy_set.content_hash == before.policy_set.content_hash
        assert after.tail_sampling.decision_wait == before.tail_sampling.decision_wait
    latency = yaml.safe_load(policies)["tail_sampling"]["policies"][2]["latency"]
    assert latency == {"threshold_ms": 1500, "upper_threshold_ms": 0}


def test_tenants_policies_are_printed_in_the_form_of_the_reference(tmp_path: Path, capsys: Capture) -> None:
    """As those of the list, and read back."""
    (tmp_path / "p.yaml").write_text(
        "policies: [{name: all, type: always_sample}]\n"
        "tenants: {attribute: tenant, sets: {shop: {policies: [{name: slow, latency: {threshold_ms: '5'}}]}}}\n",
        encoding="utf-8",
    )
    assert invoke(["config", "print", "--resolved", "--policies", str(tmp_path / "p.yaml")]) == 0
    printed = capsys.readouterr().out.split("---\n")[1]
    latency = {"threshold_ms": 5, "upper_threshold_ms": 0}
    (slow,) = yaml.safe_load(printed)["tail_sampling"]["tenants"]["sets"]["shop"]["policies"]
    assert slow == {"name": "slow", "type": "latency", "latency": latency}
    (tmp_path / "q.yaml").write_text(printed, encoding="utf-8")
    hashes = {load_policies(tmp_path / name).policy_set.content_hash for name in ("p.yaml", "q.yaml")}
    assert len(hashes) == 1


def test_dollar_signs_survive_printing(tmp_path: Path, capsys: Capture) -> None:
    """A literal `${` or `$$` is no variable when it is read again."""
    values = "{key: k, values: ['$${X}', '$$$$', '^a$']}"
    text = f"policies: [{{name: p, type: string_attribute, string_attribute: {values}}}]\n"
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    assert invoke(["config", "print", "--policies", str(tmp_path / "p.yaml")]) == 0
    (tmp_path / "q.yaml").write_text(capsys.readouterr().out.split("---\n")[1], encoding="utf-8")
    (spec,) = load_policies(tmp_path / "q.yaml").specs
    assert spec["string_attribute"]["values"] == ["${X}", "$$", "^a$"]
