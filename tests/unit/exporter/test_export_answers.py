"""What the answers of a backend mean."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from sampler.config.exporter import Retry
from sampler.exporter.answers import (
    LONGEST_WAIT_S,
    SAID_CHARACTERS,
    Fate,
    accepted,
    cleaned,
    grpc_answer,
    http_answer,
    http_retry_after_s,
)
from sampler.exporter.backoff import Backoff

NOW_MS = 1_700_000_000_000

GRPC = {
    "CANCELLED": Fate.LATER,
    "UNKNOWN": Fate.REFUSED,
    "INVALID_ARGUMENT": Fate.REFUSED,
    "DEADLINE_EXCEEDED": Fate.LATER,
    "NOT_FOUND": Fate.REFUSED,
    "ALREADY_EXISTS": Fate.REFUSED,
    "PERMISSION_DENIED": Fate.DENIED,
    "UNAUTHENTICATED": Fate.DENIED,
    "RESOURCE_EXHAUSTED": Fate.TOO_LARGE,
    "FAILED_PRECONDITION": Fate.REFUSED,
    "ABORTED": Fate.LATER,
    "OUT_OF_RANGE": Fate.LATER,
    "UNIMPLEMENTED": Fate.DENIED,
    "INTERNAL": Fate.REFUSED,
    "UNAVAILABLE": Fate.LATER,
    "DATA_LOSS": Fate.LATER,
}
HTTP = {
    400: Fate.REFUSED, 401: Fate.DENIED, 403: Fate.DENIED, 404: Fate.DENIED, 408: Fate.REFUSED, 413: Fate.TOO_LARGE,
    415: Fate.REFUSED, 429: Fate.LATER, 500: Fate.REFUSED, 501: Fate.REFUSED, 502: Fate.LATER, 503: Fate.LATER,
    504: Fate.LATER, 302: Fate.DENIED,
}  # fmt: skip


def details(*infos: RetryInfo | DebugInfo) -> tuple[tuple[str, bytes], ...]:
    """The trailers in which a server sends details."""
    status = Status(code=8, message="slow down")
    for info in infos:
        status.details.add().Pack(info)
    return (("grpc-status-details-bin", status.SerializeToString()),)


@pytest.mark.parametrize(("code", "fate"), GRPC.items())
def test_grpc_codes(code: str, fate: Fate) -> None:
    """The codes that OTLP names are tried again, those of credentials too, everything else is final."""
    assert grpc_answer(code, "", ()).fate is fate


@pytest.mark.parametrize(("code", "fate"), HTTP.items())
def test_http_codes(code: int, fate: Fate) -> None:
    """429, 502, 503 and 504 are tried again, 413 means smaller requests, redirections are not followed."""
    assert http_answer(code, "", None, NOW_MS).fate is fate


def test_codes_of_the_configuration_are_tried_again() -> None:
    """`also_on` turns final refusals into such that may pass."""
    assert grpc_answer("INTERNAL", "", (), {"INTERNAL"}).fate is Fate.LATER
    assert grpc_answer("RESOURCE_EXHAUSTED", "", (), {"RESOURCE_EXHAUSTED"}).fate is Fate.LATER
    assert http_answer(500, "", None, NOW_MS, {"500"}).fate is Fate.LATER


def test_resource_exhausted_with_retry_info_may_pass() -> None:
    """RetryInfo, wherever it stands among the details, says when, and that it is worth it."""
    retry = RetryInfo(retry_delay=Duration(seconds=3, nanos=500_000_000))
    answer = grpc_answer("RESOURCE_EXHAUSTED", "", details(DebugInfo(detail="x"), retry))
    assert (answer.fate, answer.retry_after_s) == (Fate.LATER, 3.5)
    assert grpc_answer("UNAVAILABLE", "", details(RetryInfo())).retry_after_s == 0.0
    assert grpc_answer("UNAVAILABLE", "", details()).retry_after_s is None
    # The form of the Python SDK's servers.
    alone = (("google.rpc.retryinfo-bin", retry.SerializeToString()),)
    assert grpc_answer("UNAVAILABLE", "", alone).retry_after_s == 3.5


@pytest.mark.parametrize("seconds", [-5, 2**62])
def test_waits_have_bounds(seconds: int) -> None:
    """A backend cannot ask for less than nothing, or for more than an hour."""
    retry = RetryInfo(retry_delay=Duration(seconds=seconds))
    wait_s = grpc_answer("UNAVAILABLE", "", details(retry)).retry_after_s
    assert wait_s is not None
    assert 0 <= wait_s <= LONGEST_WAIT_S


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x1a\x7f", b"\x1a\x03\x0a\x7f\x00"])
def test_details_that_cannot_be_read_are_none(garbage: bytes) -> None:
    """Damaged details are as if they were not there."""
    assert grpc_answer("UNAVAILABLE", "", (("grpc-status-details-bin", garbage),)).retry_after_s is None
    assert accepted(garbage).fate is Fate.ACCEPTED


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17.0),
        (" 0 ", 0.0),
        ("999999", LONGEST_WAIT_S),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """Retry-After is a number of seconds or a date; anything else says nothing."""
    assert http_retry_after_s(header, NOW_MS) == seconds
    assert http_answer(503, "", header, NOW_MS).retry_after_s == seconds


def test_partial_success() -> None:
    """An accepted request tells how many spans were thrown away, and why."""
    response = ExportTraceServiceResponse()
    assert accepted(b"").rejected_spans == 0
    response.partial_success.rejected_spans = 300
    response.partial_success.error_message = "too old"
    answer = accepted(response.SerializeToString())
    assert (answer.fate, answer.rejected_spans, answer.text) == (Fate.ACCEPTED, 300, "too old")
    response.partial_success.rejected_spans = -1
    assert accepted(response.SerializeToString()).rejected_spans == 0


def test_words_of_a_backend_are_one_short_line() -> None:
    """What a backend says cannot forge lines of the log or fill it."""
    assert cleaned("a\nb\x1b[31m  c") == "a b [31m c"
    assert len(cleaned("x" * 10_000)) == SAID_CHARACTERS


def test_waits_grow_up_to_the_limit() -> None:
    """Each wait is the one before times the multiplier, up to the limit, plus or minus the share by chance."""
    retry = Retry.model_validate(
        {"initial_interval": "1s", "max_interval": "5s", "multiplier": 2, "randomization_factor": 0.5}
    )
    middle = Backoff(retry, draw=lambda: 0.5)
    assert [middle.next_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    low, high = Backoff(retry, draw=lambda: 0.0), Backoff(retry, draw=lambda: 1.0)
    assert (low.next_s(), high.next_s()) == (0.5, 1.5)


def test_what_the_backend_asks_for_goes_before() -> None:
    """A backend waits for what it asked, never less, and is not asked at once where it asked for nothing."""
    retry = Retry.model_validate({"initial_interval": "1s", "randomization_factor": 0})
    backoff = Backoff(retry)
    assert backoff.next_s(20.0) == 20.0
    assert backoff.next_s(0.0) == 1.0
    spread = Backoff(Retry.model_validate({"initial_interval": "1s"}), draw=lambda: 1.0)
    assert 20.0 <= spread.next_s(20.0) <= 22.0
