"""Log lines for people and for machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from sampler.cli.logs import set_up_logging


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    # Those of pytest must survive: basicConfig(force=True) would close them.
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("aiokafka", "faust", "mode", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, whatever the message holds; errors with their traceback."""
    set_up_logging("info", "json", "agent")
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("x").exception("two\nlines %s", "ü")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["level"], said["logger"], said["message"]) == ("error", "x", "two\nlines ü")
    assert "ValueError: boom" in said["error"]
    assert said["time"].endswith("+00:00")


def test_text_lines_name_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    """Level and process stand before the message; what is below the level is not said."""
    set_up_logging("warning", "text", "worker")
    logging.getLogger("x").info("quiet")
    logging.getLogger("x").warning("loud")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("WARNING [worker] loud")


def test_libraries_are_quiet_unless_debugging(capsys: pytest.CaptureFixture[str]) -> None:
    """Their information is not said; their warnings are."""
    set_up_logging("info", "text", "worker")
    logging.getLogger("aiokafka.consumer").info("heartbeat")
    logging.getLogger("aiokafka.consumer").warning("trouble")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("trouble")
