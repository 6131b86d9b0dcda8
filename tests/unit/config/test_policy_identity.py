"""Name, version and content hash of a policy file."""

from __future__ import annotations

import pytest

from sampler.config import parse_policies
from sampler.config.identity import PolicyIdentity

ONE = "policies: [{name: all, type: always_sample}]\n"


def identity(text: str, path: str = "/etc/tailsampler/shop.yaml") -> PolicyIdentity:
    return parse_policies(text, path).identity


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (ONE, "shop"),
        (f"tail_sampling: {{{ONE.strip()}}}", "shop"),
        (f"tail_sampling/eu: {{{ONE.strip()}}}", "eu"),
        (f"processors: {{tail_sampling/us: {{{ONE.strip()}}}}}", "us"),
    ],
)
def test_a_set_is_named_by_its_block_or_its_file(text: str, name: str) -> None:
    """The Collector's name behind the slash goes before the file's."""
    assert identity(text).name == name


@pytest.mark.parametrize(("written", "version"), [("", ""), ("version: 7", "7"), ("version: 2026-11-21", "2026-11-21")])
def test_the_version_is_what_its_author_wrote(written: str, version: str) -> None:
    """Numbers and dates need no quotes; it takes no part in the content hash."""
    found = identity(f"{written}\n{ONE}")
    assert found.version == version
    assert found.content_hash == identity(ONE).content_hash


@pytest.mark.parametrize(
    "setting",
    [
        "decision_wait: 31s",
        "decision_wait_after_root_received: 1s",
        "decision_cache: {ttl: 5m}",
        "retain_dropped: 5m",
        "maximum_trace_size_bytes: 1000",
        "maximum_spans_per_trace: 10",
        "incoming_probability: 0.5",
        "incoming_probability: {default: 1, services: {a: 0.5}}",
        "hash_salt: other",
        "randomness: trace_id",
        "sample_on_first_match: true",
    ],
)
def test_the_hash_covers_what_takes_effect(setting: str) -> None:
    """Two workers of one hash treat every trace alike."""
    assert identity(f"{setting}\n{ONE}").content_hash != identity(ONE).content_hash


@pytest.mark.parametrize(
    "setting", ["decision_wait: 30000ms", "num_traces: 7", "decision_cache: {sampled_cache_size: 5}", "# a comment"]
)
def test_the_hash_leaves_out_what_does_not(setting: str) -> None:
    """Defaults written out, other spellings, and settings taken for compatibility only."""
    assert identity(f"{setting}\n{ONE}").content_hash == identity(ONE).content_hash


def test_the_order_of_services_does_not_count() -> None:
    """A mapping has none."""
    first, second = (
        f"incoming_probability: {{services: {{{pair}}}}}\n{ONE}" for pair in ("a: 0.5, b: 0.1", "b: 0.1, a: 0.5")
    )
    assert identity(first) == identity(second)


def test_people_read_a_short_form() -> None:
    """Name, version and the first digits."""
    found = identity(f"version: v3\n{ONE}")
    assert str(found) == f"shop v3 ({found.content_hash[:12]})"
    assert str(identity(ONE)) == f"shop ({found.content_hash[:12]})"
