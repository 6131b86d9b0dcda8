"""`tailsampler estimate` over files and over the sampled topic of the embedded broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from sampler.cli.root import invoke
from sampler.embedded.broker import EmbeddedBroker
from sampler.estimate import Gathered, KeySpec

MS = 1_000_000


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def kept(number: int, service: str = "shop", rate: float | None = 10.0, **more: Any) -> bytes:
    """A kept trace: a root of 100 ms and a child in another service, marked as the sampler does."""
    trace_id = number.to_bytes(16, "big")
    marks = [] if rate is None else [KeyValue(key="sampling.rate", value=AnyValue(double_value=rate))]
    root = Span(
        trace_id=trace_id, span_id=b"r" * 8, name="GET /", start_time_unix_nano=MS, end_time_unix_nano=101 * MS,
        attributes=[text("http.route", "/"), *marks], **more,
    )  # fmt: skip
    child = Span(
        trace_id=trace_id, span_id=b"c" * 8, parent_span_id=b"r" * 8, name="query", start_time_unix_nano=2 * MS,
        end_time_unix_nano=12 * MS, attributes=marks,
    )  # fmt: skip
    sections = []
    for name, span in ((service, root), ("db", child)):
        section = ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])
        section.resource.attributes.append(text("service.name", name))
        sections.append(section)
    return TracesData(resource_spans=sections).SerializeToString()


def test_what_was_kept_beside_the_sample_counts_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A trace that a second look brought back has rate 0: those that were kept before stand for it."""
    path = tmp_path / "kept.pb"
    path.write_bytes(b"".join([*(kept(n, rate=2.0) for n in range(1, 5)), kept(9, rate=0.0)]))
    (found,) = run(capsys, str(path))
    assert (found["kept_traces"], found["traces"]["value"]) == (5, 8)  # type: ignore[index]


def test_a_rounded_rate_is_made_exact_by_the_threshold() -> None:
    """1.4 is written as 1 where whole numbers are wanted; `th` says 1.4. One that means something else stays."""
    for rate, state, exact in ((1, "ot=th:49", 1.4), (14, "ot=th:49", 14), (0, "", 0), (3, "", 3)):
        data = TracesData.FromString(kept(1, rate=None, trace_state=state))
        mark = KeyValue(key="sampling.rate", value=AnyValue(int_value=rate))
        data.resource_spans[0].scope_spans[0].spans[0].attributes.append(mark)
        gathered = Gathered(KeySpec())
        gathered.add(data.SerializeToString())
        ((counted,),) = gathered.by_key().values()
        assert counted.rate == pytest.approx(exact, rel=0.01)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert invoke(["estimate", "--output", "json", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """40 traces of the shop that stand for ten each, 5 of billing with an error that stand for themselves."""
    path = tmp_path / "kept.pb"
    failed = {"status": {"code": 2}}
    path.write_bytes(
        b"".join([*(kept(n) for n in range(1, 41)), *(kept(n, "billing", 1.0, **failed) for n in range(41, 46))])
    )
    return str(path)


def test_counts_by_key(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The service of the root tells traces apart; those kept for sure have no doubt about them."""
    shop, billing = run(capsys, "--by", "service.name", file)
    assert shop["key"] == {"service.name": "shop"}
    assert shop["kept_traces"] == 40
    assert shop["traces"] == pytest.approx({"value": 400, "low": 297.6, "high": 537.6}, rel=0.02)
    assert billing["traces"] == {"value": 5, "low": 5, "high": 5}
    assert billing["error_rate"] == {"value": 1, "low": 1, "high": 1}
    assert shop["duration_ms"]["p50"]["value"] == 100  # type: ignore[index]


def test_spans_by_name(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Counted in spans, every span stands for as many as it says."""
    found = {str(each["key"]): each for each in run(capsys, "--by", "name", "--count", "spans", file)}
    query = found["{'name': 'query'}"]
    assert query["spans"]["value"] == 405  # type: ignore[index]
    assert query["duration_ms"]["p99"]["value"] == 10  # type: ignore[index]


def test_a_histogram_of_durations(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bounds are cumulative, as Prometheus has them."""
    (all_traces,) = run(capsys, "--buckets", "50ms,100ms", file)
    assert [(each["le_ms"], each["value"]) for each in all_traces["buckets"]] == [(50, 0), (100, 405)]  # type: ignore[attr-defined]


def test_a_table_for_people(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The table names the key, the interval and what was read."""
    assert invoke(["estimate", "--by", "service.name", "--buckets", "1s", file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["service.name", "kept", "traces", "between"]
    assert any(line.split()[:3] == ["shop", "40", "400"] for line in lines)
    assert any("45 kept traces with 90 spans" in line for line in lines)


def test_a_threshold_serves_where_the_rate_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`ot=th:8` is a probability of one half; a span that says nothing counts once, with a warning."""
    path = tmp_path / "kept.pb"
    path.write_bytes(kept(1, rate=None, trace_state="ot=th:8") + kept(2, rate=None))
    assert invoke(["estimate", "--output", "json", str(path)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["traces"]["value"] == 3
    assert "3 spans say no adjusted count" in err


def test_the_sampled_topic_is_read_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Records that are no OTLP are told of, not fatal; nobody waits for more."""
    with EmbeddedBroker() as broker:
        broker.create_topic("otlp_spans_sampled", 3)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for number in range(1, 31):
            producer.produce("otlp_spans_sampled", kept(number), partition=number % 3)
        producer.produce("otlp_spans_sampled", b"\xff\xff", partition=0)
        assert producer.flush(20) == 0
        assert invoke(["estimate", "--output", "json", "--brokers", broker.bootstrap]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["traces"]["value"] == 300
        assert "1 records are no OTLP" in err
        assert invoke(["estimate", "--brokers", broker.bootstrap, "--topic", "none"]) == 1
        assert "topic none cannot be read" in capsys.readouterr().err


def test_spans_that_came_twice_count_once() -> None:
    """After a crash a trace may lie in the topic twice."""
    gathered = Gathered(KeySpec(("service.name",), "spans"))
    for _ in range(2):
        gathered.add(kept(1))
    assert {key: [each.spans for each in found] for key, found in gathered.by_key().items()} == {
        ("shop",): [1], ("db",): [1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["--since", "soon"], "--since"), (["--buckets", "2s,1s"], "must rise"), (["--confidence", "2"], "--confidence")],
)
def test_wrong_options_are_told(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong option is named, with exit code 2."""
    assert invoke(["estimate", *arguments]) == 2
    assert sentence in capsys.readouterr().err
