"""`policies.yaml`: the Collector's block, our additions, and mistakes at their line."""

from __future__ import annotations

import pytest

from sampler.config import ConfigError, parse_policies

ONE = "policies: [{name: all, type: always_sample}]"


def complaints(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_policies(text, "p.yaml", environment)
    return str(caught.value).splitlines()


def indent(text: str, by: int) -> str:
    return "".join(" " * by + line + "\n" for line in text.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        ONE,
        "tail_sampling:\n" + indent(ONE, 2),
        "tail_sampling/other:\n" + indent(ONE, 2),
        "processors:\n  batch: {}\n  tail_sampling:\n" + indent(ONE, 4),
        "receivers: {otlp: {}}\nprocessors:\n  tail_sampling/x:\n" + indent(ONE, 4) + "service: {}\n",
    ],
)
def test_the_block_is_found(text: str) -> None:
    """Bare, under its key, or inside a whole Collector configuration."""
    assert parse_policies(text).policy_set.names == ("all",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs a 'tail_sampling:' block"),
        ("processors: {batch: {}}", "has no 'tail_sampling:' block"),
        ("tail_sampling: {}\ntail_sampling/b: {}", "has several blocks"),
        ("tail_sampling:\n  policies: []", "p.yaml:2: tail_sampling.policies: must not be empty"),
        ("tail_sampling: {}", "p.yaml:1: tail_sampling.policies: is required"),
        ("tail_sampling: 5", "must be a mapping"),
        ("tail_sampling:\n  policies: []\nother: 1", "unknown key beside the tail_sampling block"),
    ],
)
def test_files_without_a_usable_block(text: str, said: str) -> None:
    """Each is told in one line."""
    (line,) = complaints(text)
    assert said in line


def test_a_full_collector_block_loads_with_notes() -> None:
    """Every option of the Collector is taken; those that work in another way here are named once."""
    file = parse_policies(
        "decision_wait: 10s\ndecision_wait_after_root_received: 2s\nnum_traces: 100\nexpected_new_traces_per_sec: 10\n"
        "decision_cache: {sampled_cache_size: 100000, non_sampled_cache_size: 100000}\nsample_on_first_match: true\n"
        "drop_pending_traces_on_shutdown: true\nblock_on_overflow: true\nmaximum_trace_size_bytes: 1000000\n"
        "maximum_spans_per_trace: 1000\nsampling_strategy: trace-complete\nnum_shards: 4\n" + ONE
    )
    block = file.tail_sampling
    assert (block.decision_wait.ms, block.decision_wait_after_root_received.ms) == (10_000, 2000)
    assert (block.maximum_trace_size_bytes, block.maximum_spans_per_trace) == (1_000_000, 1000)
    named = " ".join(file.notes)
    for key in ("num_traces", "expected_new_traces_per_sec", "sampled_cache_size", "non_sampled_cache_size",
                "drop_pending_traces_on_shutdown", "block_on_overflow", "num_shards"):  # fmt: skip
        assert key in named
    assert not parse_policies(ONE).notes


def test_all_mistakes_are_told_at_their_lines() -> None:
    """Those of the block and those of every policy, together."""
    text = (
        "tail_sampling:\n  decision_wait: 10\n  decison_wait_after_root_received: 1s\n  policies:\n"
        "    - {name: a, type: latncy}\n    - name: b\n      type: latency\n      latency:\n        treshold_ms: 5\n"
    )
    lines = complaints(text)
    assert lines[0] == "p.yaml:2: tail_sampling.decision_wait: a duration needs a unit: write 10s or 10ms"
    assert lines[1].startswith("p.yaml:3: tail_sampling.decison_wait_after_root_received: unknown key")
    assert lines[2].startswith("p.yaml:5: tail_sampling.policies[0].type: ")
    assert lines[2].endswith("(did you mean latency?)")
    assert lines[3].startswith("p.yaml:9: tail_sampling.policies[1].latency.treshold_ms: ")
    assert lines[3].endswith("(did you mean threshold_ms?)")
    assert len(lines) == 4


def test_mistakes_of_the_list_as_a_whole() -> None:
    """Two policies of one name are each valid alone; the pair is not."""
    (line,) = complaints("policies:\n  - {name: a, type: always_sample}\n  - {name: a, type: always_sample}\n")
    assert line == 'p.yaml:3: policies[1].name: duplicate policy name "a"'


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sampling_strategy: span-ingest", "span-ingest is not supported"),
        ("sampling_strategy: x", "must be trace-complete"),
        ("randomness: x", "must be one of 'auto', 'collector_hash', 'trace_id'"),
        ("incoming_probability: 0", "must be greater than 0"),
        ("incoming_probability: 1.5", "must be less than or equal to 1"),
        ("incoming_probability: {services: {a: 2}}", "must be less than or equal to 1"),
        ("maximum_spans_per_trace: x", "must be a whole number"),
    ],
)
def test_settings_that_are_refused(setting: str, said: str) -> None:
    """Each with what is expected."""
    (line,) = complaints(f"{setting}\n{ONE}\n")
    assert said in line
    assert line.startswith("p.yaml:1: ")


def test_incoming_probability_one_or_by_service() -> None:
    """A number is for all; a mapping has a default for services it does not name."""
    one = parse_policies("incoming_probability: 0.1\n" + ONE)
    assert (one.incoming_probability, one.incoming_probability_default) == (0.1, 0.1)
    some = parse_policies("incoming_probability: {default: 0.5, services: {shop: 0.01}}\n" + ONE)
    assert (some.incoming_probability, some.incoming_probability_default) == ({"shop": 0.01}, 0.5)


def test_variables_inside_policies() -> None:
    """An unquoted variable is a number where it is written like one."""
    text = (
        "policies:\n  - name: p\n    type: probabilistic\n"
        "    probabilistic:\n      sampling_percentage: ${env:PCT:-10}\n"
    )
    assert "25 %" in parse_policies(text, environment={"PCT": "25"}).policy_set.describe()


def test_settings_reach_the_policy_set() -> None:
    """Randomness, salt and first match are those of the block."""
    file = parse_policies("randomness: trace_id\nhash_salt: pepper\nsample_on_first_match: true\n" + ONE)
    assert file.policy_set.randomness.mode == "trace_id"
    assert file.policy_set.sample_on_first_match
    assert file.policy_set.content_hash != parse_policies(ONE).policy_set.content_hash
