"""The example plugin of the docs against tailsampler as it is delivered: both built as wheels and installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = "docs/examples/plugin"
# What is made, not written; the generated C files may stay, which saves their making.
MADE = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.so", "__pycache__", "tests", "benchmarks")


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a command prints; one that fails is told with all of it."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST", "TAILSAMPLER"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**clean, **environment}, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def wheel_of(source: Path, into: Path) -> Path:
    """The wheel of a project, built without an index and, for want of time, without optimisation."""
    quick = {"CFLAGS": "-O0 -g0", "TAILSAMPLER_CFLAGS": "-O0"}
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index")
    run(*pip, "--wheel-dir", into, ".", cwd=source, **quick)
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel of tailsampler and that of the plugin."""
    folder = tmp_path_factory.mktemp("wheels")
    shutil.copytree(ROOT, folder / "tree", ignore=MADE)
    shutil.copytree(ROOT / EXAMPLE, folder / "plugin", ignore=shutil.ignore_patterns("build", "*.egg-info", ".*"))
    return wheel_of(folder / "tree", folder / "dist"), wheel_of(folder / "plugin", folder / "plugin-dist")


@pytest.fixture(scope="module")
def environment(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds both wheels, and for the rest what this one holds."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    # Not as a site directory: the .pth file of an editable install, which would bring in the source tree, is not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps")
    run(*pip, "--ignore-installed", *wheels, cwd=folder)
    return folder / "bin"


def test_the_wheel_holds_what_it_needs(wheels: tuple[Path, Path]) -> None:
    """Both packages with their type markers and data, the command, and neither tests nor benchmarks."""
    with zipfile.ZipFile(wheels[0]) as archive:
        names = set(archive.namelist())
    assert {
        "policies/py.typed", "sampler/py.typed", "policies/builtin/and_.py", "sampler/plugins/examples.yaml",
        "sampler/demo/policies.yaml",
    } <= names  # fmt: skip
    assert {name.split("/")[0].split("-")[0] for name in names} == {"policies", "sampler", "tailsampler"}


def test_the_plugins_tests_pass(environment: Path, tmp_path: Path) -> None:
    """Run as its author would, against the installed tailsampler instead of the source tree."""
    shutil.copytree(ROOT / EXAMPLE / "tests", tmp_path / "tests")
    where = run(environment / "python", "-c", "import policies; print(policies.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment.parent)
    pytest_ = (environment / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "tests")
    out = run(*pytest_, cwd=tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert " passed" in out


def test_the_command_knows_the_plugin(environment: Path, tmp_path: Path) -> None:
    """It is listed with the distribution that brings it, described, and used by a policy file."""
    listed = run(environment / "tailsampler", "policies", "list", cwd=tmp_path).splitlines()
    (line,) = [line for line in listed if line.startswith("route_objective ")]
    assert "tailsampler-route-objective 1.0.0 (route_objective:RouteObjective)" in line
    assert [line.split()[1] for line in listed if line.startswith("latency ")] == ["built-in"]
    described = run(environment / "tailsampler", "policies", "describe", "route_objective", cwd=tmp_path)
    assert "objectives_ms: " in described
    shutil.copy(ROOT / EXAMPLE / "policies.yaml", tmp_path)
    assert "miss their objective" in run(environment / "tailsampler", "validate", "policies.yaml", cwd=tmp_path)


def test_the_plugin_keeps_its_own_types(environment: Path, tmp_path: Path) -> None:
    """Strict mypy passes, with the types of the installed tailsampler."""
    shutil.copytree(ROOT / EXAMPLE / "src", tmp_path / "src")
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", environment / "python")
    run(*mypy, "--cache-dir", tmp_path / "cache", "src", cwd=tmp_path)
