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


class ScanError(ValueError):
    """The input is no valid OTLP message; `offset` is the byte in the input where reading stopped."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(offset, reason)
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        """One sentence for logs and headers."""
        return f"not valid OTLP protobuf: {self.reason}, at byte {self.offset}"


class PlanError(ValueError):
    """The conditions cannot be compiled into a scan plan; the text says which and why."""
