"""What the log, the metrics and the status page say of the policies that run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from sampler.config import load_policies
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.settings import EngineSettings
from sampler.metrics import WorkerMetrics
from sampler.stream.policy_switch import PolicySwitch
from sampler.stream.reload import PolicyWatch, Refused, Taken, Unchanged
from sampler.stream.report import Reporter
from sampler.web.status import StatusPage
from tests.unit.stream.pipeline_lab import Worker, make_log

ONE = "version: {version}\ndecision_wait: 1s\npolicies: [{{name: {name}, type: always_sample}}]\n"


class Place:
    """A worker's pipeline with its policy file, and all that tells of it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.write("first", 1)
        running = load_policies(file)
        self.worker = Worker(make_log(1, 40)[0], 1)
        self.registry, self.page = CollectorRegistry(), StatusPage()
        # Source and outputs are asked at a report only.
        reporter = Reporter(
            WorkerMetrics(self.registry), self.worker.pipeline, cast(Any, None), cast(Any, None), ChunkStore(),
            running.policy_set,
        )  # fmt: skip
        self.watch = PolicyWatch(running)
        self.now_ms = 1_000_000
        self.switch = PolicySwitch(
            running, self.worker.pipeline, reporter, self.page,
            lambda policies: EngineSettings(decision_wait_ms=policies.tail_sampling.decision_wait.ms),
            lambda: self.now_ms,
        )  # fmt: skip

    def write(self, name: str, version: int) -> None:
        self.file.write_text(ONE.format(name=name, version=version))

    def look(self) -> object:
        outcome = self.watch.look(at_once=True)
        assert outcome is not None
        self.switch.tell(outcome)
        return outcome

    def sample(self, name: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"tailsampler_{name}", labels)

    @property
    def shown(self) -> dict[str, Any]:
        section: dict[str, Any] = json.loads(self.page.text())["policies"]
        return section


@pytest.fixture
def place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Place:
    caplog.set_level(logging.INFO)
    return Place(tmp_path / "shop.yaml")


def test_the_running_set_is_named_from_the_start(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Name, version, hash, since when, and from which file."""
    shown = place.shown
    assert (shown["name"], shown["version"], shown["policies"]) == ("shop", "1", ["first"])
    assert shown["running_since"] == "1970-01-01T00:16:40+00:00"
    assert shown["error_of_the_file"] is None
    assert place.sample("policy_set_info", name="shop", version="1", hash=shown["content_hash"][:12]) == 1
    assert place.sample("policy_set_loaded_timestamp_seconds") == 1000
    said = [record.getMessage() for record in caplog.get_records("setup")]
    assert said == [f"policies: running shop 1 ({shown['content_hash'][:12]}) from {place.file}"]


def test_a_good_file_is_run(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Pending traces are decided by it, and it is named in place of the one before."""
    before = place.shown["content_hash"]
    place.worker.fetch(10)
    place.write("second", 2)
    place.now_ms += 5000
    assert isinstance(place.look(), Taken)
    place.worker.finish()
    assert {verdict.policy for _, verdict in place.worker.decided[-3:]} == {"second"}
    assert place.sample("policy_set_info", name="shop", version="1", hash=before[:12]) is None
    assert place.sample("policy_set_loaded_timestamp_seconds") == 1005
    assert place.sample("policy_reloads_total", outcome="success") == 1
    assert place.shown["policies"] == ["second"]
    assert f"in place of shop 1 ({before[:12]})" in caplog.text


def test_a_bad_file_is_told_and_changes_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Until it is mended, with new policies or with those that run."""
    before = place.shown
    place.file.write_text("policies: [{name: x, type: nonsense}]")
    assert isinstance(place.look(), Refused)
    assert {**place.shown, "error_of_the_file": None} == before
    assert f"{place.file}:1: policies[0].type:" in place.shown["error_of_the_file"]
    assert place.sample("policy_reloads_total", outcome="failure") == 1
    assert place.sample("policy_reload_failed") == 1
    (told,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert f"{place.file}:1: policies[0].type:" in told.getMessage()
    place.write("first", 1)
    assert place.look() == Unchanged()
    assert place.shown == before
    assert place.sample("policy_reload_failed") == 0
    assert place.sample("policy_reloads_total", outcome="unchanged") == 1
