"""Workers that come and go while the others work on."""

from __future__ import annotations

from tests.faults.stage import Stage


def test_rolling_restart_of_three_workers(stage: Stage) -> None:
    """Each of three workers is told to stop and started again, one after the other, and nothing is written twice."""
    with stage.tier() as tier:
        for _ in range(3):
            tier.start_worker(wait=False)
        for number in range(3):
            tier.wait_ready(number)
        with stage.load(40) as load:
            load.until(6)
            stage.strike()
            for number, worker in enumerate(tier.workers):
                assert worker.terminate(10) == 0
                worker.start()
                tier.wait_ready(number)
        stage.finish("rolling restart of three workers")


def test_scale_from_one_to_three_and_back(stage: Stage) -> None:
    """Two workers join under load, later the first two leave: nothing is written twice."""
    with stage.tier() as tier:
        tier.start_worker()
        with stage.load(40) as load:
            load.until(6)
            stage.strike()
            tier.start_worker(wait=False)
            load.until(14)
            tier.start_worker()
            load.until(24)
            for worker in tier.workers[:2]:
                assert worker.terminate(10) == 0
        stage.finish("scale 1-3-1 under load")
