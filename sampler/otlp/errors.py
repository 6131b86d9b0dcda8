"""What can be wrong with wire bytes, in the words both scanners use."""

from __future__ import annotations

CODES = {
    1: "a field tag is cut off or longer than 5 bytes",
    2: "field number 0",
    3: "wire type 6 or 7",
    4: "a varint is cut off or longer than 10 bytes",
    5: "a length is cut off or no 31-bit number",
    6: "a length reaches beyond the end of its message",
    7: "a fixed-size number is cut off",
    8: "a group is never closed",
    9: "an end of group without its start",
    10: "groups nested deeper than 100 levels",
}
"""Fault codes of the compiled readers and of `walk`; the numbers stand in `_compiled/wire.pxd` too."""


GROWN_BASE_BYTES = 64 << 20
GROWN_FACTOR = 8
"""The chunks of one input may take GROWN_BASE_BYTES and GROWN_FACTOR times its size together: each trace's chunk
repeats the resource and scope headers that the traces share, so a small hostile input could stand for terabytes."""


class ScanError(ValueError):
    """The input is no valid OTLP message, or one that would grow beyond all bounds when it is cut by trace.

    `offset` is the byte in the input where reading stopped, 0 where all of it was read.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(offset, reason)
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        """One sentence for logs and headers."""
        return f"not valid OTLP protobuf: {self.reason}, at byte {self.offset}"


def max_grown_bytes(input_size: int) -> int:
    """The most that the chunks of an input of so many bytes may take together, in bytes."""
    return GROWN_BASE_BYTES + GROWN_FACTOR * input_size


def growth_error(grown_size: int, input_size: int) -> ScanError:
    """The error for an input whose chunks would take `grown_size` bytes together, more than they may."""
    return ScanError(
        0,
        f"its traces share headers so large that cutting it by trace would take {grown_size} bytes "
        f"(most is {max_grown_bytes(input_size)}; send fewer traces in one request)",
    )


class PlanError(ValueError):
    """The conditions cannot be compiled into a scan plan; the text says which and why."""
