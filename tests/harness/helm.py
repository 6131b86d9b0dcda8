"""Helm, built once from its Go module and kept outside the tree, and what it renders of the chart.

`python -m tests.harness.helm` builds it where it is not there yet, which takes about two minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.harness.distribution import MissingToolError, cache_folder, locked
from tests.harness.process import REPOSITORY

VERSION = "3.19.0"
MODULE = f"helm.sh/helm/v3/cmd/helm@v{VERSION}"
CHART = REPOSITORY / "deploy/helm/tailsampler"
BUILD_TIMEOUT_S = 1200
RUN_TIMEOUT_S = 120


class HelmError(RuntimeError):
    """Helm refused; the message is its own."""


def helm() -> Path:
    """The command, built the first time. MissingToolError without Go; RuntimeError with Go's words where it fails."""
    ready = cache_folder() / "bin" / f"helm-{VERSION}"
    if ready.is_file():
        return ready
    ready.parent.mkdir(parents=True, exist_ok=True)
    with locked(ready.with_suffix(".lock")):
        if not ready.is_file():
            print(f"Building Helm {VERSION} into {ready.parent}: about two minutes, once", file=sys.stderr)
            _build(ready)
    return ready


def _build(ready: Path) -> None:
    """Let Go build into a folder beside `ready`, then give the command that name: half a build is never taken."""
    go = shutil.which("go")
    if go is None:
        raise MissingToolError("Go 1.24 or later is needed to build Helm the first time, and there is no `go`")
    with tempfile.TemporaryDirectory(prefix="helm-", dir=ready.parent) as scratch:
        done = subprocess.run(
            [go, "install", MODULE],
            env={**os.environ, "GOBIN": scratch, "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"},
            cwd=scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"Go could not build Helm (exit {done.returncode}):\n{done.stdout[-2000:]}")
        (Path(scratch) / "helm").rename(ready)


def run_helm(*arguments: str) -> str:
    """What Helm prints; HelmError where it does not end with 0. It sees no configuration of this machine's user."""
    with tempfile.TemporaryDirectory(prefix="tailsampler-helm-") as home:
        done = subprocess.run(
            [str(helm()), *arguments],
            env={"PATH": os.environ.get("PATH", ""), "HOME": home, "HELM_NO_PLUGINS": "1"},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        raise HelmError(f"helm {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def render_text(
    values: Sequence[Path] = (), settings: Mapping[str, str] | None = None, release: str = "tailsampler"
) -> str:
    """The manifests of the chart as text, with values of files and single ones (`--set`) over them."""
    files = [part for path in values for part in ("--values", str(path))]
    single = [part for key, value in (settings or {}).items() for part in ("--set-json", f"{key}={value}")]
    return run_helm("template", release, str(CHART), "--namespace", "tracing", *files, *single)


def render(
    values: Sequence[Path] = (), settings: Mapping[str, str] | None = None, release: str = "tailsampler"
) -> list[dict[str, Any]]:
    """The manifests of the chart; the values of `settings` are JSON."""
    return [each for each in yaml.safe_load_all(render_text(values, settings, release)) if each]


if __name__ == "__main__":
    try:
        helm()
    except (MissingToolError, RuntimeError) as error:
        sys.exit(str(error))
