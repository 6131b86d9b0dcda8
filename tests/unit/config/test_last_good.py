"""The last policy file that could be used is kept, and a start on a file with mistakes goes on with it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from sampler.cli.options import read_policies
from sampler.config import load_policies
from sampler.config.errors import ConfigError
from sampler.config.last_good import FILE, LastGood

ONE = "policies: [{name: a, type: always_sample}]\n"
TWO = "policies: [{name: b, type: latency, latency: {threshold_ms: 5}}]\n"
BAD = "policies: [{name: b, type: latncy}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A policy file whose policies ran."""
    path = tmp_path / "p.yaml"
    path.write_text(ONE)
    LastGood(tmp_path).keep(load_policies(path))
    return path


def test_a_start_on_a_bad_file_goes_on_with_the_last_good_one(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And says so, with what is wrong; a start on a good one takes that."""
    file.write_text(BAD)
    with caplog.at_level(logging.ERROR):
        found = read_policies(file, (), tmp_path)
    assert found.identity == load_policies_of(tmp_path, ONE)
    assert "latncy" in found.problem
    assert found.path == str(file)
    assert "starting on the policies that ran last" in caplog.text
    assert "latncy" in caplog.text
    file.write_text(TWO)
    assert read_policies(file, (), tmp_path).problem == ""


@pytest.mark.parametrize("text", ["", "a: [", "\x00"])
def test_whatever_is_wrong_with_the_file(file: Path, tmp_path: Path, text: str) -> None:
    """Empty, half written, no YAML, or gone."""
    file.write_text(text)
    assert read_policies(file, (), tmp_path).policy_set.names == ("a",)
    file.unlink()
    assert read_policies(file, (), tmp_path).policy_set.names == ("a",)


def test_without_one_that_ran_a_bad_file_is_refused(file: Path, tmp_path: Path) -> None:
    """Nor does that of another file count, nor one that is damaged."""
    other = tmp_path / "other.yaml"
    other.write_text(BAD)
    for folder in (tmp_path / "none", tmp_path, None):
        with pytest.raises(ConfigError):
            read_policies(other, (), folder)
    file.write_text(BAD)
    for damage in ("", "[]", '{"path": 5}', json.dumps({"path": str(file), "text": BAD})):
        (tmp_path / FILE).write_text(damage)
        with pytest.raises(ConfigError):
            read_policies(file, (), tmp_path)


def test_only_what_ran_is_kept(file: Path, tmp_path: Path) -> None:
    """Not a file that has changed since, nor what came from the kept file itself."""
    running = load_policies(file)
    for text in (TWO, BAD):
        file.write_text(text)
        LastGood(tmp_path).keep(running)
        assert json.loads((tmp_path / FILE).read_text())["text"] == ONE
    LastGood(tmp_path).keep(read_policies(file, (), tmp_path))
    assert json.loads((tmp_path / FILE).read_text())["text"] == ONE
    file.write_text(TWO)
    LastGood(tmp_path).keep(load_policies(file))
    assert json.loads((tmp_path / FILE).read_text())["text"] == TWO


def test_values_of_variables_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are taken anew at each start."""
    monkeypatch.setenv("ROUTE", "/first")
    path = tmp_path / "p.yaml"
    path.write_text(
        "policies: [{name: a, type: string_attribute, string_attribute: {key: k, values: ['${env:ROUTE}']}}]\n"
    )
    LastGood(tmp_path).keep(load_policies(path))
    assert "/first" not in (tmp_path / FILE).read_text()
    monkeypatch.setitem(os.environ, "ROUTE", "/second")
    path.write_text(BAD)
    found = read_policies(path, (), tmp_path)
    assert "/second" in str(found.specs)


def test_a_folder_that_takes_nothing_costs_no_more_than_that(file: Path, tmp_path: Path) -> None:
    """The worker starts all the same."""
    LastGood(tmp_path / "not" / "there").keep(load_policies(file))


def load_policies_of(folder: Path, text: str) -> object:
    """The identity of policies in a text, in a file of the same name."""
    (folder / "again").mkdir()
    path = folder / "again" / "p.yaml"
    path.write_text(text)
    return load_policies(path).identity
