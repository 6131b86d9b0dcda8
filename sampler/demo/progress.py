"""The live line of the demo: one that is written over on a terminal, a line every other second elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

from sampler.demo.style import Style
from sampler.tables import count

LIVE_EVERY_S = 0.25
PLAIN_EVERY_S = 2.0
WINDOW_S = 2.0
"""Rates are those of the last so many seconds."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where things stand at one moment."""

    at_s: float
    sent_spans: int
    total_spans: int
    waiting_traces: int
    decided_traces: int
    kept_traces: int
    kept_spans: int


class Progress:
    """Shows snapshots on a stream."""

    def __init__(self, stream: TextIO, style: Style) -> None:
        self._stream = stream
        self._style = style
        self._recent: list[Snapshot] = []
        self._started_s: float | None = None
        self._next_s = 0.0

    def show(self, now: Snapshot, *, last: bool = False) -> None:
        """Show where things stand, if it is time to; `last` shows it in any case and ends the line."""
        if self._started_s is None:
            self._started_s = now.at_s
        self._recent = [each for each in self._recent if now.at_s - each.at_s <= WINDOW_S] + [now]
        if not last and now.at_s < self._next_s:
            return
        self._next_s = now.at_s + (LIVE_EVERY_S if self._style.live else PLAIN_EVERY_S)
        text = line(self._recent[0], now, now.at_s - self._started_s)
        if self._style.live:
            self._stream.write(f"\r\x1b[K{text}" + ("\n" if last else ""))
        else:
            self._stream.write(text + "\n")
        self._stream.flush()


def line(before: Snapshot, now: Snapshot, elapsed_s: float) -> str:
    """One line of at most 100 columns; rates are those since `before`."""
    over_s = now.at_s - before.at_s
    sent_rate = (now.sent_spans - before.sent_spans) / over_s if over_s else 0.0
    kept_rate = (now.kept_spans - before.kept_spans) / over_s if over_s else 0.0
    percent = 100 * now.sent_spans // now.total_spans if now.total_spans else 100
    return (
        f"  {elapsed_s:4.0f} s  spans in {count(now.sent_spans):>8} {percent:>3} % {count(sent_rate):>7}/s"
        f"   kept {count(now.kept_spans):>7} {count(kept_rate):>6}/s"
        f"   traces waiting {count(now.waiting_traces):>6}"
    )
