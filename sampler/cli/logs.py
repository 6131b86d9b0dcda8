"""Log lines on standard error, for people or for machines."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import click

from sampler.log_fields import FIELDS

CHATTY = ("aiokafka", "faust", "mode", "asyncio")
"""They speak of every heartbeat and connection; what matters of them we say ourselves."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line, its fields in this order and under these names.

    time (RFC 3339, UTC), level, logger, message, process (the part that runs: agent, worker, ...); topic, partition,
    offset and trace_id of what it is about, error (a traceback), where there is one.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": self._process,
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        error = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        if error or record.stack_info:
            line["error"] = "\n".join(part for part in (error, record.stack_info) if part)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logging(level: str, form: str, part: str) -> None:
    """Send all logs of the process to standard error; `part` names the process in its lines.

    In JSON form that goes for Python's warnings, too, and for what ends a thread.
    """
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(JsonFormatter(part))
        logging.captureWarnings(True)
        threading.excepthook = _thread_ended
    else:
        text = f"%(asctime)s %(levelname)-7s [{part}] %(message)s"
        handler.setFormatter(logging.Formatter(text, "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level != "debug":
        for chatty in CHATTY:
            logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def logs_are_json() -> bool:
    """Whether this process has been told to write JSON: nothing else may then go to standard error."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def tell(text: str) -> None:
    """Text for the person who started a command, on standard error; where logs are JSON, a log line for each line."""
    if not logs_are_json():
        click.echo(text, err=True)
        return
    for line in text.splitlines():
        logging.getLogger("tailsampler").info("%s", line)


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is SystemExit or ended.exc_value is None:
        return
    name = ended.thread.name if ended.thread else "without a name"
    logging.getLogger("tailsampler").critical("thread %s ended by an error", name, exc_info=ended.exc_value)
