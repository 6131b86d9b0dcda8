"""What librdkafka says inside somebody's program: through `logging`, and little of it."""

from __future__ import annotations

import logging

from sampler.clock import monotonic_s

SAY_EVERY_S = 60.0


class OncePerMinute(logging.Filter):
    """Of librdkafka's lines of one kind (FAIL, ...) lets one pass a minute.

    A client that cannot connect writes some 20 a second, and Python prints warnings even where a program has not set up
    logging.
    """

    def __init__(self) -> None:
        super().__init__()
        self._say_again_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is said."""
        now_s, kind = monotonic_s(), _kind(record)
        if now_s < self._say_again_s.get(kind, now_s):
            return False
        self._say_again_s[kind] = now_s + SAY_EVERY_S
        return True


def _kind(record: logging.LogRecord) -> str:
    """What happened, in one word of librdkafka's: the first argument of its lines."""
    return str(record.args[0]) if isinstance(record.args, tuple) and record.args else str(record.msg)


def quiet_logger() -> logging.Logger:
    """The logger of the exporter's Kafka client."""
    logger = logging.getLogger("sampler.sdk.librdkafka")
    if not any(isinstance(each, OncePerMinute) for each in logger.filters):
        logger.addFilter(OncePerMinute())
    return logger
