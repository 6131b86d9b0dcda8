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
    assert "#tail_sampling/staging: valid, 1 policy" in capsys.readouterr().out
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


def test_policies_by_name_are_told_as_such(tmp_path: Path, capsys: Capture) -> None:
    """Not as a policy without a name; what else is wrong in the block is told too."""
    file = tmp_path / "p.yaml"
    file.write_text(
        "tail_sampling:\n  decision_wait: 5x\n  policies:\n    errors: {type: status_code}\n", encoding="utf-8"
    )
    assert invoke(["validate", str(file)]) == 2
    wait, policies = capsys.readouterr().err.splitlines()
    assert wait.startswith(f"{file}:2: tail_sampling.decision_wait: must be a duration")
    assert policies.startswith(f"{file}:3: tail_sampling.policies: must be a list, each policy behind a dash")


def test_every_mistake_of_every_policy_is_told(tmp_path: Path, capsys: Capture) -> None:
    """Two of one policy, a name that two have, and what is wrong inside a policy without a name."""
    file = tmp_path / "p.yaml"
    file.write_text(
        "policies:\n"
        "  - {name: a, type: latency, latency: {upper_threshold_ms: x, foo: 1}}\n"
        "  - {name: a, type: nonesuch}\n"
        "  - type: and\n"
        "    and: {and_sub_policy: [{name: y, type: string_attribute, string_attribute: {values: [5]}}]}\n",
        encoding="utf-8",
    )
    assert invoke(["validate", str(file)]) == 2
    places = [line.split(" ")[1] for line in capsys.readouterr().err.splitlines()]
    assert places == [
        "policies[0].latency.foo:", "policies[0].latency.upper_threshold_ms:", "policies[1].type:",
        "policies[1].name:", "policies[2]:", "policies[2].and.and_sub_policy[0].string_attribute:",
    ]  # fmt: skip


def test_policies_are_checked_with_the_configuration_beside_them(tmp_path: Path, capsys: Capture) -> None:
    """What each may be alone, but not with the other, or works in another way then."""
    config, policies = tmp_path / "c.yaml", tmp_path / "p.yaml"
    config.write_text("worker: {trace_table: {disk_limit_mib: 0}}\n", encoding="utf-8")
    tenants = "tenants: {attribute: t, sets: {x: {topic: otlp_spans, policies: [{name: b, type: always_sample}]}}}\n"
    block = "decision_wait: 30m\nretain_dropped: 20m\npolicies: [{name: a, type: always_sample}]\n"
    policies.write_text(block, encoding="utf-8")
    assert invoke(["validate", str(policies)]) == 0
    assert "disk_limit_mib" not in capsys.readouterr().out
    assert invoke(["validate", str(config), str(policies)]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"note: {policies}: ")]
    assert [note.split()[2] for note in notes] == ["retain_dropped", "decision_wait"]
    policies.write_text(block + tenants, encoding="utf-8")
    assert invoke(["validate", str(policies), str(config)]) == 2
    assert "otlp_spans is the topic of spans" in capsys.readouterr().err


def test_mistakes_in_lists_and_short_secrets(tmp_path: Path, capsys: Capture) -> None:
    """A key in an element of a list gets the name that was meant; a secret is told how long it must be."""
    text = "agent:\n  transform:\n    salt: x\n    rules:\n      - {action: delete, key: user}\n"
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    assert invoke(["validate", str(tmp_path / "c.yaml")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/c.yaml:3: agent.transform.salt: must have at least 8 characters",
        f"{tmp_path}/c.yaml:5: agent.transform.rules[0].key: unknown key (did you mean keys?)",
    ]


def test_policies_of_tenants_are_counted(tmp_path: Path, capsys: Capture) -> None:
    """The number is that of the policies, without the lines that name a tenant."""
    one = "[{name: all, type: always_sample}]"
    text = f"tail_sampling:\n  policies: {one}\n  tenants:\n    attribute: t\n    sets: {{shop: {{policies: {one}}}}}\n"
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    assert invoke(["validate", str(tmp_path / "p.yaml")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{tmp_path}/p.yaml: valid, 2 policies"


def test_routes_of_backends_are_checked_with_the_policies(tmp_path: Path, capsys: Capture) -> None:
    """A tenant that the policy file lacks is a mistake, as in the exporter; an unknown policy is worth a note."""
    tenant, policy = "{tenants: [shopp]}", "{policies: [eror, error/detail]}"
    text = "exporter:\n  backends:\n    - {name: a, endpoint: 'a:4317', route: %s}\n"
    one = "[{name: error, type: always_sample}]"
    (tmp_path / "p.yaml").write_text(f"policies: {one}\n", encoding="utf-8")
    files = [str(tmp_path / "c.yaml"), str(tmp_path / "p.yaml")]
    (tmp_path / "c.yaml").write_text(text % tenant, encoding="utf-8")
    assert invoke(["validate", *files]) == 2
    assert "exporter.backends[0] (a): route.tenants: " in capsys.readouterr().err
    (tmp_path / "c.yaml").write_text(text % policy, encoding="utf-8")
    assert invoke(["validate", *files]) == 0
    said = "exporter.backends[0] (a): its route names the policy eror, which is not here"
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "its route" in line] == [f"note: {files[1]}: {said}"]


NAMES_FILES = """\
agent:
  auth: {tokens_file: tokens}
  http:
    tls: {cert_file: here.pem, key_file: gone.pem}
  grpc:
    enabled: false
    tls: {cert_file: gone.pem, key_file: gone.pem}
kafka:
  tls: {insecure: true, ca_file: gone.pem}
  auth: {sasl: {username: u, password_file: gone}}
exporter:
  backends:
    - {name: a, endpoint: "a:4317"}
    - {name: b, endpoint: "b:4317", tls: {ca_file: .}}
"""


def test_files_that_are_named_must_be_there(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that cannot be read is a mistake at its key, save in parts that are off; what they hold is not shown."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokens").write_text("s3cret-token\n", encoding="utf-8")
    (tmp_path / "here.pem").write_text("s3cret-key\n", encoding="utf-8")
    (tmp_path / "c.yaml").write_text(NAMES_FILES, encoding="utf-8")
    assert invoke(["validate", "c.yaml"]) == 2
    printed, error = capsys.readouterr()
    assert error.splitlines() == [
        "c.yaml:4: agent.http.tls.key_file: the file gone.pem cannot be read: No such file or directory",
        "c.yaml:10: kafka.auth.sasl.password_file: the file gone cannot be read: No such file or directory",
        "c.yaml:14: exporter.backends[1].tls.ca_file: the file . cannot be read: Is a directory",
    ]
    assert "s3cret" not in printed + error
    assert invoke(["validate", "--no-files", "c.yaml"]) == 0
    (tmp_path / "c.yaml").write_text("agent: {auth: {tokens_file: away/tokens}}\n", encoding="utf-8")
    assert invoke(["validate", "c.yaml"]) == 2
    assert "c.yaml:1: agent.auth.tokens_file: the file away/tokens cannot be read" in capsys.readouterr().err
