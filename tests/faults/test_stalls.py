"""A worker that stands still without a word: its watchdog ends it."""

from __future__ import annotations

from tests.faults.keeper import Keeper
from tests.faults.plugins import with_plugin
from tests.faults.stage import Stage
from tests.harness.process import wait_until

EXIT_FATAL = 70
STALLS = """
'''A plugin that makes fetching hang while a file exists: what a fault in a client below would do.'''

import time
from pathlib import Path

from sampler.stream.span_source import SpanSource

_MARK = Path({mark!r})
_fetch = SpanSource.fetch


def _hanging(self, active, timeout_s):
    while _MARK.exists():
        time.sleep(0.1)
    return _fetch(self, active, timeout_s)


SpanSource.fetch = _hanging
"""


def test_stalled_worker_is_ended_and_restarted(stage: Stage) -> None:
    """Fetching hangs; the watchdog ends the process with 70, and the one that is started in its place goes on."""
    mark = stage.folder / "hang"
    policies = with_plugin(stage.folder / "stalls.py", STALLS.format(mark=str(mark)))
    with stage.tier(policies=policies) as tier:
        worker = tier.start_worker(worker={"watchdog": {"stall_timeout": "5s"}})
        with stage.load(35) as load:
            load.until(8)
            stage.crash(0)
            stage.strike()
            mark.touch()
            wait_until(lambda: not worker.running, 40, "the watchdog", worker.output)
            assert worker.wait(1) == EXIT_FATAL
            assert "exiting with code 70: stalled: " in worker.output()
            mark.unlink()
            with Keeper(worker) as keeper:
                load.until(35)
        stage.finish("stalled worker ended by its watchdog")
        assert keeper.ends == 1
