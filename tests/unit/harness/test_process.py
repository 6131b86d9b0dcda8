"""Processes of tests: what they leave behind, which is nothing but a log."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from tests.harness.process import ConditionTimeoutError, TestProcess, free_ports, http_ok, wait_until

FOREVER = "import time; print('up'); time.sleep(1000)"
WITH_CHILD = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
    "print('child', child.pid, 'up'); time.sleep(1000)"
)


def python(code: str, folder: Path) -> TestProcess:
    """A process that runs `code`."""
    return TestProcess([sys.executable, "-c", code], folder / "log")


def test_the_log_is_kept_over_a_restart(tmp_path: Path) -> None:
    """What a killed process wrote is still there after its successor has written too."""
    with python(FOREVER, tmp_path) as process:
        process.wait_for_log("up")
        process.kill()
        assert process.returncode == -9
        process.start()
        process.wait_until(lambda: process.output().count("up") == 2, 30, "both have written")


def test_children_do_not_outlive_the_test(tmp_path: Path) -> None:
    """A child that the command started is gone when the block is left by an exception."""
    with pytest.raises(ZeroDivisionError), python(WITH_CHILD, tmp_path) as process:  # noqa: PT012
        process.wait_for_log("up")
        child = psutil.Process(int(process.output().split()[1]))
        raise ZeroDivisionError
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 10, "the child is gone")
    assert not process.running


def test_the_end_of_the_process_ends_the_wait(tmp_path: Path) -> None:
    """Waiting for something a dead process will never do fails at once, with its log and status."""
    with (
        pytest.raises(ConditionTimeoutError, match=r"(?s)ended with 3 before: 'never'.*said this"),
        python("print('said this'); raise SystemExit(3)", tmp_path) as process,
    ):
        process.wait_for_log("never", timeout_s=30)


def test_a_wait_that_is_too_long_shows_the_log(tmp_path: Path) -> None:
    """A condition that does not come to pass is named together with what the process wrote."""
    with python(FOREVER, tmp_path) as process:
        process.wait_for_log("up")
        with pytest.raises(ConditionTimeoutError, match=r"(?s)not within 0.1 s: 'never' in the log.*up"):
            process.wait_for_log("never", timeout_s=0.1)


def test_terminate_lets_the_process_end_by_itself(tmp_path: Path) -> None:
    """SIGTERM reaches the command, and its own exit status is returned."""
    code = "import signal as s; s.pthread_sigmask(s.SIG_BLOCK, {15}); print('up'); raise SystemExit(s.sigwait({15}))"
    process = python(code, tmp_path).start()
    process.wait_for_log("up")
    assert process.terminate() == 15


def test_http_is_waited_for(tmp_path: Path) -> None:
    """A page counts as there when it answers 2xx; neither 404 nor a closed port does."""
    (port,) = free_ports(1)
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), str(port)]
    with TestProcess(server, tmp_path / "log") as process:
        process.wait_for_http(f"http://127.0.0.1:{port}/log")
        assert not http_ok(f"http://127.0.0.1:{port}/absent")
    assert not http_ok(f"http://127.0.0.1:{port}/log")


def test_ports_are_different() -> None:
    """Ports asked for together are never the same."""
    assert len(set(free_ports(20))) == 20
