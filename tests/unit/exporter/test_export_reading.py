"""How records are read: batches, routes and topics, partitions that change hands, records that are gone."""

from __future__ import annotations

from typing import Any

import pytest

from sampler.clock import monotonic_s
from sampler.exporter import reader
from tests.harness.otlp_backend import OtlpBackend, Reaction
from tests.unit.exporter.exporter_lab import Names, OpenExporter, backend_block, span_ids, trace


async def test_requests_keep_to_their_limits(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any
) -> None:
    """A request has at most so many bytes and spans, but for a single record that has more."""
    values = [trace(number, spans=4, padding=500) for number in range(80)]
    large = trace(1000, spans=30, padding=500)
    write([*values, large])
    limits = {"batch_size": 20_000, "batch_spans": 18}
    async with open_exporter(backend_block(backend, sending=limits)) as running:
        await eventually(lambda: running.committed() == len(values) + 1)
    sizes = [(len(each.span_ids()), each.size_bytes) for each in backend.received]
    assert (30, len(large)) in sizes
    assert all(spans <= 16 and size <= 20_000 for spans, size in sizes if spans != 30)
    assert max(spans for spans, _ in sizes if spans != 30) == 16
    assert backend.spans == span_ids([*values, large])


async def test_a_route_sends_a_part_and_commits_all(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any
) -> None:
    """One backend gets the errors, another the rest; what a route leaves out is committed like what is sent."""
    rest = OtlpBackend()
    await rest.start()
    errors = [trace(number, policy="errors") for number in range(0, 40, 2)]
    others = [trace(number, policy="baseline") for number in range(1, 40, 2)]
    write([value for pair in zip(errors, others, strict=True) for value in pair])
    write([others[0]])
    try:
        blocks = (
            backend_block(backend, "errors", route={"policies": ["errors"]}),
            backend_block(rest, "rest", route={"exclude": {"policies": ["errors"]}}),
        )
        async with open_exporter(*blocks) as running:
            await eventually(lambda: running.committed("errors") == running.committed("rest") == 41)
            assert running.metric("skipped_records_total", "errors") == 21
    finally:
        await rest.stop()
    assert backend.spans == span_ids(errors)
    assert rest.spans == span_ids([*others, others[0]])


async def test_topics_by_pattern(
    open_exporter: OpenExporter, backend: OtlpBackend, names: Names, write: Any, eventually: Any
) -> None:
    """A backend can name its topics itself, also by a pattern."""
    write([trace(1)], topic=f"{names.group}.a")
    write([trace(2)], topic=f"{names.group}.b")
    write([trace(3)])
    async with open_exporter(backend_block(backend, topics=[f"^{names.group}\\..*"])) as running:
        await eventually(lambda: running.committed(topic=f"{names.group}.b") == 1)
        await eventually(lambda: sum(backend.spans.values()) == 6)
    assert backend.spans == span_ids([trace(1), trace(2)])


async def test_partitions_change_hands(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any
) -> None:
    """A second exporter takes its share while records come; nothing is lost, and all is committed."""
    first, second, third = ([trace(100 * part + n) for n in range(100)] for part in range(3))
    async with open_exporter(backend_block(backend), session_timeout="1s") as one:
        write(first)
        await eventually(lambda: one.committed() == 100)
        async with open_exporter(backend_block(backend), session_timeout="1s") as two:
            write(second)
            await eventually(lambda: two.metric("partitions_assigned") == 2)
            await eventually(lambda: one.metric("partitions_assigned") == 2)
            write(third)
            await eventually(lambda: one.committed() == 300)
            assert two.metric("sent_records_total") > 0
    assert backend.spans.keys() == span_ids([*first, *second, *third]).keys()


async def test_partitions_lost_with_requests_under_way(
    open_exporter: OpenExporter, backend: OtlpBackend, broker: Any, write: Any, eventually: Any
) -> None:
    """When the group gave the partitions away meanwhile, nothing is lost, whatever is accepted late."""
    backend.script.append(Reaction(stall=True))
    values = [trace(number) for number in range(20)]
    write(values, partition=0)
    async with open_exporter(backend_block(backend), session_timeout="1s") as running:
        await eventually(lambda: running.metric("requests_in_flight") == 1)
        rebalances = running.metric("rebalances_total")
        broker.broker_down()
        await eventually(lambda: running.metric("rebalances_total") > rebalances)
        backend.release()
        await eventually(lambda: running.metric("sent_records_total") == len(values))
        await eventually(lambda: running.metric("in_flight_bytes") == 0)
        broker.broker_up()
        await eventually(lambda: running.committed() == len(values))
    assert backend.spans.keys() == span_ids(values).keys()


async def test_records_that_are_gone_are_counted(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any
) -> None:
    """Records that retention removed before they were read are known by their number."""
    write([trace(0)], partition=0)
    async with open_exporter(backend_block(backend), session_timeout="1s") as running:
        await eventually(lambda: running.committed() == 1)
    # The embedded broker keeps 5 MiB of a partition.
    values = [trace(number, spans=1, padding=300_000) for number in range(1, 31)]
    for value in values:
        write([value], partition=0)
    async with open_exporter(backend_block(backend)) as running:
        await eventually(lambda: running.committed() == 31)
        expired = int(running.metric("expired_records_total"))
        assert expired > 0
        assert running.metric("read_records_total") == 30 - expired
    assert backend.spans.keys() == span_ids([trace(0), *values[expired:]]).keys()


async def test_kafka_that_goes_away(
    open_exporter: OpenExporter, backend: OtlpBackend, broker: Any, write: Any, eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Without brokers the process is not ready and says so; it goes on by itself when they are back."""
    monkeypatch.setattr(reader, "PROBE_S", 0.2)
    write([trace(1)])
    async with open_exporter(backend_block(backend)) as running:
        await eventually(lambda: running.committed() == 1)
        await eventually(lambda: running.health.ready(monotonic_s()).ok)
        broker.broker_down()
        try:
            await eventually(lambda: "no broker" in running.health.ready(monotonic_s()).text("", False))
            assert running.health.live(monotonic_s()).ok
        finally:
            broker.broker_up()
        await eventually(lambda: running.health.ready(monotonic_s()).ok)
        write([trace(2)])
        await eventually(lambda: running.committed() == 2)
    assert backend.spans == span_ids([trace(1), trace(2)])


async def test_a_group_can_begin_at_the_end(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any
) -> None:
    """With `initial_offset: latest` a new group begins behind what lies there, and commits that it did."""
    write([trace(number) for number in range(8)])
    async with open_exporter(backend_block(backend, initial_offset="latest")) as running:
        await eventually(lambda: running.committed() == 8)
        assert running.metric("read_records_total") == 0
        write([trace(100)])
        await eventually(lambda: running.committed() == 9)
    assert backend.spans == span_ids([trace(100)])


async def test_a_topic_that_is_missing(
    open_exporter: OpenExporter, backend: OtlpBackend, broker: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic that does not exist makes the process not ready, by its name."""
    monkeypatch.setattr(reader, "PROBE_S", 0.1)
    async with open_exporter(backend_block(backend, topics=["nowhere"])) as running:
        await eventually(lambda: "topic nowhere does not exist" in running.health.ready(monotonic_s()).text("", False))
