"""Workers that end: killed, told to stop, killed again while they come back."""

from __future__ import annotations

import shutil

import pytest

from tests.faults.stage import Stage


def test_no_fault(stage: Stage) -> None:
    """Without a fault the comparison finds nothing lost, split or repeated: what the other rows are held against."""
    with stage.tier() as tier:
        tier.start_worker()
        with stage.load(15) as load:
            load.until(8)
            stage.strike()
        stage.finish("no fault")


@pytest.mark.faults_ci
def test_kill_9_of_a_worker(stage: Stage) -> None:
    """A worker that is killed and started again finishes what was begun."""
    with stage.tier() as tier:
        tier.start_worker()
        with stage.load(20) as load:
            load.until(8)
            stage.strike()
            stage.crash(0)
            tier.workers[0].kill()
            tier.workers[0].start()
        stage.finish("kill -9 worker")


@pytest.mark.faults_ci
def test_sigterm_of_a_worker(stage: Stage) -> None:
    """A worker that is told to stop ends by itself within ten seconds, and nothing is written twice by the next one."""
    with stage.tier() as tier:
        tier.start_worker()
        with stage.load(20) as load:
            load.until(8)
            stage.strike()
            assert tier.workers[0].terminate(10) == 0
            tier.workers[0].start()
        stage.finish("SIGTERM worker")


def test_kill_9_during_recovery(stage: Stage) -> None:
    """Killed, started again on an empty disk, and killed once more as soon as it has been given its partitions."""
    with stage.tier() as tier:
        tier.start_worker()
        with stage.load(30) as load:
            load.until(10)
            stage.strike()
            stage.crash(0)
            tier.workers[0].kill()
            shutil.rmtree(tier.data_dir(0))
            said = tier.workers[0].output().count("fetching")
            tier.workers[0].start()
            tier.workers[0].wait_until(lambda: tier.workers[0].output().count("fetching") > said, 60, "recovery")
            stage.crash(0)
            tier.workers[0].kill()
            tier.workers[0].start()
        stage.finish("kill -9 during recovery")
