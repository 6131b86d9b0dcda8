"""Reading bodies within a limit."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import pytest

from sampler.agent.body import BodyDamagedError, BodyTooLargeError, read_compressed, read_plain


async def chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    """A body as it comes from a socket."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_bodies_arrive_whole(size: int) -> None:
    """Whatever the chunks, plain, gzip of several members, deflate and empty bodies are read to their end."""
    data = bytes(range(256)) * 20
    members = gzip.compress(data) + gzip.compress(b"") + gzip.compress(b"tail")
    assert await read_plain(chunks(data, size), len(data)) == data
    assert await read_compressed(chunks(members, size), len(data) + 4) == data + b"tail"
    assert await read_compressed(chunks(zlib.compress(data), size), len(data), "deflate") == data
    assert await read_compressed(chunks(b"", size), 0) == b""


async def test_one_byte_beyond_the_limit_is_too_large() -> None:
    """The limit is exact, plain and inflated."""
    data = b"x" * 1001
    with pytest.raises(BodyTooLargeError):
        await read_plain(chunks(data, 10), 1000)
    with pytest.raises(BodyTooLargeError):
        await read_compressed(chunks(gzip.compress(data), 10), 1000)
    assert await read_compressed(chunks(gzip.compress(data), 10), 1001) == data


async def test_a_bomb_does_not_go_off() -> None:
    """A body that inflates to 200 MB is refused before more than the limit is held."""
    bomb = gzip.compress(b"\0" * 200_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            await read_compressed(chunks(bomb, 65536), 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("damage", [b"no gzip at all", gzip.compress(b"x" * 100)[:-1], gzip.compress(b"x") + b"rest"])
async def test_damage_is_said(damage: bytes) -> None:
    """What is no gzip, ends early, or has something behind its end is refused."""
    with pytest.raises(BodyDamagedError):
        await read_compressed(chunks(damage, 5), 1000)
