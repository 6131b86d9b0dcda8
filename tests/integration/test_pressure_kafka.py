"""Workers as processes that are held back: by a topic that takes less than was said, a full disk, memory, a cut."""

from __future__ import annotations

import random
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from sampler.otlp import message_key, partition_of
from tests.harness.disk import small_disk
from tests.harness.kafka import KafkaCluster
from tests.harness.process import wait_until
from tests.harness.proxy import TcpProxy
from tests.harness.tier import Tier
from tests.harness.traffic import SpanSpec, TraceSpec, encode, plan_traces, publish, read_sampled

pytestmark = pytest.mark.kafka

ALL = {"decision_wait": "2s", "policies": [{"name": "all", "type": "always_sample"}]}
TRACES_PER_S = 150.0
TOPIC_BYTES = 20_000
DISK_MIB = 160
RESERVE_MIB = 48


def large_trace(rng: random.Random, sizes: list[int]) -> TraceSpec:
    """A trace whose spans have so many bytes that do not compress well."""
    ids = [rng.randbytes(8) for _ in sizes]
    spans = tuple(
        SpanSpec("large", span_id, b"", (("blob", rng.randbytes(size // 2).hex()),))
        for span_id, size in zip(ids, sizes, strict=True)
    )
    return TraceSpec(rng.randbytes(16), spans)


def not_ready(tier: Tier, number: int = 0) -> str:
    """What a worker says in /readyz while it is not ready; empty when it is."""
    try:
        with urllib.request.urlopen(f"{tier.url(number)}/readyz", timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode()


def check_whole(tier: Tier, traces: list[TraceSpec]) -> None:
    """Every span of these traces is in the sampled topic."""
    found = read_sampled(tier.kafka.read_all(tier.topics["sampled"]))
    assert {trace.trace_id: trace.span_ids for trace in traces} == {t: set(ids) for t, ids in found.spans.items()}


def test_a_topic_that_takes_less_than_configured_gets_smaller_records(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """Batches shrink, large traces are cut, spans that cannot fit become dead letters; nothing is read again for it."""
    rng = random.Random(1)
    small = plan_traces(600, seed=1, spread_s=0.5)
    large = [large_trace(rng, [5000] * 12) for _ in range(5)]
    too_large = [large_trace(rng, [100, 60_000, 100]) for _ in range(3)]
    with Tier(kafka, topics("t"), tmp_path, ALL) as tier:
        kafka.alter_topic(tier.topics["sampled"], {"max.message.bytes": str(TOPIC_BYTES)})
        tier.start_worker()
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        for trace in (*large, *too_large):
            producer.produce(
                tier.topics["spans"], encode(trace.trace_id, trace.spans, 10**18), message_key(trace.trace_id),
                partition_of(trace.trace_id, tier.partitions, "sarama"),
            )  # fmt: skip
        assert producer.flush(30) == 0
        publish(kafka.bootstrap, tier.topics["spans"], tier.partitions, small, TRACES_PER_S)
        tier.wait_decided()
        found = read_sampled(kafka.read_all(tier.topics["sampled"]))
        buried = {trace.spans[1].span_id for trace in too_large}
        expected = {trace.trace_id: trace.span_ids - buried for trace in (*small, *large, *too_large)}
        assert {trace_id: set(ids) for trace_id, ids in found.spans.items()} == expected
        assert found.duplicated() == 0
        letters = kafka.read_all(tier.topics["dead_letter"])
        assert (
            sorted(dict(letter.headers)["tailsampler.reason"] or b"" for letter in letters) == [b"span_too_large"] * 3
        )
        assert tier.metric(0, "tailsampler_dead_letters_total", '{reason="span_too_large"}') == 3
        limit = tier.metric(0, "tailsampler_output_limit_bytes", f'{{topic="{tier.topics["sampled"]}"}}')
        assert 4096 <= limit <= TOPIC_BYTES
        assert "reading again" not in tier.workers[0].output()
        assert not_ready(tier) == ""
        assert tier.workers[0].terminate() == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    with small_disk(tmp_path / "disk", DISK_MIB) as folder:
        yield folder


def fill(ballast: Path, leave_bytes: int) -> None:
    """Write until so much is left."""
    with ballast.open("ab", buffering=0) as file:
        while True:
            disk = subprocess.run(
                ["stat", "-f", "-c", "%a %S", str(ballast.parent)], check=True, capture_output=True, text=True
            ).stdout.split()
            excess = int(disk[0]) * int(disk[1]) - leave_bytes
            if excess <= 0:
                return
            file.write(bytes(min(excess, 8 << 20)))


@pytest.mark.faults
def test_a_disk_that_fills_up_holds_the_worker_back_and_costs_nothing(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path, disk: Path
) -> None:
    """First spans wait in memory instead, then nothing is fetched; with room again all goes on, in the same process."""
    traces = plan_traces(3000, seed=2, spread_s=0.5)
    said: list[str] = []
    ballast = disk / "ballast"
    worker = {
        "data_dir": str(disk / "data"),
        "trace_table": {"memory_limit_mib": 0, "disk_reserve_mib": RESERVE_MIB},
    }
    with Tier(kafka, topics("t"), tmp_path, ALL, worker=worker) as tier:
        tier.start_worker(worker=worker)

        def scarce() -> None:
            fill(ballast, (RESERVE_MIB - 16) << 20)

        def look() -> None:
            said.append(not_ready(tier))
            assert tier.metric(0, "tailsampler_spill_failing") == 1
            assert tier.metric(0, "tailsampler_fetching_paused", '{reason="disk_full"}') == 0

        def full() -> None:
            fill(ballast, (RESERVE_MIB // 4 - 4) << 20)

        def look_again() -> None:
            said.append(not_ready(tier))
            assert tier.metric(0, "tailsampler_fetching_paused", '{reason="disk_full"}') == 1

        events = [(3.0, scarce), (6.0, look), (6.5, full), (9.0, look_again), (13.0, ballast.unlink)]
        publish(kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S, during=events)
        tier.wait_decided()
        check_whole(tier, traces)
        assert "is full" in said[0]
        assert "disk_full" in said[1]
        wait_until(lambda: not_ready(tier) == "", 10, "ready again")
        log = tier.workers[0].output()
        assert log.count("not fetching spans (disk_full)") == log.count("no longer held back by disk_full") == 1
        assert tier.metric(0, "tailsampler_early_decisions_total", '{reason="table_full"}') == 0
        assert tier.workers[0].terminate() == 0


def test_a_worker_waits_for_room_on_a_disk_that_is_full_at_its_start(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path, disk: Path
) -> None:
    """It says so, lives, and begins to work when there is room."""
    traces = plan_traces(100, seed=3, spread_s=0.5)
    worker = {"data_dir": str(disk / "data")}
    (disk / "data").mkdir()
    (disk / "data" / "lock").touch()
    fill(disk / "ballast", 1 << 20)
    with Tier(kafka, topics("t"), tmp_path, ALL, worker=worker) as tier:
        tier.start_worker(wait=False, worker=worker)
        tier.workers[0].wait_for_log("make room")
        assert "disk" in not_ready(tier)
        (disk / "ballast").unlink()
        tier.wait_ready(0)
        publish(kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S)
        tier.wait_decided()
        check_whole(tier, traces)


@pytest.mark.faults
def test_a_memory_limit_that_is_too_small_is_told_and_loses_nothing(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """Spans go to disk, traces are decided early, and where nothing is left to give up the work goes on."""
    traces = plan_traces(600, seed=4, spread_s=0.5)
    worker = {"memory": {"limit_mib": 32}}
    with Tier(kafka, topics("t"), tmp_path, ALL, worker=worker) as tier:
        tier.start_worker(wait=False)
        tier.workers[0].wait_for_log("nothing is left to give up", 60)
        publish(kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S)
        tier.wait_decided()
        check_whole(tier, traces)
        assert tier.metric(0, "tailsampler_memory_level") == 2
        assert tier.metric(0, "tailsampler_resident_bytes") > 32 << 20
        assert "nothing left to give up" in not_ready(tier)


@pytest.mark.faults
def test_a_cut_from_the_brokers_is_no_stall(kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path) -> None:
    """However short the watchdog's patience: the worker waits, and goes on in the same process."""
    traces = plan_traces(2000, seed=5, spread_s=0.5)
    worker = {"watchdog": {"stall_timeout": "3s", "commit_timeout": "3s", "recovery_timeout": "5s"}}
    with TcpProxy(kafka.proxy_routes) as proxy, Tier(kafka, topics("t"), tmp_path, ALL, worker=worker) as tier:
        tier.start_worker(brokers=kafka.proxied_bootstrap)
        events = [(3.0, proxy.cut), (13.0, proxy.heal)]
        publish(kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S, during=events)
        tier.wait_decided()
        check_whole(tier, traces)
        assert "stalled" not in tier.workers[0].output()
        assert tier.workers[0].terminate() == 0
