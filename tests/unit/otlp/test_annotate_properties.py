"""Annotation changes what it says and nothing else, over random traces; both scanners write the same bytes."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData

from policies.randomness import RandomnessSource
from policies.rset import SPACE
from sampler.otlp import Annotation, compile_plan, decode, get_scanner
from tests.unit.otlp.wire_samples import Generator, reencoded

SETS = (((0, SPACE),), ((SPACE // 2, SPACE),), ((3, 77), (SPACE // 3, SPACE)), ((SPACE - 1, SPACE),))
NAMES = ("sampling.rate", "tier", "k" * 300)


def chunks_of(seed: int, form: int) -> list[bytes]:
    """The chunks of one trace, with copies of some."""
    chance = random.Random(form)
    chunks: dict[bytes, list[bytes]] = {}
    plan = compile_plan([])
    for offset in range(3):
        generator = Generator(seed + offset)
        generator.trace_ids = Generator(seed).trace_ids
        record = reencoded(generator.request().SerializeToString(), chance)
        for trace_id, chunk, _ in get_scanner().scan(plan, record).traces:
            chunks.setdefault(trace_id, []).append(chunk)
    found = max(chunks.values(), key=len, default=[])
    return found + chance.choices(found, k=2) if found else []


def bare(span: Span, names: tuple[str, str]) -> Span:
    """The span without tracestate and without attributes of our names."""
    out = Span()
    out.CopyFrom(span)
    out.trace_state = ""
    for index in range(len(out.attributes) - 1, -1, -1):
        if out.attributes[index].key in names:
            del out.attributes[index]
    return out


def placed(parts: list[ResourceSpans], names: tuple[str, str]) -> list[tuple[bytes, bytes, bytes]]:
    """(resource header, scope header, bare span) of every span."""
    found = []
    for part in parts:
        header = ResourceSpans()
        header.CopyFrom(part)
        del header.scope_spans[:]
        for scope in part.scope_spans:
            scope_header = type(scope)()
            scope_header.CopyFrom(scope)
            del scope_header.spans[:]
            for span in scope.spans:
                found.append(
                    tuple(m.SerializeToString(deterministic=True) for m in (header, scope_header, bare(span, names)))
                )
    return found  # type: ignore[return-value]


@settings(max_examples=250, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    form=st.integers(0, 2**32),
    keep=st.sampled_from(SETS),
    source=st.sampled_from(list(RandomnessSource)),
    names=st.tuples(st.sampled_from(NAMES), st.sampled_from(("a", "sampling.policy"))),
    limit=st.sampled_from((10**7, 5000, 900, 200)),
)
def test_spans_leave_as_they_came_but_for_our_fields(
    seed: int,
    form: int,
    keep: tuple[tuple[int, int], ...],
    source: RandomnessSource,
    names: tuple[str, str],
    limit: int,
) -> None:
    """Every distinct span leaves once with our attributes last; all else, unknown fields included, is as it came."""
    chunks = chunks_of(seed, form)
    annotation = Annotation(keep, source, 12345, "p", names[0], names[1], incoming_probability={"x": 0.5})
    result = get_scanner().annotate(chunks, annotation, limit)
    assert result == get_scanner("upb").annotate(chunks, annotation, limit)
    assert all(len(payload) <= limit for payload in result.payloads)
    came = placed([part for chunk in chunks for part in decode([chunk])], names)
    left = placed([part for payload in result.payloads for part in decode([payload])], names)
    apart = placed([part for payload in result.oversize for part in decode([payload])], names)
    assert len(left) == result.spans
    assert len(left) + len(apart) + result.copies_removed == len(came)
    if not apart:
        # A copy may differ from another span in what `bare` hides, so order is compared without repetitions.
        assert list(dict.fromkeys(left)) == list(dict.fromkeys(came))
    assert set(left) | set(apart) == set(came)
    for payload in result.payloads:
        for part in TracesData.FromString(payload).resource_spans:
            for scope in part.scope_spans:
                for span in scope.spans:
                    assert [entry.key for entry in span.attributes][-2:] == list(names)
                    assert sum(entry.key in names for entry in span.attributes) == 2
