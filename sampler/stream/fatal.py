"""The end of a worker that cannot go on: at once, so that the supervisor starts it again from the watermark."""

from __future__ import annotations

import logging
import os
from typing import Any

logger = logging.getLogger(__name__)

EXIT_FATAL = 70
"""The process cannot go on and must be started again."""


class RecoveryAlarm(logging.Handler):
    """Ends the process when Faust fails to apply a changelog record: it would log a warning and go on without it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one message of Faust's recovery."""
        if record.levelno >= logging.WARNING and str(record.msg).startswith("Error in recovery"):
            die(f"the decision table could not be recovered: {record.getMessage()}")


class fatal:  # noqa: N801  # a context manager reads as a word of the sentence
    """Ends the process on any exception but cancellation: Faust would log it and go on without the part."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            logger.critical("%s", self._what, exc_info=error)
            die(self._what)


def die(reason: str) -> None:
    """End the process at once; what was not finished is read again from the watermark."""
    logger.critical("exiting with code %d: %s", EXIT_FATAL, reason)
    logging.shutdown()
    os._exit(EXIT_FATAL)
