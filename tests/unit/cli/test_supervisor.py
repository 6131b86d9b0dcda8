"""The supervisor, with real child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from sampler.clock import monotonic_s
from sampler.supervisor import Part, Patience, Supervisor

QUICK = Patience(first_s=0.05, longest_s=0.2, stable_s=60, grace_s=10)
ROOT = Path(__file__).parents[3]

# Signals are blocked and waited for: a handler would miss one that comes just before it pauses. Lines are written in
# one piece: print may take two, and another process may come between them.
OBEDIENT = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {15})
os.write(1, b"up\\n")
signal.sigwait({15})
"""
STUBBORN = "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\nwhile True: signal.pause()"


def part(name: str, code: str) -> Part:
    return Part(name, (sys.executable, "-c", code))


def until(condition: Callable[[], object], limit_s: float = 20.0) -> None:
    pause, deadline = threading.Event(), monotonic_s() + limit_s
    while not condition():
        assert monotonic_s() < deadline, "waited in vain"
        pause.wait(0.02)


def alive(pid: int) -> bool:
    """A zombie that nobody has collected yet does not count."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def running(supervisor: Supervisor) -> Iterator[list[int]]:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(supervisor.run()))
    thread.start()
    try:
        yield codes
    finally:
        supervisor.stop()
        thread.join(30)
        assert not thread.is_alive()


def test_parts_run_and_stop_together(capfd: pytest.CaptureFixture[str]) -> None:
    """A stop asks every part to end, waits for it, and is clean."""
    supervisor = Supervisor([part("a", OBEDIENT), part("b", OBEDIENT)], QUICK)
    up = []
    with running(supervisor) as codes:
        until(lambda: up.extend(capfd.readouterr().out.split()) or len(up) == 2)
        pids = supervisor.pids
        assert set(pids) == {"a", "b"}
    assert codes == [0]
    assert supervisor.pids == {}
    assert not any(alive(pid) for pid in pids.values())


def test_a_part_that_is_killed_is_started_again() -> None:
    """The others stay as they are."""
    supervisor = Supervisor([part("a", OBEDIENT), part("b", OBEDIENT)], QUICK)
    with running(supervisor):
        until(lambda: len(supervisor.pids) == 2)
        before = supervisor.pids
        os.kill(before["a"], signal.SIGKILL)
        until(lambda: supervisor.pids.get("a", before["a"]) != before["a"])
        assert supervisor.pids["b"] == before["b"]


def test_waits_double_up_to_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    """A part that ends at once is started less and less often."""
    caplog.set_level("WARNING", "sampler.supervisor")
    with running(Supervisor([part("a", "raise SystemExit(70)")], QUICK)):
        until(lambda: len(caplog.records) >= 4)
    said = [record.getMessage().rsplit(" ", 2)[1] for record in caplog.records[:4]]
    assert said == ["0.05", "0.1", "0.2", "0.2"]
    assert "exit code 70" in caplog.records[0].getMessage()


def test_a_part_that_ran_long_begins_anew() -> None:
    """After a stable time the first wait counts again."""
    patience = Patience(first_s=0.05, longest_s=60.0, stable_s=0.0, grace_s=10)
    supervisor = Supervisor([part("a", "pass")], patience)
    seen: set[int] = set()
    with running(supervisor):
        until(lambda: seen.update(supervisor.pids.values()) or len(seen) >= 4)


def test_a_part_that_refuses_its_configuration_ends_all() -> None:
    """Exit code 2 is no accident: the others are stopped and the code is handed on."""
    supervisor = Supervisor([part("a", OBEDIENT), part("b", "raise SystemExit(2)")], QUICK)
    assert supervisor.run() == 2
    assert supervisor.pids == {}


def test_a_part_that_does_not_end_is_killed(capfd: pytest.CaptureFixture[str]) -> None:
    """After the grace time, and the exit code says so."""
    supervisor = Supervisor([part("a", STUBBORN)], Patience(grace_s=0.3))
    with running(supervisor) as codes:
        until(lambda: "up" in capfd.readouterr().out)
    assert codes == [1]


SUPERVISING = """
import sys
from sampler.supervisor import Part, Patience, Supervisor
child = "import os, signal; from sampler.supervisor import end_with_parent; end_with_parent(); "
child += "signal.pthread_sigmask(signal.SIG_BLOCK, {15}); print(os.getpid(), flush=True); signal.sigwait({15})"
sys.exit(Supervisor([Part("a", (sys.executable, "-c", child))], Patience()).run())
"""


@contextmanager
def supervising() -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen([sys.executable, "-c", SUPERVISING], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    child = int(process.stdout.readline())
    try:
        yield process, child
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        if alive(child):
            until(lambda: not alive(child))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_handed_on(number: signal.Signals) -> None:
    """Both ways to end a command end its parts first."""
    with supervising() as (process, child):
        process.send_signal(number)
        assert process.wait(20) == 0
        assert not alive(child)


TAKES_HANGUP = """
import sys
from sampler.supervisor import Part, Patience, Supervisor
code = "import os, signal, sys\\nsignal.pthread_sigmask(signal.SIG_BLOCK, {1, 15})\\nos.write(1, b'up\\\\n')\\n"
code += "while signal.sigwait({1, 15}) == 1: print(sys.argv[1], flush=True)"
parts = [Part(name, (sys.executable, "-c", code, name), takes_hangup=name == "worker") for name in ("worker", "agent")]
sys.exit(Supervisor(parts, Patience()).run())
"""


def test_a_hangup_goes_to_the_parts_that_take_it() -> None:
    """A reload asked of the supervisor ends nothing, and reaches the workers only."""
    process = subprocess.Popen([sys.executable, "-c", TAKES_HANGUP], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    with process.stdout as said:
        assert [said.readline(), said.readline()] == ["up\n", "up\n"]
        process.send_signal(signal.SIGHUP)
        assert said.readline() == "worker\n"
        process.send_signal(signal.SIGTERM)
        assert said.read() == ""
    assert process.wait(20) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_parts_do_not_outlive_a_killed_supervisor() -> None:
    """A supervisor ended by kill -9 leaves no orphans."""
    with supervising() as (process, child):
        process.kill()
        process.wait()
        until(lambda: not alive(child))


def test_a_part_that_has_worked_is_never_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once it has run, also a refused configuration is taken for a file that is being edited: it is started again."""
    log = tmp_path / "runs"
    code = (
        f"import pathlib, sys\nlog = pathlib.Path({str(log)!r})\nruns = len(log.read_text()) if log.exists() else 0\n"
        "log.write_text('x' * (runs + 1))\nsys.exit([70, 2, 2, 2, 2][min(runs, 4)])"
    )
    with running(Supervisor([part("worker", code)], QUICK)) as codes:
        until(lambda: log.exists() and len(log.read_text()) >= 4)
        assert codes == []
    assert codes == [0]
    waits = [
        float(r.getMessage().split(" starting again in ")[1].split()[0]) for r in caplog.records if "again" in r.msg
    ]
    assert waits[:3] == [0.05, 0.1, 0.2]
