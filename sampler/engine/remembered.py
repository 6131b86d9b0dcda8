"""Verdicts by trace id, on pages that are forgotten as a whole: forgetting costs nothing per trace.

There are two forms: in Python, and compiled. They answer the same, but for what a hash may confuse.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

from policies.verdict import Verdict
from sampler.engine import native

MOST = 2_000_000
"""Traces on a page; the next one goes to a new page."""


class Remembered(Protocol):
    """Verdicts of traces, each on the page that was the newest when it was put there.

    The compiled form knows a trace by a 64-bit hash of its id, with a seed of the process: of the look-ups of traces
    that are not there, n / 2**64 get an answer all the same, n being the number of traces that are. At 20 million that
    is one in 922,000 million. Ids that share their upper or their lower half are never confused with each other.
    It takes 12.3 to 15.4 bytes a trace on pages of more than some thousands.
    """

    @property
    def page(self) -> int:
        """The number of the newest page; they count from 0."""

    @property
    def added(self) -> int:
        """How many entries were ever made."""

    @property
    def size_bytes(self) -> int:
        """Memory of the tables, without the verdicts themselves; 0 where it is not known."""

    def __len__(self) -> int:
        """Entries on all pages; a trace that was put on several counts on each."""

    def get(self, trace_id: bytes) -> Verdict | None:
        """The verdict on a trace, or None if it is on no page. ValueError where the id has not 16 bytes."""

    def add(self, trace_ids: Iterable[bytes], verdicts: Iterable[Verdict]) -> None:
        """Put traces on the newest page, those that are there already excepted; a full page is followed by another.

        ValueError where there are not as many verdicts as traces. Up to 65,536 different verdicts go on a page.
        """

    def restore(self, trace_ids: Iterable[bytes], verdicts: Iterable[Verdict]) -> None:
        """Like `add`, but each with the verdict that an older page has on it, where one has."""

    def replace(self, trace_id: bytes, verdict: Verdict) -> None:
        """Put a trace on the newest page with this verdict, whatever it has there or on an older one."""

    def turn(self) -> None:
        """Begin a new page, unless the newest is empty."""

    def forget_before(self, number: int) -> None:
        """Forget the pages with lower numbers, also the newest one."""


def make_remembered(most: int = MOST) -> Remembered:
    """The compiled form where it could be built, else the plain one; `most` traces go on a page."""
    if native.remembered is not None:
        return cast(Remembered, native.remembered.Remembered(most))
    return PlainRemembered(most)


class PlainRemembered:
    """The form in Python; see `Remembered`. It takes some 200 bytes a trace."""

    size_bytes = 0

    def __init__(self, most: int = MOST) -> None:
        self.page = 0
        self.added = 0
        self._most = max(1, most)
        self._pages: list[dict[bytes, Verdict]] = [{}]

    def __len__(self) -> int:
        return sum(map(len, self._pages))

    def get(self, trace_id: bytes) -> Verdict | None:
        """See `Remembered.get`."""
        if len(trace_id) != 16:
            raise ValueError(f"a trace id has 16 bytes, not {len(trace_id)}")
        for page in reversed(self._pages):
            verdict = page.get(trace_id)
            if verdict is not None:
                return verdict
        return None

    def add(self, trace_ids: Iterable[bytes], verdicts: Iterable[Verdict]) -> None:
        """See `Remembered.add`."""
        self._put(list(trace_ids), list(verdicts), older_stands=False)

    def restore(self, trace_ids: Iterable[bytes], verdicts: Iterable[Verdict]) -> None:
        """See `Remembered.restore`."""
        self._put(list(trace_ids), list(verdicts), older_stands=True)

    def replace(self, trace_id: bytes, verdict: Verdict) -> None:
        """See `Remembered.replace`."""
        if trace_id in self._pages[-1]:
            self._pages[-1][trace_id] = verdict
        else:
            self._put([trace_id], [verdict], older_stands=False)

    def turn(self) -> None:
        """See `Remembered.turn`."""
        if self._pages[-1]:
            self._pages.append({})
            self.page += 1

    def forget_before(self, number: int) -> None:
        """See `Remembered.forget_before`."""
        if number > self.page:
            self.turn()
            number = self.page
        del self._pages[: max(0, len(self._pages) - 1 - (self.page - number))]

    def _put(self, trace_ids: list[bytes], verdicts: list[Verdict], *, older_stands: bool) -> None:
        if len(trace_ids) != len(verdicts):
            raise ValueError(f"{len(trace_ids)} trace ids and {len(verdicts)} verdicts")
        for trace_id, verdict in zip(trace_ids, verdicts, strict=True):
            before = self.get(trace_id) if older_stands else None
            if trace_id not in self._pages[-1]:
                if len(self._pages[-1]) == self._most:
                    self.turn()
                self._pages[-1][trace_id] = verdict if before is None else before
                self.added += 1
