"""Where R comes from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.randomness import MODES, Randomness, RandomnessMode, RandomnessSource, fnv1a64, randomness_of

TRACE_ID = bytes.fromhex("0102030405060708090a0b0c0d0e0f10")
ID_BITS = 0x0A0B0C0D0E0F10


@pytest.mark.parametrize(
    ("mode", "rv", "has_threshold", "source"),
    [
        ("auto", 5, False, RandomnessSource.RV),
        ("auto", 0, True, RandomnessSource.RV),
        ("auto", -1, True, RandomnessSource.TRACE_ID),
        ("auto", -1, False, RandomnessSource.HASH),
        ("collector_hash", 5, True, RandomnessSource.FORCED_HASH),
        ("trace_id", 5, False, RandomnessSource.FORCED_TRACE_ID),
    ],
)
def test_source_by_mode(mode: RandomnessMode, rv: int, has_threshold: bool, source: RandomnessSource) -> None:
    """`auto` prefers rv, then id bits where a span carries th, then the hash; the other modes force one source."""
    value, found = randomness_of(TRACE_ID, rv, has_threshold, mode)
    assert found is source
    assert Randomness(mode).source(rv, has_threshold) is source
    hashed = (1 << 56) - 1 - (15838989281584434349 >> 8)
    by_source = {RandomnessSource.RV: rv, RandomnessSource.HASH: hashed, RandomnessSource.FORCED_HASH: hashed}
    assert value == by_source.get(source, ID_BITS)


@given(st.binary(max_size=20), st.text(max_size=12))
def test_hash_is_fnv_of_salt_and_id(trace_id: bytes, salt: str) -> None:
    """The unrolled hash of ids equals the plain FNV-1a-64, for ids of any length; R keeps low hashes high."""
    plain = fnv1a64((salt or "default-hash-seed").encode() + trace_id)
    assert Randomness("collector_hash", salt).hashed(trace_id) == (1 << 56) - 1 - (plain >> 8)


def test_unknown_mode_is_refused() -> None:
    """A mode that does not exist is an error that lists those that do."""
    with pytest.raises(ValueError, match=", ".join(MODES)):
        Randomness("dice")  # type: ignore[arg-type]
