"""An operator's rescue: which traces it finds, what it answers, and that deciding goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.ottl import OttlError
from sampler.clock import monotonic_s
from sampler.engine.retention import Retention
from sampler.otlp import get_scanner
from sampler.stream.rescue import MOST_WAITING, STEP_S, RescueAnswer, RescueDesk, RescueRefusedError, RescueRequest
from sampler.stream.rescue_http import RescueAction, parsed
from sampler.stream.rescue_where import MAX_LENGTH, where_plan, with_full_names
from tests.unit.stream.pipeline_lab import Broker, Worker, spans_in


def record(trace: int, span: int, service: str, route: str = "/") -> bytes:
    data = TracesData()
    resource = data.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    out = resource.scope_spans.add().spans.add(trace_id=ident(trace), span_id=span.to_bytes(8, "big"), name="op")
    out.attributes.add(key="http.route").value.string_value = route
    return data.SerializeToString()


def ident(number: int) -> bytes:
    return number.to_bytes(16, "big")


SERVICES = ("cart", "checkout", "shop")


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A worker that has dropped 300 traces of two spans each, one about every 20 ms; n is of SERVICES[n % 3]."""
    log = []
    for number in range(1, 301):
        service = SERVICES[number % 3]
        log.append((1000 + number * 20, record(number, 1, service)))
        log.append((1000 + number * 20, record(number, 2, service, f"/{number}")))
    broker = Broker([(offset, at_ms, value) for offset, (at_ms, value) in enumerate(log)])
    retention = Retention(tmp_path / "retained", 1 << 30)
    it = Worker(broker, 1, retention=retention, retain_dropped_ms=60_000)
    it.finish()
    yield it
    retention.close()


def desk_of(worker: Worker, may_send: Callable[[], bool] = lambda: True) -> RescueDesk:
    return RescueDesk(worker.pipeline, get_scanner(), may_send)


def ask(where: str, since_ms: int = 1 << 62, *, dry_run: bool = False) -> RescueRequest:
    return RescueRequest(where, where_plan(where), since_ms, dry_run)


def answered(worker: Worker, desk: RescueDesk, request: RescueRequest, *, refused: bool = False) -> RescueAnswer:
    """The desk's answer, the brokers acknowledging or refusing what the worker sends."""

    async def work() -> RescueAnswer:
        future = desk.ask(request)

        async def broker() -> RescueAnswer:
            while not future.done():
                worker.acknowledge(len(worker.in_flight), refused=refused)
                await asyncio.sleep(0.001)
            return future.result()

        return await beside(desk.run(monotonic_s), broker())

    return asyncio.run(work())


async def beside(endless: Any, wanted: Awaitable[RescueAnswer]) -> RescueAnswer:
    task = asyncio.ensure_future(endless)
    try:
        return await wanted
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_what_matches_is_written_whole_and_remembered(worker: Worker) -> None:
    """Traces of the service, all their spans, once: the next rescue does not find them."""
    desk, wanted = desk_of(worker), {ident(number) for number in range(1, 301) if number % 3 == 1}
    found = answered(worker, desk, ask('service.name == "checkout"'))
    assert (found.looked_at, found.matched, found.written, found.lost, found.gone) == (300, 100, 100, 0, 0)
    assert {bytes.fromhex(each) for each in found.trace_ids} == wanted
    left = spans_in(worker.broker.sampled)
    assert set(left) == wanted
    assert all(sorted(spans.values()) == [1, 1] for spans in left.values())
    again = answered(worker, desk, ask('service.name == "checkout"'))
    assert (again.looked_at, again.matched) == (200, 0)


def test_a_dry_run_writes_nothing(worker: Worker) -> None:
    """It tells the same counts and ids."""
    found = answered(worker, desk_of(worker), ask('http.route == "/7"', dry_run=True))
    assert (found.matched, found.written, found.trace_ids) == (1, 0, [ident(7).hex()])
    assert worker.broker.sampled == []


def test_since_counts_from_the_decision(worker: Worker) -> None:
    """In stream time of the partition, whatever the wall clock says."""
    (engine,) = worker.pipeline.engines
    newest_decided_ms = 1000 + 300 * 20 + 1000
    since_ms = engine.time.now_ms - (newest_decided_ms - 1000)
    found = answered(worker, desk_of(worker), ask("true", since_ms, dry_run=True))
    assert 40 <= found.looked_at <= 80


def test_a_trace_that_was_extended_is_looked_at_once(worker: Worker) -> None:
    """Late spans that changed nothing are part of it."""
    at_ms = worker.last_ms + 6000
    worker.broker.log.append((len(worker.broker.log), at_ms, record(5, 3, "shop", "/late")))
    worker.finish()
    found = answered(worker, desk_of(worker), ask('http.route == "/late" or http.route == "/5"'))
    assert (found.looked_at, found.matched, found.written) == (300, 1, 1)
    assert len(spans_in(worker.broker.sampled)[ident(5)]) == 3


def test_what_the_brokers_refuse_is_told(worker: Worker) -> None:
    """It counts as lost, not as written; the partition is read again, and has forgotten the others."""
    found = answered(worker, desk_of(worker), ask('service.name == "cart"'), refused=True)
    assert found.matched == found.lost > 0
    assert found.written == 0


def test_a_partition_that_is_lost_meanwhile_is_told(worker: Worker) -> None:
    """The answer comes all the same."""
    turns = iter([True])

    def may_send() -> bool:
        if next(turns, None) is None:
            worker.pipeline.hold_all()
            worker.pipeline.drop_held_but(())
        return True

    desk = RescueDesk(worker.pipeline, Slow(), may_send)
    found = answered(worker, desk, ask('service.name == "none"'))
    assert found.gone == 1
    assert 0 < found.looked_at < 300


class Slow:
    """A scanner that takes a step's time for each payload."""

    name = "slow"
    annotate = split = None

    def scan(self, plan: Any, payload: bytes) -> Any:
        until_s = monotonic_s() + STEP_S
        while monotonic_s() < until_s:
            pass
        return get_scanner().scan(plan, payload)


def test_where_nothing_is_kept_a_request_is_refused(worker: Worker) -> None:
    """With what to do about it; so is one too many."""
    bare = Worker(worker.broker, 2)
    bare.fetch(10)
    desk = desk_of(bare)
    with pytest.raises(RescueRefusedError, match="retain_dropped"):
        answered(bare, desk, ask("true"))
    for _ in range(MOST_WAITING):
        desk.ask(ask("true"))
    with pytest.raises(RescueRefusedError, match="under way"):
        desk.ask(ask("true"))


def test_a_request_over_http_is_answered(worker: Worker) -> None:
    """From another thread, with the counts as JSON."""
    desk, answers = desk_of(worker), []
    body = json.dumps({"where": 'service.name == "cart"', "since": "1h", "dry_run": True}).encode()
    asking = threading.Thread(target=lambda: answers.append(RescueAction(desk)(body)))

    async def work() -> RescueAnswer:
        asking.start()

        async def wait() -> RescueAnswer:
            await asyncio.to_thread(asking.join, 10)
            return RescueAnswer()

        return await beside(desk.run(monotonic_s), wait())

    asyncio.run(work())
    ((code, answer),) = answers
    assert (code, answer["matched"], len(answer["trace_ids"])) == (200, 100, 100)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"where", "no JSON"),
        (b"[]", "expected"),
        (b'{"where": 5}', "expected"),
        (b'{"where": "true", "limit": 5}', "expected"),
        (b'{"where": "true", "dry_run": "no"}', "dry_run"),
        (b'{"where": "true", "since": "3 minutes"}', "since must be a duration"),
        (b'{"where": "nonsense =="}', "where: OTTL, line 1"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(worker: Worker, body: bytes, said: str) -> None:
    """With what is wrong with it."""
    code, answer = RescueAction(desk_of(worker))(body)
    assert code == 400
    assert said in answer["error"]


def test_without_since_all_is_looked_at() -> None:
    """The worker keeps no more than it is told to anyway."""
    assert parsed(b'{"where": "true"}').since_ms > 10**15


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ('service.name == "checkout"', 'resource.attributes["service.name"] == "checkout"'),
        ('k8s.pod.name != "a.b c.d"', 'resource.attributes["k8s.pod.name"] != "a.b c.d"'),
        ("http.response.status_code >= 500", 'span.attributes["http.response.status_code"] >= 500'),
        ('IsMatch(http.route, "/api.*")', 'IsMatch(span.attributes["http.route"], "/api.*")'),
        ('resource.attributes["a.b"] == "c"', 'resource.attributes["a.b"] == "c"'),
        ('span.name == "x" and status.code == 2', 'span.name == "x" and status.code == 2'),
        ('attributes["a"] == 1.5 or kind.string == "Server"', 'attributes["a"] == 1.5 or kind.string == "Server"'),
    ],
)
def test_attributes_may_stand_by_their_bare_names(given: str, meant: str) -> None:
    """What is a path of OTTL stays one; text in quotes stays as it is."""
    assert with_full_names(given) == meant
    where_plan(given)


def test_a_wrong_condition_is_told_with_its_place() -> None:
    """The operator's text is what is shown."""
    with pytest.raises(OttlError, match="line 1 column"):
        where_plan("service.name = 5")
    with pytest.raises(OttlError, match="characters"):
        where_plan('name == "' + "x" * MAX_LENGTH + '"')
