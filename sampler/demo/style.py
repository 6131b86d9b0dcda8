"""Colours and glyphs, where the terminal takes them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Style:
    """How to write to one stream. `live`: a line may be written over; `unicode`: more than ASCII can be written."""

    colour: bool = False
    live: bool = False
    unicode: bool = True

    @classmethod
    def of(cls, stream: TextIO) -> Style:
        """The style for a stream: plain unless it is a terminal; NO_COLOR and TERM=dumb are honoured."""
        terminal = stream.isatty()
        dumb = os.environ.get("TERM") == "dumb"
        colour = terminal and not dumb and not os.environ.get("NO_COLOR")
        encoding = (getattr(stream, "encoding", None) or "ascii").lower()
        return cls(colour, terminal and not dumb, encoding.startswith("utf"))

    def bold(self, text: str) -> str:
        """A heading."""
        return self._in("1", text)

    def dim(self, text: str) -> str:
        """What may be passed over."""
        return self._in("2", text)

    def good(self, text: str) -> str:
        """What went as it should."""
        return self._in("32", text)

    def bad(self, text: str) -> str:
        """What went wrong."""
        return self._in("31", text)

    def plain(self, text: str) -> str:
        """The text in characters that the stream can write."""
        if self.unicode:
            return text
        for glyph, ascii_form in (
            ("█", "#"),
            ("▏", "|"),
            ("✗", "x"),
            ("✓", "ok"),
            ("…", "..."),
            ("±", "+-"),
            ("µ", "u"),
        ):
            text = text.replace(glyph, ascii_form)
        return text.encode("ascii", "replace").decode("ascii")

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text
