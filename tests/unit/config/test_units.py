"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest

from sampler.config.units import Duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30s", 30_000),
        ("500ms", 500),
        ("1m30s", 90_000),
        ("1.5h", 5_400_000),
        ("0", 0),
        ("0s", 0),
        ("1000us", 1),
        (0, 0),
    ],
)
def test_durations_in_gos_form(text: object, ms: int) -> None:
    """Every unit of Go, combined and with fractions; a bare 0."""
    assert parse_duration(text).ms == ms


@pytest.mark.parametrize("value", [30, 1.5, "30", "", "s", "-1s", "1d", "1s 2s", "1us", True, None, "1sm"])
def test_what_is_no_duration(value: object) -> None:
    """Numbers without a unit, negative, finer than a millisecond, or not a duration at all."""
    with pytest.raises(ValueError, match=r"duration"):
        parse_duration(value)


def test_a_plain_number_gets_a_hint() -> None:
    """The error says what to write."""
    with pytest.raises(ValueError, match="write 30s or 30ms"):
        parse_duration(30)


@pytest.mark.parametrize("ms", [0, 1, 999, 1000, 61_001, 86_400_000])
def test_durations_read_back(ms: int) -> None:
    """`str` writes what the parser reads."""
    assert parse_duration(str(Duration(ms))) == Duration(ms)


@pytest.mark.parametrize(("value", "size"), [(5, 5), ("5", 5), ("256KiB", 262_144), ("1.5 MiB", 1_572_864), ("1B", 1)])
def test_sizes(value: object, size: int) -> None:
    """Bytes, or a binary suffix."""
    assert parse_size(value) == size


@pytest.mark.parametrize("value", [-1, "1MB", "1.5", True, None, "x", "-1KiB"])
def test_what_is_no_size(value: object) -> None:
    """Decimal suffixes are refused, since half the world means binary ones by them."""
    with pytest.raises(ValueError, match=r"size|bytes"):
        parse_size(value)
