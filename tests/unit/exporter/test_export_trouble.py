"""A backend that refuses, stalls, rejects, restarts: nothing is lost over any of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.clock import monotonic_s
from sampler.exporter import dead_letters, reader, state
from tests.harness.otlp_backend import ACCEPT, INVALID, TOO_LARGE, UNAVAILABLE, OtlpBackend, Reaction
from tests.harness.reading import Record
from tests.unit.exporter.exporter_lab import Names, OpenExporter, backend_block, span_ids, trace

Letters = Callable[[], list[Record]]

VALUES = [trace(number) for number in range(60)]
PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http"])


def headers_of(letter: Record) -> dict[str, str]:
    """A dead letter's headers."""
    return {key: (value or b"").decode() for key, value in letter.headers}


@PROTOCOLS
async def test_refusals_that_may_pass_are_tried_again(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, letters: Letters, protocol: str
) -> None:
    """Requests that are answered UNAVAILABLE or 503 come again until they are taken, and arrive once."""
    backend.script.extend([UNAVAILABLE] * 7)
    write(VALUES)
    async with open_exporter(backend_block(backend, protocol=protocol)) as running:
        await eventually(lambda: running.committed() == len(VALUES))
        code = "UNAVAILABLE" if protocol == "grpc" else "503"
        assert running.metric("failed_requests_total", code=code) == 7
        assert running.metric("retried_requests_total") == 7
        assert running.metric("backend_failing") == 0
    assert backend.spans == span_ids(VALUES)
    assert letters() == []


@PROTOCOLS
async def test_a_backend_is_left_alone_as_long_as_it_asks(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, protocol: str
) -> None:
    """After RetryInfo or Retry-After nothing is sent before the time is over, of no batch."""
    wait_s = 0.4 if protocol == "grpc" else 1.0  # Retry-After knows whole seconds
    backend.script.append(Reaction("RESOURCE_EXHAUSTED", 429, "slow down", retry_after=wait_s))
    write(VALUES[:1])
    async with open_exporter(backend_block(backend, protocol=protocol)) as running:
        await eventually(lambda: len(backend.received) == 1)
        write(VALUES[1:])
        await eventually(lambda: len(backend.received) >= 2)
        assert backend.received[1].at_s - backend.received[0].at_s >= wait_s
        await eventually(lambda: running.committed() == len(VALUES))
    assert backend.spans == span_ids(VALUES)


async def test_an_offender_is_isolated(
    open_exporter: OpenExporter, backend: OtlpBackend, names: Names, write: Any, eventually: Any, letters: Letters
) -> None:
    """Of a batch that is refused for one record all others arrive; that one goes, whole, to the dead-letter topic."""
    poison = trace(1000)
    poisoned = next(iter(span_ids([poison])))

    def judge(request: ExportTraceServiceRequest, _size: int) -> Reaction:
        return INVALID if poisoned in request.SerializeToString() else ACCEPT

    backend.judge = judge
    write([*VALUES[:20], poison, *VALUES[20:]])
    async with open_exporter(backend_block(backend)) as running:
        await eventually(lambda: running.committed() == len(VALUES) + 1)
        assert running.metric("dead_letters_total", reason="refused") == 1
        assert running.metric("sent_records_total") == len(VALUES)
    assert backend.spans == span_ids(VALUES)
    (letter,) = letters()
    assert letter.value == poison
    assert headers_of(letter) == {
        "tailsampler.topic": names.sampled,
        "tailsampler.partition": str(20 % 4),
        "tailsampler.offset": "5",
        "tailsampler.reason": "refused",
        "tailsampler.error": "INVALID_ARGUMENT: I do not like it",
        "tailsampler.backend": "one",
    }


async def test_too_large_requests_are_made_smaller(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, letters: Letters
) -> None:
    """Requests refused for their size are cut, down to single spans, and later ones are smaller from the start."""
    large, hopeless = trace(2000, spans=8, padding=20_000), trace(2001, spans=1, padding=70_000)
    backend.judge = lambda _request, size: TOO_LARGE if size > 50_000 else ACCEPT
    values = [trace(number, padding=5_000) for number in range(20)]
    write([*values, large, hopeless])
    async with open_exporter(backend_block(backend)) as running:
        await eventually(lambda: running.committed() == len(values) + 2)
        assert running.metric("dead_letters_total", reason="too_large") == 1
        assert running.metric("batch_limit_bytes") <= 64 * 1024
        seen = len(backend.received)
        write(values)
        await eventually(lambda: running.committed() == 2 * len(values) + 2)
        assert max(each.size_bytes for each in backend.received[seen:]) <= 64 * 1024
    assert backend.spans == span_ids([*values, *values, large])
    assert [letter.value for letter in letters()] == [hopeless]


@PROTOCOLS
async def test_rejected_spans_are_counted_and_not_sent_again(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, letters: Letters,
    caplog: pytest.LogCaptureFixture, protocol: str,
) -> None:  # fmt: skip
    """Partial success is success: what was rejected is counted, said once, and neither sent again nor kept."""
    backend.judge = lambda _request, _size: Reaction(text="span too old", rejected_spans=2)
    write(VALUES)
    async with open_exporter(backend_block(backend, protocol=protocol)) as running:
        await eventually(lambda: running.committed() == len(VALUES))
        requests = len(backend.received)
        assert running.metric("rejected_spans_total") == 2 * requests
        assert running.metric("sent_spans_total") == 3 * len(VALUES) - 2 * requests
    assert backend.spans == span_ids(VALUES)
    assert letters() == []
    assert len([line for line in caplog.messages if "span too old" in line]) == 1


@PROTOCOLS
async def test_a_backend_that_stalls(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, protocol: str
) -> None:
    """A request without an answer within the timeout is sent again; what was stored twice then is all there is."""
    backend.script.extend([Reaction(stall=True)] * 3)
    write(VALUES)
    async with open_exporter(backend_block(backend, protocol=protocol, timeout="200ms")) as running:
        await eventually(lambda: running.committed() == len(VALUES))
        code = "DEADLINE_EXCEEDED" if protocol == "grpc" else "timeout"
        assert running.metric("failed_requests_total", code=code) >= 1
    assert backend.spans.keys() == span_ids(VALUES).keys()


@PROTOCOLS
async def test_a_backend_that_is_away(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, protocol: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """While nobody listens the process is not ready and commits nothing; when the backend is back all of it arrives."""
    monkeypatch.setattr(state, "UNREADY_AFTER_S", 0.2)
    await backend.stop()
    write(VALUES)
    async with open_exporter(backend_block(backend, protocol=protocol)) as running:
        await eventually(lambda: "backend one" in str(running.health.ready(monotonic_s())))
        await eventually(lambda: running.metric("backend_failing") == 1)
        await eventually(lambda: not running.health.ready(monotonic_s()).ok)
        status = {part.name: part for part in running.health.ready(monotonic_s()).parts}
        await eventually(lambda: "takes nothing" in running.health.ready(monotonic_s()).text("", False))
        assert running.committed() == 0
        await eventually(lambda: running.metric("lag_seconds") > 0)
        assert status["exporter"].ok
        await backend.start()
        await eventually(lambda: running.committed() == len(VALUES))
        await eventually(lambda: running.health.ready(monotonic_s()).ok)
    assert backend.spans == span_ids(VALUES)


async def test_wrong_credentials_lose_nothing(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, letters: Letters,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """A backend that does not let us in makes the process not ready at once, and no dead letters; later all arrives."""
    backend.judge = lambda _request, _size: Reaction("UNAUTHENTICATED", 401, "who are you?")
    write(VALUES)
    block = backend_block(backend, headers={"Authorization": "Bearer geheim"})
    async with open_exporter(block) as running:
        await eventually(lambda: "who are you?" in running.health.ready(monotonic_s()).text("", False))
        backend.judge = lambda _request, _size: ACCEPT
        await eventually(lambda: running.committed() == len(VALUES))
    assert backend.spans == span_ids(VALUES)
    assert letters() == []
    assert "geheim" not in caplog.text


async def test_max_elapsed_gives_up(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, letters: Letters
) -> None:
    """With `max_elapsed` what is not taken within that time goes to the dead-letter topic, and the rest goes on."""
    backend.judge = lambda _request, _size: UNAVAILABLE
    write(VALUES[:10])
    async with open_exporter(backend_block(backend, retry={"max_elapsed": "300ms"})) as running:
        await eventually(lambda: running.committed() == 10)
        assert running.metric("dead_letters_total", reason="max_elapsed") == 10
        backend.judge = lambda _request, _size: ACCEPT
        write(VALUES[10:])
        await eventually(lambda: running.committed() == len(VALUES))
    assert backend.spans == span_ids(VALUES[10:])
    assert sorted(letter.value or b"" for letter in letters()) == sorted(VALUES[:10])


async def test_a_record_that_is_not_otlp(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, letters: Letters
) -> None:
    """A record that would swallow its neighbours goes to the dead-letter topic; they arrive."""
    broken = VALUES[0][:-3]
    write([*VALUES[:30], broken, *VALUES[30:]])
    async with open_exporter(backend_block(backend)) as running:
        await eventually(lambda: running.committed() == len(VALUES) + 1)
        assert running.metric("dead_letters_total", reason="not_otlp") == 1
    assert backend.spans == span_ids(VALUES)
    (letter,) = letters()
    assert letter.value == broken
    assert "not valid OTLP protobuf" in headers_of(letter)["tailsampler.error"]


async def test_a_dead_letter_is_not_done_before_kafka_has_it(
    open_exporter: OpenExporter, backend: OtlpBackend, broker: Any, write: Any, eventually: Any, letters: Letters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """While Kafka takes no dead letters their offsets stay; they are written when it does."""
    policy_violation = 44
    monkeypatch.setattr(dead_letters, "AGAIN_S", 0.05)
    backend.judge = lambda _request, _size: INVALID
    async with open_exporter(backend_block(backend)) as running:
        write(VALUES[:3])
        broker.push_request_errors(0, [policy_violation] * 2)
        await eventually(
            lambda: running.registry.get_sample_value("tailsampler_exporter_dead_letter_failures_total") == 2
        )
        await eventually(lambda: running.committed() == 3)
    assert sorted(letter.value or b"" for letter in letters()) == sorted(VALUES[:3])


async def test_a_slow_backend_holds_back_no_other(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One backend stands still: it stops reading at its bound, and the other gets everything meanwhile."""
    monkeypatch.setattr(reader, "PAUSE_AFTER_S", 0.1)
    slow = OtlpBackend(judge=lambda _request, _size: Reaction(stall=True))
    await slow.start()
    values = [trace(number, padding=3000) for number in range(90)]
    try:
        write(values)
        blocks = (
            backend_block(slow, "slow", sending={"max_in_flight": 65536, "batch_size": 16384, "parallel": 2}),
            backend_block(backend, "quick"),
        )
        async with open_exporter(*blocks, stop_timeout="100ms") as running:
            await eventually(lambda: running.committed("quick") == len(values))
            await eventually(lambda: running.metric("reading_paused", "slow") == 1)
            held = running.metric("in_flight_bytes", "slow")
            assert held < sum(map(len, values)) / 2
            assert running.committed("slow") == 0
            slow.judge = lambda _request, _size: ACCEPT
            slow.release()
            await eventually(lambda: running.committed("slow") == len(values))
            await eventually(lambda: running.metric("in_flight_bytes", "slow") == 0)
    finally:
        await slow.stop()
    assert backend.spans == slow.spans == span_ids(values)


async def test_offsets_wait_for_the_oldest(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any
) -> None:
    """Requests overtake one that hangs; its offset and those behind it are not committed, the next start sends it."""
    backend.script.append(Reaction(stall=True))
    write(VALUES[:1], partition=0)
    async with open_exporter(backend_block(backend), stop_timeout="100ms", session_timeout="1s") as running:
        await eventually(lambda: running.metric("requests_in_flight") == 1)
        write(VALUES[1:], partition=0)
        await eventually(lambda: running.metric("sent_records_total") == len(VALUES) - 1)
        assert running.committed() == 0
    async with open_exporter(backend_block(backend)) as running:
        await eventually(lambda: running.committed() == len(VALUES))
    assert backend.spans.keys() == span_ids(VALUES).keys()


async def test_stopping_does_not_wait_for_a_backend_that_is_away(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any
) -> None:
    """A stop ends the waits between tries; what was not taken stays in the topic."""
    backend.judge = lambda _request, _size: UNAVAILABLE
    write(VALUES)
    block = backend_block(backend, retry={"initial_interval": "200s", "max_interval": "300s"})
    async with open_exporter(block, stop_timeout="60s", session_timeout="1s") as running:
        await eventually(lambda: running.metric("backend_failing") == 1)
        async with asyncio.timeout(20):
            await running.exporter.stop()
    backend.judge = lambda _request, _size: ACCEPT
    async with open_exporter(backend_block(backend)) as running:
        await eventually(lambda: running.committed() == len(VALUES))
    assert backend.spans.keys() == span_ids(VALUES).keys()
