"""The compiled hash is the hash of the kernel."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies import randomness
from sampler.otlp import fnv1a64


@given(st.binary(max_size=40), st.integers(0, 2**64 - 1))
def test_the_wire_layers_hash_agrees_with_the_kernels(data: bytes, state: int) -> None:
    """Whatever the data and the state before it."""
    assert fnv1a64(data, state) == randomness.fnv1a64(data, state)


@given(st.binary(min_size=16, max_size=16), st.text(max_size=10))
def test_randomness_is_the_same_with_either(trace_id: bytes, salt: str) -> None:
    """A worker with the compiled hash keeps the traces that one without it keeps."""
    plain, fast = randomness.Randomness("auto", salt), randomness.Randomness("auto", salt)
    fast.use(fnv1a64)
    assert plain.hashed(trace_id) == fast.hashed(trace_id)
