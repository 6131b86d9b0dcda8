"""Too little memory: a worker above the soft limit all the time, and one that something drives above the hard one."""

from __future__ import annotations

from tests.faults.plugins import with_plugin
from tests.faults.stage import Stage
from tests.harness.process import http_ok, wait_until

SOFT, HARD = 1, 2
LEVEL = "tailsampler_memory_level"
LIMIT_MIB = 768
BALLAST_MIB = 700
"""Above the hard share of the limit whatever the worker takes besides."""
LEAKS = """
'''A plugin that takes memory while a file exists: what a leak does, or another process in the container.'''

import threading
import time
from pathlib import Path

_MARK = Path({mark!r})


def _hold():
    ballast = None
    while True:
        if not _MARK.exists():
            ballast = None
        elif ballast is None:
            ballast = bytearray(b"x") * ({ballast_mib} << 20)
        # Nothing tells of a file that comes or goes: it is looked for, seldom enough to take no time from the worker.
        time.sleep(0.05)


threading.Thread(target=_hold, name="ballast", daemon=True).start()
"""


def test_memory_soft_limit_reached(stage: Stage) -> None:
    """Above the soft limit all the time, the worker fetches little at once and keeps spans on disk."""
    with stage.tier() as tier:
        tier.start_worker(worker={"memory": {"limit_mib": 2048, "soft_percent": 3, "hard_percent": 90}})
        with stage.load(20) as load:
            load.until(8)
            stage.strike()
            assert tier.metric(0, LEVEL) == SOFT
        stage.finish("memory above the soft limit")


def test_memory_hard_limit_reached(stage: Stage) -> None:
    """Something takes the worker's memory: it puts all on disk, fetches nothing and says so until that is over."""
    mark = stage.folder / "leak"
    policies = with_plugin(stage.folder / "leaks.py", LEAKS.format(mark=str(mark), ballast_mib=BALLAST_MIB))
    with stage.tier(policies=policies) as tier:
        worker = tier.start_worker(worker={"memory": {"limit_mib": LIMIT_MIB}})
        ready, paused = f"{tier.url(0)}/readyz", '{reason="memory"}'
        with stage.load(30) as load:
            load.until(8)
            stage.strike()
            mark.touch()
            worker.wait_until(lambda: tier.metric(0, LEVEL) == HARD, 10, "the hard level")
            worker.wait_for_log("not fetching spans (memory)", 15)
            assert tier.metric(0, "tailsampler_fetching_paused", paused) == 1
            assert not http_ok(ready)
            assert tier.metric(0, "tailsampler_buffered_bytes", '{place="disk"}') > 0
            mark.unlink()
            wait_until(lambda: http_ok(ready) and tier.metric(0, LEVEL) < HARD, 10, "fetching again", worker.output)
        stage.finish("memory above the hard limit")
        assert tier.metric(0, "tailsampler_early_decisions_total", '{reason="table_full"}') == 0
