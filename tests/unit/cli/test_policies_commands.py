"""`tailsampler policies list | describe | new | test`, and plugins named on the command line or in the policy file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies import build_policy_set, installed
from policies.testing import resource, span, trace
from sampler.cli.root import invoke
from sampler.config import ConfigError, load_policies
from sampler.plugins.example import example_spec

ROOT = Path(__file__).parents[3]
TOOLS = Path(sys.executable).parent
Capture = pytest.CaptureFixture[str]
POLICIES = """
tail_sampling:
  plugins: [{plugins}]
  policies:
    - name: slow
      type: slow_thing
      slow_thing: {{services: [checkout], min_ms: 100}}
"""


@pytest.fixture
def plugin(tmp_path: Path, capsys: Capture) -> Path:
    """A plugin as `new` writes it, in a folder of its own."""
    assert invoke(["policies", "new", "slow_thing", "--folder", str(tmp_path / "plugins")]) == 0
    capsys.readouterr()
    return tmp_path / "plugins" / "slow_thing.py"


def policy_file(folder: Path, plugins: str) -> Path:
    """A policy file that uses the plugin's type."""
    path = folder / "policies.yaml"
    path.write_text(POLICIES.format(plugins=plugins))
    return path


def test_list_says_where_each_type_comes_from(plugin: Path, capsys: Capture) -> None:
    """A line a type: name, origin, what it keeps."""
    assert invoke(["policies", "list", "--plugins", str(plugin.parent)]) == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    origins = {row[0]: row[1] for row in rows}
    assert origins["latency"] == "built-in"
    assert origins["slow_thing"].startswith(f"{plugin}:")
    assert all(len(row) == 3 for row in rows)


def test_describe_shows_settings_and_an_example_that_loads(plugin: Path, capsys: Capture) -> None:
    """The example of a plugin can be pasted into a policy file."""
    assert invoke(["policies", "describe", "slow_thing", "--plugins", str(plugin)]) == 0
    out = capsys.readouterr().out
    assert "services: list of texts, required\n      Values of the resource attribute service.name." in out
    assert "min_ms: whole number, default 500" in out
    example = out.partition("Example:\n")[2]
    path = plugin.parent / "p.yaml"
    path.write_text(f"plugins: [./{plugin.name}]\npolicies:\n{example}")
    assert load_policies(path).policy_set.names == ("my-slow-thing",)


@pytest.mark.parametrize("name", installed().names)
def test_every_built_in_type_has_an_example(name: str) -> None:
    """It loads without a note, and says something else than the settings that a model alone would suggest."""
    spec = example_spec(installed().get(name))
    assert spec["type"] == name
    assert not spec["name"].startswith("my-"), "add it to sampler/plugins/examples.yaml"
    assert not build_policy_set([spec]).notes


def test_new_refuses_to_overwrite(plugin: Path, capsys: Capture) -> None:
    """Neither the plugin nor its tests are written over."""
    plugin.write_text("mine")
    assert invoke(["policies", "new", "slow_thing", "--folder", str(plugin.parent)]) == 1
    assert f"{plugin} exists already" in capsys.readouterr().err
    plugin.unlink()
    assert invoke(["policies", "new", "slow_thing", "--folder", str(plugin.parent)]) == 1
    assert not plugin.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("latency", "there is a policy type latency already (built-in)"),
        ("json", "json means something else"),
        ("class", "class means something else"),
        ("on_error", "on_error means something else"),
        ("test_it", "cannot be a policy type here"),
        ("Slow-Thing", "cannot be a policy type here"),
        ("../x", "cannot be a policy type here"),
    ],
)
def test_new_refuses_names_that_would_not_work(name: str, said: str, tmp_path: Path, capsys: Capture) -> None:
    """Nothing is written for a name that could not be used."""
    assert invoke(["policies", "new", name, "--folder", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_new_writes_is_in_order(plugin: Path) -> None:
    """As written it passes ruff's rules and format, strict mypy, and pytest."""
    environment = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)}
    tests = f"test_{plugin.name}"
    config = ["--config", str(ROOT / "pyproject.toml")]
    for command in (
        [TOOLS / "ruff", "check", *config, "."],
        [
            TOOLS / "ruff",
            "check",
            "--isolated",
            "--select",
            "E,F,W,I,N,UP,B,C4,SIM,RUF,ANN,D,PL,PT",
            "--ignore",
            "D203,D213",
            ".",
        ],
        [TOOLS / "ruff", "format", "--check", "--isolated", "."],
        [TOOLS / "ruff", "format", "--check", *config, "."],
        [TOOLS / "mypy", "--strict", "--cache-dir", ROOT / ".mypy_cache", plugin.name, tests],
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", tests],
    ):
        done = subprocess.run(
            [str(part) for part in command],
            cwd=plugin.parent,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_test_passes_what_new_writes(plugin: Path, capsys: Capture) -> None:
    """Every check is a line, the tests of the file among them."""
    assert invoke(["policies", "test", str(plugin)]) == 0
    out = capsys.readouterr().out
    assert "  ok    gives the same answer for spans in any order\n" in out
    assert "  ok    keeps a slow span of the service\n" in out
    assert "asked once for each outcome of its conditions" in out
    assert out.endswith(" passed, 0 failed\n")


def test_test_works_without_pytest(plugin: Path) -> None:
    """Where pytest is not installed the same checks run."""
    hidden = "import sys; sys.modules['pytest'] = None; from sampler.cli.root import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", hidden, "policies", "test", str(plugin)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("ALWAYS if trace.matches(self._slow) else NEVER", "trace.span_count > 1", "FAIL  never fails and reads only"),
        (
            "ALWAYS if trace.matches(self._slow) else NEVER",
            "NEVER",
            "FAIL  keeps a slow span of the service: assert ask(",
        ),
        ("self.conditions = (self._slow,)", "self.conditions = [self._slow]", "`conditions` must be a tuple"),
        ("class SlowThing(Policy):", "class SlowThing(Policy:", "slow_thing.py:17: is not valid Python"),
        ('type = "slow_thing"', 'type = "latency"', "policy type latency exists already (built-in)"),
        ("from policies import ALWAYS", "from polices import ALWAYS", "fails at import: ModuleNotFoundError"),
    ],
)
def test_test_names_what_is_wrong(before: str, after: str, said: str, plugin: Path, capsys: Capture) -> None:
    """A plugin that breaks the contract or its own tests ends with exit code 1 and a line that says where."""
    text = plugin.read_text()
    assert before in text
    plugin.write_text(text.replace(before, after))
    assert invoke(["policies", "test", str(plugin)]) == 1
    out = capsys.readouterr().out
    assert said in out
    assert "slow_thing.py:" in out


SLOW = '''
import time

from policies import NEVER, Policy, Reads


class Sleepy(Policy):
    """Takes its time."""

    type = "sleepy"
    reads = Reads.SUMMARY

    def evaluate(self, trace):
        """Waits a little."""
        end = time.perf_counter() + 0.003
        while time.perf_counter() < end:
            pass
        return NEVER

    def describe(self):
        """Says so."""
        return "nothing, slowly"
'''
OWN_TESTS = '''
from sleepy import Sleepy


def test_of_a_fixture(tmp_path):
    """Needs pytest."""


class TestPlain:
    """Needs nothing."""

    def test_that_fails(self):
        """Fails."""
        assert Sleepy.type == "awake"
'''


def test_test_warns_of_slowness_and_skips_fixtures(tmp_path: Path, capsys: Capture) -> None:
    """Without a test file of its own the example of the settings is tried; fixtures are pytest's."""
    file = tmp_path / "sleepy.py"
    file.write_text(SLOW)
    assert invoke(["policies", "test", str(file)]) == 0
    out = capsys.readouterr().out
    assert "no tests of its own: test_sleepy.py does not exist" in out
    assert "ms a time, asked about every trace" in out
    assert "warn  that is slow" in out
    (tmp_path / "test_sleepy.py").write_text(OWN_TESTS)
    assert invoke(["policies", "test", str(file)]) == 1
    out = capsys.readouterr().out
    assert "skip  of a fixture: takes tmp_path, which needs pytest" in out
    assert 'FAIL  TestPlain.test that fails: assert Sleepy.type == "awake" (test_sleepy.py:14)' in out
    assert out.endswith("1 failed, 1 skipped\n")


@pytest.mark.parametrize("where", ["beside the file", "in the file's own way", "on the command line"])
def test_a_policy_file_uses_a_plugin(where: str, plugin: Path, tmp_path: Path, capsys: Capture) -> None:
    """A folder is found relative to the policy file, or given with --plugins, by every command that reads policies."""
    named = {
        "beside the file": "plugins",
        "in the file's own way": f"./plugins/{plugin.name}",
        "on the command line": "",
    }
    path = policy_file(tmp_path, named[where])
    options = ["--plugins", str(plugin.parent)] if where == "on the command line" else []
    spans = tmp_path / "spans.bin"
    slow = trace(resource({"service.name": "checkout"}, span("POST", 0, 200)))
    spans.write_bytes(TracesData(resource_spans=slow.resource_spans).SerializeToString())
    assert invoke(["validate", str(path), *options]) == 0
    assert "a span of checkout that takes at least 100 ms" in capsys.readouterr().out
    assert invoke(["simulate", "--policies", str(path), "--output", "json", *options, str(spans)]) == 0
    assert "slow" in json.dumps(json.loads(capsys.readouterr().out))
    assert invoke(["config", "print", "--policies", str(path), *options]) == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))[-1]["tail_sampling"]
    assert printed["policies"][0]["slow_thing"] == {"services": ["checkout"], "min_ms": 100}


def test_a_broken_plugin_is_a_mistake_at_its_line(plugin: Path, tmp_path: Path) -> None:
    """The error names file and line of the plugin, and says nothing of policies that could not be known."""
    plugin.write_text("x = 1\n1 / 0\n")
    with pytest.raises(ConfigError) as caught:
        load_policies(policy_file(tmp_path, "plugins"))
    assert str(caught.value) == f"{plugin}:2: plugin fails at import: ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("./gone", "policies.yaml:3: tail_sampling.plugins[0]: there is no plugin folder or file"),
        ("no_such_module_here", "policies.yaml:3: tail_sampling.plugins[0]: plugin no_such_module_here cannot be"),
        ("plugins, ./twin.py", "tail_sampling.plugins: "),
        ('""', "policies.yaml:3: tail_sampling.plugins[0]: '' is no plugin: name a folder"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_a_mistake_where_it_is_named(
    named: str, said: str, plugin: Path, tmp_path: Path
) -> None:
    """What has no file of its own is told at the line of the policy file."""
    (tmp_path / "twin.py").write_text(plugin.read_text())
    with pytest.raises(ConfigError) as caught:
        load_policies(policy_file(tmp_path, named))
    assert said in str(caught.value)


def test_a_broken_plugin_on_the_command_line(plugin: Path, capsys: Capture) -> None:
    """It is an error of wrong input."""
    plugin.write_text("oh no")
    assert invoke(["policies", "list", "--plugins", str(plugin)]) == 2
    assert capsys.readouterr().err.startswith(f"{plugin}:1: plugin is not valid Python")
    assert invoke(["policies", "list", "--plugins", "./nowhere"]) == 2
    assert "--plugins: there is no plugin folder or file" in capsys.readouterr().err


ODD_CONDITION = '''
from policies import NEVER, Policy
from policies.conditions import AttributeInRange


class Odd(Policy):
    """Its condition holds what no scanner can compare."""

    type = "odd"

    def __init__(self, config, context):
        super().__init__(config, context)
        self.conditions = (AttributeInRange("size", low="small"),)

    def evaluate(self, trace):
        """Nothing."""
        return NEVER

    def describe(self):
        """Says so."""
        return "nothing"
'''


def test_a_condition_that_cannot_be_scanned_for_is_a_mistake(tmp_path: Path, capsys: Capture) -> None:
    """It is told by `validate` and by `policies test`, not by a worker that falls over."""
    (tmp_path / "odd.py").write_text(ODD_CONDITION)
    path = tmp_path / "p.yaml"
    path.write_text("plugins: [./odd.py]\npolicies: [{name: odd, type: odd}]\n")
    assert invoke(["validate", str(path)]) == 2
    assert "a condition cannot be scanned for" in capsys.readouterr().err
    assert invoke(["policies", "test", str(tmp_path / "odd.py")]) == 1
    assert "FAIL  its conditions can be scanned for" in capsys.readouterr().out
