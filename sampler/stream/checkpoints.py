"""A worker's undecided traces over a clean stop: written when it ends, taken up again when it starts on the same disk.

A checkpoint is only ever a short cut. Whatever is wrong with it, the partition is read again from its committed offset.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sampler.engine.checkpoint import CheckpointError, CheckpointReader, write_checkpoint
from sampler.engine.partition import PartitionEngine

logger = logging.getLogger(__name__)

FOLDER = "checkpoint"
CHECK_EVERY_BYTES = 4 * 1024 * 1024


class Checkpoints:
    """The checkpoints in the data folder of one worker: those of its last clean stop, each for one use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, engines: Sequence[PartitionEngine], monotonic_s: Callable[[], float], deadline_s: float) -> int:
        """Write a checkpoint of each engine and return how many are complete by `deadline_s`; others are left out.

        A disk that is full or fails costs the checkpoint, nothing else.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        saved = traces = 0
        try:
            self._folder.mkdir(parents=True)
            for engine in engines:
                if not self._save_one(engine, monotonic_s, deadline_s):
                    logger.warning("no time for more checkpoints: the other partitions will be read again")
                    break
                saved += 1
                traces += len(engine.table)
        except OSError as error:
            logger.warning("checkpoints cannot be written, undecided traces will be read again: %s", error)
        logger.info("checkpoint: %d undecided traces of %d partitions", traces, saved)
        return saved

    def take(self, engine: PartitionEngine, committed: int) -> bool:
        """Bring an engine that has not begun to where its partition stood at the stop.

        False where that is not known, or where something has happened to the partition since: then it is to be read
        again from `committed`, the group's offset. CheckpointError where the engine cannot be used any more.
        """
        path = self._path(engine.partition)
        if not path.exists():
            return False
        try:
            with path.open("rb") as file:
                reader = CheckpointReader(file)
                resumed = engine.resume(reader, committed)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        except CheckpointError as error:
            raise CheckpointError(f"{path} cannot be used: {error}") from error
        finally:
            # Not to be met again, also not by a process that starts after this one has crashed.
            with suppress(OSError):
                path.unlink()
        if not resumed:
            logger.info("partition %d: its checkpoint is of another state than now", engine.partition)
        return resumed

    def _save_one(self, engine: PartitionEngine, monotonic_s: Callable[[], float], deadline_s: float) -> bool:
        path = self._path(engine.partition)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            unchecked = 0
            for size in write_checkpoint(file, engine.checkpoint_head(), engine.table):
                unchecked += size
                if unchecked >= CHECK_EVERY_BYTES:
                    unchecked = 0
                    if monotonic_s() > deadline_s:
                        return False
        unfinished.replace(path)
        return True

    def _path(self, partition: int) -> Path:
        return self._folder / f"{partition}.traces"
