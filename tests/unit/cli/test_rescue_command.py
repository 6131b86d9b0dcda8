"""`tailsampler rescue` against a server that answers as a worker does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from sampler.cli.root import invoke
from sampler.web.actions import Actions
from sampler.web.health import Health
from sampler.web.server import WebServer

FOUND = {"looked_at": 1200, "matched": 2, "written": 2, "lost": 0, "gone": 0, "trace_ids": ["aa" * 16, "bb" * 16]}


class Worker:
    """Notes what it is asked, and answers with what it is told to."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: tuple[int, Mapping[str, Any]] = 200, FOUND
        actions = Actions("correct horse")
        actions.offer("/rescue", self._take)
        self.server = WebServer("localhost:0", CollectorRegistry(), Health(), actions=actions)
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}"

    def _take(self, body: bytes) -> tuple[int, Mapping[str, Any]]:
        self.asked.append(json.loads(body))
        return self.answer


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setenv("TAILSAMPLER_WEB_TOKEN", "correct horse")
    it = Worker()
    yield it
    it.server.stop()


def test_every_worker_is_asked(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids go to standard output, for other programs; counts to standard error."""
    arguments = ["--worker", worker.url, "--worker", f"{worker.url}/", "--where", 'a.b == "c"', "--since", "3m"]
    assert invoke(["rescue", *arguments]) == 0
    assert worker.asked == [{"where": 'a.b == "c"', "since": "3m", "dry_run": False}] * 2
    out, err = capsys.readouterr()
    assert out.splitlines() == FOUND["trace_ids"] * 2  # type: ignore[operator]  # a list
    assert f"{worker.url}: 1,200 dropped traces looked at, 2 match, 2 written\n" in err


def test_a_dry_run_says_so(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    """To the worker and to whoever asked."""
    assert invoke(["rescue", "--worker", worker.url, "--where", "true", "--dry-run"]) == 0
    assert worker.asked == [{"where": "true", "dry_run": True}]
    assert "none written (dry run)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, {**FOUND, "lost": 1}), "1 could not be written"),
        ((200, {**FOUND, "gone": 3}), "3 partitions went to another worker"),
        ((400, {"error": "where: wrong"}), "where: wrong"),
        ((409, {"error": "nothing is kept here"}), "nothing is kept here"),
    ],
)
def test_what_went_wrong_is_told(
    worker: Worker, answer: tuple[int, dict[str, Any]], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, with the worker's own words."""
    worker.answer = answer
    assert invoke(["rescue", "--worker", worker.url, "--where", "true"]) == 1
    assert f"{worker.url}: " in (told := capsys.readouterr().err)
    assert said in told


def test_a_worker_that_is_not_there_hinders_no_other(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are asked all the same; the exit code tells."""
    arguments = ["--worker", "http://127.0.0.1:1", "--worker", "here", "--worker", worker.url]
    assert invoke(["rescue", *arguments, "--where", "true"]) == 1
    out, err = capsys.readouterr()
    assert "http://127.0.0.1:1: no answer" in err
    assert "here: a worker is named by its URL" in err
    assert len(out.splitlines()) == 2


def test_a_wrong_token_is_told(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the name of the setting."""
    monkeypatch.setenv("TAILSAMPLER_WEB_TOKEN", "wrong")
    assert invoke(["rescue", "--worker", worker.url, "--where", "true"]) == 1
    assert "web.token" in capsys.readouterr().err
