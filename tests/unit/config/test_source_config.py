"""`agent.kafka_source` in a configuration file: what it may read, and what an agent may do without."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampler.cli.agent import agent_settings
from sampler.config.errors import ConfigError
from sampler.config.load import load_config
from sampler.config.models import Config

OFF = "grpc: {enabled: false}, http: {enabled: false}"


def load(tmp_path: Path, text: str) -> Config:
    """The configuration of a file with this text."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{topics: otlp_spans}", "round and round"),
        ("{topics: [raw, otlp_spans_sampled]}", "sampled again and again"),
        ("{topics: otlp_spans_dead_letter}", "its own dead letters go to"),
        ("{topics: raw, group_id: tailsampler}", "the group of the workers"),
        ("{topics: []}", "must not be empty"),
        ("{topics: raw, encoding: zipkin}", "kafka_source.encoding"),
    ],
)
def test_what_would_go_in_circles_is_refused(tmp_path: Path, source: str, message: str) -> None:
    """A source that reads what we write, or joins the workers, is an error at load that says why."""
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, f"agent: {{kafka_source: {source}}}")


def test_other_names_are_other_topics(tmp_path: Path) -> None:
    """What counts are the names in force: with another span topic, otlp_spans may be the source."""
    load(tmp_path, "kafka: {topics: {spans: keyed}}\nagent: {kafka_source: {topics: otlp_spans}}")


def test_an_agent_may_have_the_source_alone(tmp_path: Path) -> None:
    """Receivers may be off where there is a source; without one there would be nothing to receive."""
    config = load(tmp_path, f"agent: {{{OFF}, kafka_source: {{topics: raw}}}}")
    settings = agent_settings(config)
    assert settings.grpc_listen is settings.http_listen is None
    assert settings.source is not None
    assert settings.source.topics == ("raw",)
    assert not settings.source.leave_out
    with pytest.raises(ConfigError, match="nothing could be received"):
        load(tmp_path, f"agent: {{{OFF}}}")


def test_letters_hold_no_values_where_spans_are_redacted(tmp_path: Path) -> None:
    """With a transformation in force, dead letters leave the value out."""
    config = load(tmp_path, "agent: {kafka_source: {topics: raw}, transform: {max_attributes: 9}}")
    source = agent_settings(config).source
    assert source is not None
    assert source.leave_out
