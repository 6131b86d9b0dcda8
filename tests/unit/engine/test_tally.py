"""What the traces of a tick add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.randomness import RandomnessSource
from policies.rset import NEVER, SPACE
from policies.verdict import Verdict
from sampler.engine.entry import PlainTraceEntry, TraceEntry
from sampler.engine.native import compiled
from sampler.engine.settlement import EngineCounts
from sampler.engine.tally import SPAN_BOUNDS, count_decisions, plain_tally_of, tally_of
from sampler.otlp import new_summary


def entry(spans: int, size_bytes: int, root: bool) -> TraceEntry:
    """An undecided trace of which this is known."""
    summary = new_summary(span_count=spans, size_bytes=size_bytes, has_root=root)
    return TraceEntry(bytes(16), summary, 0, 0)


traces = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(0, 2**40), st.booleans(), st.integers(0, 5)), max_size=30
)


@given(traces)
def test_both_forms_add_up_alike(script: list[tuple[int, int, bool, int]]) -> None:
    """The compiled form and the plain one."""
    entries, numbers = [entry(*each[:3]) for each in script], [each[3] for each in script]
    assert tally_of(entries, numbers) == plain_tally_of(entries, numbers, SPAN_BOUNDS)


def test_groups_include_their_upper_bound() -> None:
    """As buckets of a histogram do; the last group is open."""
    tally = tally_of([entry(n, 0, True) for n in (1, 2, 3, 5, 10_000, 10_001)], [0] * 6)
    assert tally.by_spans == [1, 1, 2, *[0] * 9, 1, 1]


@pytest.mark.skipif(compiled is None, reason="the compiled gatherer is not built here")
def test_wrong_input_is_refused() -> None:
    """Numbers that are missing, and things that are no traces; other summaries are left to the plain form."""
    with pytest.raises(ValueError, match="2 traces, 1 numbers"):
        compiled.tally_of([entry(1, 1, True)] * 2, [0], SPAN_BOUNDS)
    with pytest.raises(TypeError):
        compiled.tally_of(["trace"], [0], SPAN_BOUNDS)
    other = TraceEntry(bytes(16), PlainTraceEntry, 0, 0)
    assert compiled.tally_of([other], [0], SPAN_BOUNDS) is None


def test_decisions_are_counted_by_what_decided() -> None:
    """Traces, spans and bytes by decision and policy; kept ones by their rate, which tells what they stand for."""
    kept = Verdict("sampled", SPACE - SPACE // 4, "quarter", RandomnessSource.HASH)
    gone = Verdict("not_sampled", NEVER, None, RandomnessSource.HASH)
    beside = Verdict("sampled", NEVER, "rescue", RandomnessSource.HASH, tenant="gold")
    counts = EngineCounts()
    entries = [entry(3, 300, True), entry(2, 200, False), entry(5, 500, True), entry(1, 100, True)]
    for _ in range(2):
        count_decisions(counts, [kept, gone, beside], entries, [0, 1, 0, 2])
    assert counts.traces_decided == {"sampled": 6, "not_sampled": 2}
    assert counts.spans_decided == {"sampled": 18, "not_sampled": 4}
    assert counts.bytes_decided == {"sampled": 1800, "not_sampled": 400}
    assert counts.policy_spans == {("quarter", "sampled"): 16, ("gold/rescue", "sampled"): 2}
    assert counts.policy_bytes == {("quarter", "sampled"): 1600, ("gold/rescue", "sampled"): 200}
    assert counts.policy_weight == {"quarter": 16.0, "gold/rescue": 0.0}
    assert counts.sampling_rates == {4.0: 4, 0.0: 2}
    assert (counts.rootless_traces, counts.span_sum, sum(counts.by_spans)) == (2, 22, 8)
    assert counts.tenant_traces == {("gold", "sampled"): 2}
