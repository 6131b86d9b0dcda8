"""What the pages show is what the product takes: every block of configuration, every command, every import."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from sampler.cli.root import cli
from sampler.cli.validate import look_at
from sampler.config.policies import TailSampling
from tests.harness.command_line import mistakes
from tests.harness.helm import render
from tests.harness.pages import Block, blocks, commands, pages
from tests.harness.process import REPOSITORY
from tests.harness.prometheus import promtool

pytestmark = pytest.mark.timeout(1500)  # where Helm is not there yet, the first test builds it

ALL = [block for page in pages() for block in blocks(page)]
SHELL = {"", "sh", "bash", "shell", "console"}
KNOWN = SHELL | {"yaml", "python", "json", "toml", "promql", "text"}
PLUGIN = REPOSITORY / "docs/examples/plugin/src/route_objective/policy.py"
OURS = ("", "config.yaml", "policies.yaml")
SETTING = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-[^}]*)?\}")


def of_language(*languages: str, titles: tuple[str, ...] = ()) -> list[Any]:
    """The blocks of these languages, and titles where some are given, each with its place as the id of its test."""
    found = [block for block in ALL if block.language in languages and (not titles or block.title in titles)]
    return [pytest.param(block, id=str(block)) for block in found]


def whole(data: Any) -> Any:
    """A piece of a policy file as one that can be read by itself: policies without list, settings without policies."""
    everything = {"name": "all", "type": "always_sample"}
    if isinstance(data, list):
        return {"tail_sampling": {"policies": data}}
    if isinstance(data, dict) and "type" in data:
        return {"tail_sampling": {"policies": [{"name": "shown", **data}]}}
    block = data.get("tail_sampling", data) if isinstance(data, dict) else None
    left_out = isinstance(block, dict) and block.get("policies", ["..."]) == ["..."]
    if left_out and block.keys() <= set(TailSampling.model_fields):
        return {"tail_sampling": {**block, "policies": [everything]}}
    return data


@pytest.mark.parametrize("block", of_language("yaml", titles=OURS))
def test_configuration_is_valid(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block without a title, or with the name of a file of ours, is a configuration, policies or a piece of them.

    It has no mistake.
    """
    for name in SETTING.findall(block.text):
        monkeypatch.setenv(name, "a-secret-of-the-tests")
    data = yaml.safe_load(block.text)
    made = whole(data)
    path = tmp_path / "shown.yaml"
    path.write_text(block.text if made is data else yaml.safe_dump(made))
    plugins = [str(PLUGIN)] if block.page.is_relative_to(PLUGIN.parents[2]) else []
    (found,) = look_at([str(path)], plugins, named_files=False)
    assert [str(problem) for problem in found.problems] == []


@pytest.mark.parametrize("block", of_language("yaml", titles=("values.yaml",)))
def test_values_are_those_of_the_chart(block: Block, tmp_path: Path) -> None:
    """The chart takes them, and the processes take the configuration and policies that come out."""
    (tmp_path / "values.yaml").write_text(block.text)
    for manifest in render([tmp_path / "values.yaml"]):
        for name, text in manifest.get("data", {}).items():
            if name in {"config.yaml", "policies.yaml"}:
                (tmp_path / name).write_text(SETTING.sub("a-secret-of-the-tests", text))
                assert look_at([str(tmp_path / name)], named_files=False)[0].problems == ()


@pytest.mark.parametrize("block", of_language("yaml", titles=("collector", "refinery")))
def test_files_of_others_can_be_read(block: Block) -> None:
    """They are YAML; of a Collector's every component that a pipeline uses is shown, or lies outside of what is."""
    data = yaml.safe_load(block.text)
    assert isinstance(data, dict)
    for pipeline in data.get("service", {}).get("pipelines", {}).values():
        for kind in ("receivers", "exporters"):
            assert set(pipeline[kind]) <= set(data.get(kind, pipeline[kind]))


@pytest.mark.parametrize("block", of_language("yaml", titles=("prometheus.yml",)))
def test_prometheus_takes_what_is_shown_for_it(block: Block, tmp_path: Path) -> None:
    """It is checked by promtool; files that it names need not be there."""
    (tmp_path / "prometheus.yml").write_text(block.text)
    code, said = promtool(["check", "config", "--syntax-only", "prometheus.yml"], tmp_path)
    assert code == 0, said


@pytest.mark.parametrize("block", of_language("python"))
def test_python_compiles_and_its_imports_exist(block: Block) -> None:
    """Everything that a block imports can be imported."""
    for node in ast.walk(ast.parse(block.text, str(block))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_other_data_can_be_read() -> None:
    """JSON and TOML parse."""
    for block in ALL:
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)


@pytest.mark.parametrize("block", of_language(*SHELL))
def test_commands_are_real(block: Block) -> None:
    """Commands of ours parse, targets of make and modules of python exist, and so do files of the tree."""
    if block.language == "" and not re.match(r"(\$ )?(tailsampler|python -m|make) ", block.text):
        return
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for command in commands(block.text):
        words = command[1:] if command[:1] == ["sudo"] else command
        program = words[0].rpartition("/")[2] if words else ""
        if program == "tailsampler":
            assert mistakes(words[1:]) == "", words
        elif program == "make" and len(words) > 1:
            assert words[1] in targets, words
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]) is not None, words
        for word in words[1:]:
            if word.startswith("deploy/"):
                assert list(REPOSITORY.glob(word)), word


def spoken_of() -> Iterator[Any]:
    """Every command of ours in running text, between back-ticks."""
    for page in pages():
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        found = sorted(set(re.findall(r"`tailsampler ([a-z][^`\n]*)`", text)))
        if found:
            yield pytest.param(found, id=str(page.relative_to(REPOSITORY)))


@pytest.mark.parametrize("found", list(spoken_of()))
def test_commands_in_the_text_exist(found: list[str]) -> None:
    """Each names a command that there is."""
    for line in found:
        group: click.Command = cli
        for word in line.split():
            if not isinstance(group, click.Group):
                break
            assert word in group.commands, line
            group = group.commands[word]


def test_every_block_is_looked_at() -> None:
    """No block has a language or a title that none of these tests knows; a plain one holds no command unseen."""
    assert [str(block) for block in ALL if block.language not in KNOWN] == []
    titles = {block.title for block in ALL if block.language == "yaml"}
    assert titles <= {*OURS, "values.yaml", "collector", "refinery", "prometheus.yml"}


@pytest.mark.parametrize("page", [page for page in pages() if page.name == "README.md" and page.parent == REPOSITORY])
def test_links_of_the_readme_lead_somewhere(page: Path) -> None:
    """Files of the tree that it links to are there; those of docs/ are checked when the site is built."""
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("worker --policies p.yaml --data-dir d", ""),
        ("topics create --partitions 12", ""),
        ("worker", "--policies"),
        ("wroker --policies p.yaml", "wroker"),
        ("worker --policies p.yaml --no-such-option", "--no-such-option"),
        ("size --spans-per-second many", "many"),
        ("topics crate", "crate"),
        ("version now", "now"),
    ],
)
def test_the_check_of_commands_sees_what_is_wrong(line: str, wrong: str) -> None:
    """Unknown commands and options, values of the wrong kind, what is missing and what is too much."""
    found = mistakes(line.split())
    assert bool(found) == bool(wrong)
    assert wrong in found
