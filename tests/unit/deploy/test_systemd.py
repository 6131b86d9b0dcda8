"""The systemd units, as systemd itself sees them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sampler.config import load_config
from tests.harness.command_line import mistakes

FOLDER = Path(__file__).parents[3] / "deploy/systemd"
UNITS = {path.name: path.name.replace("@.", "@8485.") for path in sorted(FOLDER.glob("*.service"))}
SYSTEM_UNITS = "/usr/lib/systemd/system:/lib/systemd/system"
MOST_EXPOSED = 20
"""Tenths of systemd's score from 0 (locked up) to 10; a service that does not care about it has 9.6."""


def text_of(name: str) -> str:
    """A unit with its continued lines joined."""
    return (FOLDER / name).read_text(encoding="utf-8").replace("\\\n", " ")


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """systemd-analyze over the units of a folder; the test is skipped where there is none."""
    command = shutil.which("systemd-analyze")
    if command is None:
        pytest.skip("systemd-analyze is not on this machine (Debian: apt-get install systemd)")
    env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:{SYSTEM_UNITS}"}
    return subprocess.run([command, *arguments], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they would be installed, with a command that exists."""
    folder = tmp_path / "units"
    shutil.copytree(FOLDER, folder)
    for path in folder.glob("*.service"):
        path.write_text(path.read_text().replace("/opt/tailsampler/bin/tailsampler", sys.executable))
    return folder


@pytest.mark.parametrize("unit", UNITS.values())
def test_systemd_accepts_the_unit(unit: str, installed: Path) -> None:
    """`systemd-analyze verify` has nothing to say, so no key is unknown."""
    done = analyze(installed, "verify", "--man=no", unit)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert [line for line in said.splitlines() if "tailsampler" in line] == []


@pytest.mark.parametrize("unit", UNITS.values())
def test_the_unit_is_hardened(unit: str, installed: Path) -> None:
    """Its exposure is that of a service that can do little but its work, also by the folder of common settings."""
    done = analyze(installed, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", unit)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_the_command_is_ours(name: str) -> None:
    """ExecStart parses as a command line of tailsampler."""
    found = re.search(r"^ExecStart=(.*)$", text_of(name), re.MULTILINE)
    assert found is not None
    line = found[1].replace("%i", "8485").replace("${STATE_DIRECTORY}", "/var/lib/tailsampler/worker-8485")
    program, *arguments = shlex.split(line)
    assert program == "/opt/tailsampler/bin/tailsampler"
    assert mistakes(arguments) == ""


def test_a_wrong_configuration_is_not_started_again() -> None:
    """Exit code 2 ends it, everything else starts it again, as the exit codes of the command line promise."""
    common = (FOLDER / "tailsampler-.service.d/hardening.conf").read_text(encoding="utf-8")
    assert "Restart=on-failure\n" in common
    assert "RestartPreventExitStatus=2\n" in common


def test_the_example_configuration_is_valid() -> None:
    """With the variable of the workers' units, and without it."""
    workers = load_config(FOLDER / "config.yaml", environment={"WORKER_NAME": "host-8485"})
    assert workers.worker.group_instance_id == "host-8485"
    assert load_config(FOLDER / "config.yaml", environment={}).exporter.backends
