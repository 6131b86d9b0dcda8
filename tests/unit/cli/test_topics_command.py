"""`tailsampler topics`, and the topics of the processes, on a broker that cannot describe any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sampler.cli.root import invoke
from sampler.embedded.broker import EmbeddedBroker

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    """An embedded broker, as inside `tailsampler run`."""
    with EmbeddedBroker({"otlp_spans": 1}) as running:
        yield running.bootstrap


@pytest.mark.parametrize(
    ("argv", "advice"),
    [
        (["topics", "check"], "nothing can be checked"),
        (["topics", "create"], "none can be made"),
        (["agent", "--web-endpoint", "localhost:0"], "start with --no-create-topics"),
    ],
)
def test_the_embedded_broker_needs_no_topics(argv: list[str], advice: str, brokers: str, capsys: Capture) -> None:
    """Each command says what can be done there, names only options that it has, and does not doubt the address."""
    assert invoke([*argv, "--brokers", brokers]) == 1
    said = capsys.readouterr().err
    assert "cannot describe topics (that of `tailsampler run` is such" in said
    assert f": {advice} (brokers: {brokers})" in said
    assert "are they up" not in said
