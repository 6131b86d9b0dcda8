"""The data folder of a worker: full, and damaged."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.keeper import Keeper
from tests.faults.stage import Stage
from tests.harness.disk import fill, small_disk

DISK_MIB = 160


def test_data_disk_full(stage: Stage) -> None:
    """All waiting spans lie on a disk that somebody else fills; when there is room again, all goes on."""
    with small_disk(stage.folder / "disk", DISK_MIB) as disk, stage.tier() as tier:
        tier.start_worker(worker={"data_dir": str(disk / "data"), "trace_table": {"memory_limit_mib": 0}})
        with Keeper(tier.workers[0]), stage.load(35) as load:
            load.until(8)
            stage.crash(0)
            stage.strike()
            ballast = disk / "ballast"
            fill(ballast)
            load.until(20)
            ballast.unlink()
        stage.finish("data disk full")


@pytest.mark.faults_ci
def test_corrupt_rocksdb_folder(stage: Stage) -> None:
    """Every file of the decision tables is damaged while the worker is away: it makes them anew from the changelog."""
    with stage.tier() as tier:
        tier.start_worker()
        with stage.load(25) as load:
            load.until(10)
            stage.strike()
            assert tier.workers[0].terminate(10) == 0
            damage(tier.data_dir(0) / "tables")
            with Keeper(tier.workers[0].start()) as keeper:
                tier.wait_ready(0)
        stage.finish("corrupt RocksDB folder")
        assert keeper.ends == 0


def damage(folder: Path) -> None:
    """Turn one byte in sixteen of every file round."""
    rng = random.Random(3)
    files = [Path(root) / name for root, _, names in os.walk(folder) for name in names]
    assert files
    for file in files:
        content = bytearray(file.read_bytes())
        for at in range(len(content)):
            if rng.random() < 1 / 16:
                content[at] ^= 0xFF
        file.write_bytes(content)
