"""Log lines for people and for machines."""

from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from sampler.cli.logs import set_up_logging, tell
from sampler.config.kafka import Kafka
from sampler.config.security import librdkafka_conf
from sampler.log_fields import where


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    # Those of pytest must survive: basicConfig(force=True) would close them.
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    threading.excepthook = threading.__excepthook__
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
    assert list(said) == ["time", "level", "logger", "message", "process", "error"]
    assert said["process"] == "agent"


def test_json_lines_say_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    """Topic, partition, offset and trace id are fields of their own, where they are given."""
    set_up_logging("info", "json", "worker")
    logging.getLogger("x").warning("gone", extra=where("spans", 0, 17, "ab" * 16))
    logging.getLogger("x").info("only this", extra=where(partition=3))
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert {name: first[name] for name in ("topic", "partition", "offset", "trace_id")} == {
        "topic": "spans", "partition": 0, "offset": 17, "trace_id": "ab" * 16
    }  # fmt: skip
    assert (second["partition"], "topic" in second, "offset" in second) == (3, False, False)


def test_nothing_but_json_where_logs_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Banners, warnings of Python, threads that die and librdkafka write lines of the log, too."""
    set_up_logging("info", "json", "run")
    tell("Kafka  here\nOTLP   there")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    ended = threading.Thread(target=lambda: 1 // 0, name="counter")
    ended.start()
    ended.join()
    producer = Producer({**librdkafka_conf(Kafka(brokers=("127.0.0.1:1",))), "client.id": "ours"})
    lines: list[dict[str, str]] = []
    while not any(line["logger"] == "librdkafka" for line in lines):
        producer.poll(0.05)
        lines += [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in lines[:2]] == ["Kafka  here", "OTLP   there"]
    assert "old" in lines[2]["message"]
    assert (lines[3]["message"], "ZeroDivisionError" in lines[3]["error"]) == (
        "thread counter ended by an error", True
    )  # fmt: skip
    assert "ours" in lines[4]["message"]


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
