"""Reading an HTTP body within a limit, compressed or not."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

# Content-Encoding to zlib's window argument; `deflate` is the zlib format in HTTP, the Collector also says `zlib`.
WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS, "zlib": zlib.MAX_WBITS}


class BodyTooLargeError(Exception):
    """The body, after decompression, is longer than the limit."""


class BodyDamagedError(Exception):
    """The body is not what its Content-Encoding says."""


async def read_plain(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """The whole body; BodyTooLargeError as soon as it is longer than `limit` bytes."""
    taken: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise BodyTooLargeError
        taken.append(chunk)
    return b"".join(taken)


async def read_compressed(chunks: AsyncIterator[bytes], limit: int, encoding: str = "gzip") -> bytes:
    """The whole body, inflated (one member or several); never holds more than `limit` bytes and one chunk."""
    taken: list[bytes] = []
    size = 0
    inflater = zlib.decompressobj(WINDOWS[encoding])
    begun = False
    try:
        async for chunk in chunks:
            rest = chunk
            while rest:
                if inflater.eof:
                    inflater = zlib.decompressobj(WINDOWS[encoding])
                inflated = inflater.decompress(rest, limit - size + 1)
                size += len(inflated)
                if size > limit:
                    raise BodyTooLargeError
                begun = True
                taken.append(inflated)
                rest = inflater.unused_data or inflater.unconsumed_tail
    except zlib.error as error:
        raise BodyDamagedError(f"the body is not {encoding}, as Content-Encoding says: {error}") from error
    if begun and not inflater.eof:
        raise BodyDamagedError(f"the {encoding} body ends before its end; it was cut off on the way")
    return b"".join(taken)
