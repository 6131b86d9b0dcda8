"""Summaries: merging, equality, and the packed form, alike in both kinds."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.otlp import native, new_summary, unpack_summary
from sampler.otlp.summary import PlainSummary

FULL: dict[str, Any] = {
    "start_unix_nano": 1,
    "end_unix_nano": 2**64 - 1,
    "span_count": 3,
    "size_bytes": 2**40,
    "has_error": True,
    "has_root": True,
    "bits": 1 << 255 | 1 << 64 | 5,
    "rv": 2**56 - 1,
    "has_threshold": True,
    "rv_root": True,
    "rv_span_id": 2**64 - 2,
}
KINDS: list[Any] = [new_summary, PlainSummary]

summaries = st.fixed_dictionaries(
    {
        "start_unix_nano": st.sampled_from((0, 5, 9, 2**64 - 1)),
        "end_unix_nano": st.sampled_from((0, 5, 9, 2**64 - 1)),
        "span_count": st.integers(1, 5),
        "size_bytes": st.integers(0, 1000),
        "has_error": st.booleans(),
        "has_root": st.booleans(),
        "bits": st.integers(0, 2**256 - 1),
        "has_threshold": st.booleans(),
    }
).flatmap(
    lambda fields: st.one_of(
        st.just(fields),
        st.fixed_dictionaries({"rv": st.integers(0, 3), "rv_root": st.booleans(), "rv_span_id": st.integers(0, 2)}).map(
            lambda rv: {**fields, **rv}
        ),
    )
)


@pytest.mark.parametrize("make", KINDS)
def test_fields_survive_packing_and_pickling(make: Any) -> None:
    """All fields at their limits come back; a copy is equal and apart."""
    summary = make(**FULL)
    assert {name: getattr(summary, name) for name in FULL} == FULL
    for again in (unpack_summary(summary.pack()), pickle.loads(pickle.dumps(summary)), summary.copy()):
        assert again == summary
        again.merge(make(span_count=1))
        assert again != summary
    assert len(summary.pack()) == 82
    assert "span_count=3" in repr(summary)
    assert summary != 5


@pytest.mark.parametrize("unpack", [unpack_summary, PlainSummary.unpack])
@pytest.mark.parametrize("data", [b"", b"\2" + bytes(81), bytes(82), b"\1" * 83])
def test_other_bytes_are_no_summary(unpack: Any, data: bytes) -> None:
    """A wrong length or version is a ValueError, not nonsense."""
    with pytest.raises(ValueError, match="no packed summary"):
        unpack(data)


@given(parts=st.lists(summaries, min_size=1, max_size=5), seed=st.integers(0, 99))
def test_merging_is_the_same_in_any_order_and_kind(parts: list[dict[str, Any]], seed: int) -> None:
    """Merges commute and associate, and both kinds give the same packed bytes, also mixed."""
    plain, made, mixed = PlainSummary(), new_summary(), new_summary()
    for part in parts:
        plain.merge(PlainSummary(**part))
        made.merge(new_summary(**part))
    random.Random(seed).shuffle(parts)
    for part in parts:
        mixed.merge(PlainSummary(**part))
    assert plain.pack() == made.pack() == mixed.pack()
    assert plain == made
    assert made == plain


@pytest.mark.skipif(not native.COMPILED, reason="the compiled scanner is not built here")
def test_bits_beyond_256_are_refused() -> None:
    """A summary has room for 256 conditions."""
    with pytest.raises(ValueError, match="256"):
        new_summary(bits=1 << 256)


@pytest.mark.parametrize("make", KINDS)
def test_unset_times_take_no_part(make: Any) -> None:
    """Zero is no time: it neither becomes the first start nor the last end."""
    summary = make(start_unix_nano=7, end_unix_nano=8)
    summary.merge(make())
    assert (summary.start_unix_nano, summary.end_unix_nano) == (7, 8)
    empty = make()
    empty.merge(make(start_unix_nano=7))
    assert (empty.start_unix_nano, empty.end_unix_nano) == (7, 0)


@pytest.mark.parametrize("make", KINDS)
def test_rank_of_the_explicit_randomness(make: Any) -> None:
    """The root's rv before any other, then the smallest span id's."""
    summary = make(rv=5, rv_span_id=3)
    summary.merge(make(rv=9, rv_span_id=2))
    assert summary.rv == 9
    summary.merge(make(rv=1, rv_span_id=7, rv_root=True))
    summary.merge(make(rv=2, rv_span_id=1))
    assert summary.rv == 1
