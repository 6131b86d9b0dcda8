"""Dropped traces that come back, against a plain model, and under a limit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.second_look_lab import ERRORS, KEEP_MS, WAIT_MS, lab, span

RECORDS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 900), st.sampled_from([False, False, True]), st.integers(0, 3)),
    max_size=40,
)


class Model:
    """What becomes of spans, as simple as can be. Kept are traces with errors; late spans wait for a batch to end."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.open: dict[int, tuple[int, list[tuple[int, bool]]]] = {}
        self.decided: dict[int, int] = {}
        self.kept: set[int] = set()
        self.dropped: dict[int, list[tuple[int, bool]]] = {}
        self.left: dict[int, Counter[int]] = {}
        self.late: list[tuple[int, int, bool]] = []

    def take(self, at_ms: int, trace: int, number: int, error: bool) -> None:
        self.pass_to(at_ms)
        if trace in self.decided:
            if trace in self.kept:
                self.left[trace][number] += 1
            else:
                self.late.append((trace, number, error))
        else:
            due = -(-(self.now_ms + WAIT_MS) // 250) * 250
            self.open.setdefault(trace, (due, []))[1].append((number, error))

    def look(self) -> None:
        late, self.late = self.late, []
        for trace, number, error in late:
            if trace in self.kept:
                self.left[trace][number] += 1
            elif self.now_ms - self.decided[trace] <= KEEP_MS:
                self.dropped[trace].append((number, error))
                self.judge(trace, self.dropped[trace])

    def pass_to(self, at_ms: int) -> None:
        self.now_ms = max(self.now_ms, at_ms)
        for trace, (due, spans) in list(self.open.items()):
            if due <= self.now_ms:
                del self.open[trace]
                self.decided[trace] = due
                self.dropped[trace] = spans
                self.judge(trace, spans)

    def judge(self, trace: int, spans: list[tuple[int, bool]]) -> None:
        if any(error for _, error in spans):
            self.kept.add(trace)
            self.left[trace] = Counter(number for number, _ in spans)


@settings(max_examples=120, deadline=None)
@given(RECORDS, st.integers(0, 1), st.integers(1, 4))
def test_what_leaves_is_what_the_model_says(
    records: list[tuple[int, int, bool, int]], form: int, together: int
) -> None:
    """In any order and in batches of any size, late or in time, within the time of retention and after it."""
    with TemporaryDirectory() as folder:
        it, model, now = lab(Path(folder), ERRORS, scanner=("compiled", "upb")[form]), Model(), 1000
        batch: list[tuple[int, bytes]] = []
        for number, (trace, passed, error, _) in enumerate(records, 1):
            now += passed * 3 if number % 7 == 3 else passed
            model.take(now, trace, number, error)
            batch.append((now, span(trace, number, error=error)))
            if len(batch) == together:
                it.append(*batch)
                model.look()
                batch = []
        it.append(*batch)
        model.look()
        it.advance(now + 5000)
        model.pass_to(now + 5000)
        assert it.spans == model.left
        it.retention.close()


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_under_a_limit_a_trace_comes_back_whole_or_not_at_all(records: list[tuple[int, int, bool, int]]) -> None:
    """However little room there is, and whatever the limit has removed of it."""
    with TemporaryDirectory() as folder:
        it, now = lab(Path(folder), ERRORS, limit_bytes=24_000), 1000
        came: dict[int, list[int]] = {}
        for number, (trace, passed, error, size) in enumerate(records, 1):
            now += passed
            came.setdefault(trace, []).append(number)
            it.append((now, span(trace, number, error=error, pad=size * 800)))
            assert it.retention.size_bytes <= 24_000
        it.advance(now + 5000)
        for trace, left in it.spans.items():
            assert left == Counter(came[trace])
        it.retention.close()
