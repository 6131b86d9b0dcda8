"""A real Prometheus for tests: a folder of its own, a free loopback port, always stopped; and promtool."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.distribution import MissingToolError
from tests.harness.process import TestProcess, free_ports, wait_until

READY_S = 60.0


def tool(name: str) -> str:
    """The path of prometheus or promtool; MissingToolError with what to install where it is not there."""
    found = shutil.which(name)
    if found is None:
        raise MissingToolError(f"{name} is needed (Debian: apt-get install prometheus)")
    return found


def promtool(arguments: Sequence[str], folder: Path) -> tuple[int, str]:
    """(exit status, output) of promtool, run in `folder`."""
    done = subprocess.run(
        [tool("promtool"), *arguments], check=False, cwd=folder, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


class Prometheus:
    """Scrapes `targets` (host:port by job) every second, with these rule files; runs within a `with` block.

    `scrape` are further settings of every job, such as TLS and tokens.
    """

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, Sequence[str]],
        rules: Sequence[Path] = (),
        scrape: Mapping[str, Any] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        config = folder / "prometheus.json"  # JSON is YAML
        every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        jobs = [
            {**(scrape or {}), "job_name": job, "static_configs": [{"targets": list(of)}]}
            for job, of in targets.items()
        ]
        files = [str(path) for path in rules]
        config.write_text(json.dumps({"global": every, "rule_files": files, "scrape_configs": jobs}))
        self._process = TestProcess(
            [
                tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=warn",
            ],
            folder / "prometheus.log",
            {"GOMAXPROCS": "1"},
            folder,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._process.start()
        try:
            self._process.wait_for_http(f"{self.url}/-/ready", READY_S)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        if error is not None:
            print(f"--- {self._process.log}\n{self._process.output()[-4000:]}")

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an API answer; AssertionError with what Prometheus has against the request."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{url}: {error.read().decode()}") from None
        assert found["status"] == "success", found
        return found["data"]

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The series of an instant query now, each with `metric` and `value`; NaN left out."""
        return [series for series in self.get("query", query=promql)["result"] if series["value"][1] != "NaN"]

    def value(self, promql: str) -> float | None:
        """The value of a query with one series; None where there is none."""
        found = self.query(promql)
        return float(found[0]["value"][1]) if found else None

    def wait_for(self, promql: str, timeout_s: float = 60.0) -> list[dict[str, Any]]:
        """Wait until a query has series, and return them."""
        wait_until(lambda: bool(self.query(promql)), timeout_s, f"series of {promql}", self.targets)
        return self.query(promql)

    def targets(self) -> str:
        """How the scrapes go, for an error."""
        active = self.get("targets")["activeTargets"]
        return "\n".join(f"{each['scrapeUrl']}: {each['health']} {each['lastError']}" for each in active)
