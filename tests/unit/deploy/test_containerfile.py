"""The Containerfile, as far as it can be read without building it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "deploy/Containerfile").read_text(encoding="utf-8")
LINES = [line for line in re.sub(r"\\\n\s*", " ", TEXT).splitlines() if line and not line.startswith("#")]
STAGES = [part.strip() for part in re.split(r"^(?=FROM )", "\n".join(LINES), flags=re.MULTILINE) if part.strip()]


def test_the_image_that_runs_has_no_compiler() -> None:
    """It takes what the stage before it made, and installs nothing itself."""
    build, final = STAGES
    assert "gcc" in build
    assert "COPY --from=build" in final
    assert not re.search(r"\b(gcc|apt-get|pip)\b", final)


def test_the_image_that_runs_is_not_root() -> None:
    """Its user is a number above 0, which Kubernetes can check, and the same as the chart's."""
    found = re.search(r"^USER (\d+):(\d+)$", STAGES[-1], re.MULTILINE)
    assert found is not None
    assert found[1] == found[2] == "65532"
    assert "runAsUser: 65532" in (ROOT / "deploy/helm/tailsampler/values.yaml").read_text(encoding="utf-8")


def test_packages_are_locked() -> None:
    """Everything from an index has a hash, and nothing is built outside of the first stage."""
    installs = re.findall(r"pip install ([^&]*)", TEXT.replace("\\\n", " "))
    assert installs
    assert all("--require-hashes" in each or "--no-index" in each for each in installs)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("COPY ") and "--from" not in line])
def test_what_is_copied_is_there(line: str) -> None:
    """Each source of a COPY is in the tree and not kept from the builder by .dockerignore."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for source in line.split()[1:-1]:
        assert (ROOT / source).exists()
        assert source not in ignored


def test_all_that_the_build_needs_is_copied() -> None:
    """setup.py, its inputs and every package of the distribution."""
    copied = {source for line in LINES if line.startswith("COPY ") for source in line.split()[1:-1]}
    assert {"pyproject.toml", "setup.py", "README.md", "requirements.lock", "policies", "sampler"} <= copied


def test_every_file_names_the_same_version() -> None:
    """Chart, compose file and pages speak of the version that the package has."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    chart = yaml.safe_load((ROOT / "deploy/helm/tailsampler/Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["appVersion"], chart["version"]) == (version, version)
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text(encoding="utf-8"))
    assert compose["services"]["worker"]["image"] == f"tailsampler:{version}"
    assert f"tailsampler:{version}" in TEXT
    assert f"tailsampler:{version}" in (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
