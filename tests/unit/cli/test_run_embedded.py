"""`tailsampler run` without Kafka: agent, worker and embedded broker as real processes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

from sampler.clock import monotonic_s

ROOT = Path(__file__).parents[3]
LIMIT_S = 60.0


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    for first in range(20_000, 30_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


def answer(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


POLICIES = """
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: some, type: rate_limiting, rate_limiting: {spans_per_second: 100}}
"""


def test_run_becomes_ready_and_stops_cleanly(tmp_path: Path) -> None:
    """Both processes and the page of both get ready; warning and note are given once; SIGTERM ends all with 0."""
    web = free_ports(3)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"agent: {{grpc: {{endpoint: 'localhost:0'}}, http: {{endpoint: 'localhost:0'}}}}\n"
        f"web: {{endpoint: '127.0.0.1:{web}'}}\n",
        encoding="utf-8",
    )
    policies = tmp_path / "policies.yaml"
    policies.write_text(POLICIES, encoding="utf-8")
    argv = ["run", "--config", str(config), "--policies", str(policies)]
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen([sys.executable, "-m", "sampler.cli", *argv], stderr=log, cwd=ROOT)
    try:
        pause, deadline = threading.Event(), monotonic_s() + LIMIT_S
        while [answer(port, "/readyz") for port in (web, web + 1, web + 2)] != [200, 200, 200]:
            assert process.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
            assert monotonic_s() < deadline, (tmp_path / "log").read_text(encoding="utf-8")
            pause.wait(0.1)
        assert [answer(port, "/livez") for port in (web, web + 1, web + 2)] == [200, 200, 200]
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0, (tmp_path / "log").read_text(encoding="utf-8")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    log_text = (tmp_path / "log").read_text(encoding="utf-8")
    assert log_text.count("IN MEMORY ONLY") == 1
    assert log_text.count("caps nothing here") == 1, log_text
    assert "[^" not in log_text, "Faust tells of each of its services"
    assert [answer(port, "/livez") for port in (web, web + 1, web + 2)] == [0, 0, 0]
