"""Every parser of bytes from outside, fuzzed for a fixed number of runs from a fixed seed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS
from tests.harness.process import REPOSITORY

pytest.importorskip("atheris", reason="atheris has no wheel for this platform or version of Python")

LONGEST_S = 300
"""Only a parser that hangs takes so long; all together take some fifteen seconds."""


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What a run of all targets has said: a line for each, and what was found."""
    folder = tmp_path_factory.mktemp("found")
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--found", str(folder)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=LONGEST_S, check=False,
    )  # fmt: skip
    return run.stdout, run.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_no_bytes_break_a_parser(fuzzed: tuple[str, str], target: str) -> None:
    """It answers or raises what it promises, whatever it is given; the scanners agree with each other."""
    said, found = fuzzed
    assert f"{target}: nothing found" in said.splitlines(), f"{said}\n{found[-3000:]}"


@pytest.mark.parametrize("target", TARGETS)
def test_valid_inputs_are_taken(target: str) -> None:
    """What the fuzzer begins from goes through, so that it gets behind the first check."""
    seeds: Sequence[bytes] = TARGETS[target].seeds()
    assert seeds
    for seed in seeds:
        assert len(seed) <= TARGETS[target].max_length
        TARGETS[target].run(seed)


def test_a_finding_is_told(tmp_path: Path) -> None:
    """A target that breaks makes the run fail and leaves its input: else the tests above could not fail."""
    script = tmp_path / "broken.py"
    script.write_text(
        "import sys\n"
        "from tests.fuzz import __main__ as fuzz, targets\n"
        "def broken(data):\n"
        "    assert len(data) < 20\n"
        "targets.TARGETS = {'body': targets.Target(broken, lambda: [b'span'], 100_000, 50)}\n"
        "sys.argv = ['fuzz', '--found', sys.argv[1]]\n"
        "sys.exit(fuzz.main())\n",
        encoding="utf-8",
    )
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY), "PATH": ""}, capture_output=True, text=True,
        timeout=LONGEST_S, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "found something" in run.stdout
    assert len(list(tmp_path.glob("body-crash-*"))) == 1
