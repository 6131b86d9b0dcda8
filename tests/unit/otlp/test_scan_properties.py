"""Both scanners against the reference interpreter, over random valid requests in random wire form."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.conditions import Field, FieldsMatch, FieldsMatcher, Part
from policies.testing import reference_summary
from sampler.otlp import ScanPlan, compile_plan, decode, get_scanner
from sampler.otlp.summary import Summary
from tests.unit.otlp.wire_conditions import meaning, random_conditions
from tests.unit.otlp.wire_samples import KEYS, SCANNERS, Generator, own_part, reencoded, valid

SEEDS = st.integers(0, 2**32)
PLANS: dict[int, tuple[list[object], ScanPlan]] = {}
FIELDS = (
    "start_unix_nano",
    "end_unix_nano",
    "span_count",
    "size_bytes",
    "has_error",
    "has_root",
    "bits",
    "rv",
    "has_threshold",
)


def plan_of(seed: int) -> tuple[list[object], ScanPlan]:
    """A few plans, made once."""
    if seed not in PLANS:
        conditions = random_conditions(seed)
        PLANS[seed] = (conditions, compile_plan(conditions))  # type: ignore[assignment]
    return PLANS[seed]


def shown(summary: object) -> dict[str, object]:
    """The fields that policies see."""
    return {name: getattr(summary, name) for name in FIELDS}


@settings(max_examples=250, deadline=None)
@given(seed=SEEDS, form=SEEDS, plan_seed=st.integers(0, 9))
def test_both_scanners_answer_as_the_reference(seed: int, form: int, plan_seed: int) -> None:
    """Chunks hold exactly the trace's spans and headers, summaries are the reference's, in order of appearance."""
    conditions, plan = plan_of(plan_seed)
    record = reencoded(Generator(seed).request().SerializeToString(), random.Random(form))
    message = TracesData.FromString(record)
    spans = [span for part in message.resource_spans for scope in part.scope_spans for span in scope.spans]
    expected_ids = list(dict.fromkeys(span.trace_id for span in spans if valid(span)))
    for name in SCANNERS:
        result = get_scanner(name).scan(plan, record)  # type: ignore[arg-type]
        assert [trace_id for trace_id, _, _ in result.traces] == expected_ids
        assert result.invalid_spans == sum(not valid(span) for span in spans)
        for trace_id, chunk, summary in result.traces:
            expected = own_part(message, trace_id)
            assert own_part(TracesData.FromString(chunk), trace_id) == expected
            reference = reference_summary(conditions, expected, size_bytes=len(chunk))  # type: ignore[arg-type]
            assert shown(summary) == shown(reference)


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, form=SEEDS)
def test_the_two_scanners_agree_to_the_byte(seed: int, form: int) -> None:
    """Where lengths take no more bytes than they need, results are equal in every field, sizes and chunks included."""
    _, plan = plan_of(0)
    record = reencoded(Generator(seed).request().SerializeToString(), random.Random(form), long_lengths=False)
    first, *others = [get_scanner(name).scan(plan, record) for name in SCANNERS]
    assert all(first == other for other in others)


@settings(max_examples=250, deadline=None)
@given(seed=SEEDS, form=SEEDS, remember=st.booleans())
def test_tests_in_python_get_the_same_values(seed: int, form: int, remember: bool) -> None:
    """Both scanners and the reference ask about the same spans and events, and read the same of them."""
    chance = random.Random(form)
    parts = [chance.choice(list(Part)) for _ in range(chance.randint(1, 4))]
    fields = tuple(Field(part, chance.choice(KEYS) if part.value.endswith("attribute") else "") for part in parts)
    generator = Generator(seed)
    generator.invalid_ids = False
    record = reencoded(generator.request().SerializeToString(), chance)
    seen: list[tuple[bytes | None, ...]] = []

    def test(values: tuple[bytes | None, ...]) -> bool:
        seen.append(tuple(meaning(one, value) for one, value in zip(fields, values, strict=True)))
        return False

    def asked() -> set[tuple[bytes | None, ...]]:
        found = set(seen)
        seen.clear()
        return found

    condition = FieldsMatch(fields, FieldsMatcher("notes", test, remember))
    reference_summary([condition], TracesData.FromString(record).resource_spans)
    expected = asked()
    for name in SCANNERS:
        get_scanner(name).scan(compile_plan([condition]), record)  # type: ignore[arg-type]
        assert asked() == expected


@settings(max_examples=100, deadline=None)
@given(seeds=st.lists(SEEDS, min_size=2, max_size=4), shared=SEEDS)
def test_record_boundaries_do_not_matter(seeds: list[int], shared: int) -> None:
    """Scanning records joined to one gives what merging the scans of the parts gives."""
    _, plan = plan_of(1)
    parts = []
    for seed in seeds:
        generator = Generator(seed)
        generator.trace_ids = Generator(shared).trace_ids
        parts.append(generator.request().SerializeToString())
    for name in SCANNERS:
        scanner = get_scanner(name)
        merged: dict[bytes, tuple[list[bytes], Summary]] = {}
        for part in parts:
            for trace_id, chunk, summary in scanner.scan(plan, part).traces:
                if trace_id in merged:
                    merged[trace_id][0].append(chunk)
                    merged[trace_id][1].merge(summary)
                else:
                    merged[trace_id] = ([chunk], summary)
        joined = scanner.scan(plan, b"".join(parts)).traces
        assert [entry[0] for entry in joined] == list(merged)
        for trace_id, chunk, summary in joined:
            chunks, total = merged[trace_id]
            whole = TracesData(resource_spans=decode(chunks))
            assert own_part(whole, trace_id) == own_part(TracesData.FromString(chunk), trace_id)
            assert {**shown(total), "size_bytes": 0} == {**shown(summary), "size_bytes": 0}


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, form=SEEDS, partitions=st.integers(1, 12))
def test_split_keeps_every_span_in_its_partition(seed: int, form: int, partitions: int) -> None:
    """Each part holds the chunks of the traces that hash to it, and both scanners pack alike."""
    record = reencoded(Generator(seed).request().SerializeToString(), random.Random(form))
    message = TracesData.FromString(record)
    _, plan = plan_of(0)
    results = []
    for name in SCANNERS:
        scanner = get_scanner(name)  # type: ignore[arg-type]
        split = scanner.split(record, partitions, "murmur2")
        scan = scanner.scan(plan, record)
        assert split.rejected == scan.invalid_spans
        assert split.spans == sum(summary.span_count for _, _, summary in scan.traces)
        found = {}
        for partition, part, spans in split.parts:
            traces = scanner.scan(plan, part).traces
            assert sum(summary.span_count for _, _, summary in traces) == spans
            for trace_id, chunk, _ in traces:
                assert own_part(TracesData.FromString(chunk), trace_id) == own_part(message, trace_id)
                found[trace_id] = partition
        assert set(found) == {trace_id for trace_id, _, _ in scan.traces}
        results.append([(partition, spans, sorted(found)) for partition, _, spans in split.parts])
    assert all(results[0] == result for result in results)
