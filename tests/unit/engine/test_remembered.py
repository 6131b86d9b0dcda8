"""Verdicts by trace id on pages: both forms, held to one model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.randomness import RandomnessSource
from policies.verdict import Verdict
from sampler.engine import native
from sampler.engine.remembered import PlainRemembered, Remembered, make_remembered

KEPT = Verdict("sampled", 1 << 55, "base", RandomnessSource.HASH)
DROPPED = Verdict("dropped", ((0, 5), (9, 1 << 56)), "health", RandomnessSource.RV)
MANY = 30_000


def ident(number: int) -> bytes:
    return number.to_bytes(16, "big")


def verdict(number: int) -> Verdict:
    """A new object at each call."""
    return Verdict("sampled", number, "limited", RandomnessSource.HASH)


@pytest.fixture(params=["compiled", "plain"])
def make(request: pytest.FixtureRequest) -> Callable[[int], Remembered]:
    """Makes one of the two forms, given the traces on a page; the compiled one is skipped where it is not built."""
    if request.param == "plain":
        return PlainRemembered
    if native.remembered is None:
        pytest.skip("the compiled form is not built here")
    return make_remembered


class Model:
    """The same, as simple as can be: a dict a page."""

    def __init__(self, most: int) -> None:
        self.pages: dict[int, dict[bytes, Verdict]] = {0: {}}
        self.page = self.added = 0
        self._most = most

    def get(self, trace_id: bytes) -> Verdict | None:
        return next((page[trace_id] for _, page in sorted(self.pages.items(), reverse=True) if trace_id in page), None)

    def put(self, numbers: list[tuple[int, int]], older_stands: bool) -> None:
        for number, value in numbers:
            wanted = self.get(ident(number)) if older_stands else None
            if ident(number) not in self.pages[self.page]:
                if len(self.pages[self.page]) == self._most:
                    self.turn()
                self.pages[self.page][ident(number)] = verdict(value) if wanted is None else wanted
                self.added += 1

    def replace(self, number: int, value: int) -> None:
        if ident(number) in self.pages[self.page]:
            self.pages[self.page][ident(number)] = verdict(value)
        else:
            self.put([(number, value)], older_stands=False)

    def turn(self) -> None:
        if self.pages[self.page]:
            self.page += 1
            self.pages[self.page] = {}

    def forget_before(self, number: int) -> None:
        if number > self.page:
            self.turn()
        for old in [old for old in self.pages if old < min(number, self.page)]:
            del self.pages[old]


DECISIONS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=40)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), DECISIONS),
        st.tuples(st.just("restore"), DECISIONS),
        st.tuples(st.just("replace"), DECISIONS),
        st.tuples(st.just("turn"), st.none()),
        st.tuples(st.just("forget"), st.integers(-2, 3)),
    ),
    max_size=20,
)


@pytest.mark.parametrize("form", ["compiled", "plain"])
@settings(max_examples=300, deadline=None)
@given(st.sampled_from([1, 7, 1000]), STEPS)
def test_it_answers_as_dicts_do(form: str, most: int, steps: list[tuple[str, object]]) -> None:
    """Whatever is added, restored, turned and forgotten in whatever order, every answer is that of the model."""
    if form == "compiled" and native.remembered is None:
        pytest.skip("the compiled form is not built here")
    it: Remembered = make_remembered(most) if form == "compiled" else PlainRemembered(most)
    model = Model(most)
    for step, what in steps:
        if step == "turn":
            it.turn()
            model.turn()
        elif isinstance(what, int):
            it.forget_before(model.page + what)
            model.forget_before(model.page + what)
        elif isinstance(what, list) and step == "replace":
            for number, value in what:
                it.replace(ident(number), verdict(value))
                model.replace(number, value)
        elif isinstance(what, list):
            put = it.add if step == "add" else it.restore
            put([ident(number) for number, _ in what], [verdict(value) for _, value in what])
            model.put(what, step == "restore")
        assert (it.page, it.added) == (model.page, model.added)
        assert len(it) == sum(map(len, model.pages.values()))
        assert [it.get(ident(number)) for number in range(61)] == [model.get(ident(number)) for number in range(61)]


def test_a_page_grows_without_losing_anything(make: Callable[[int], Remembered]) -> None:
    """Every trace of many is found with its verdict, and none that is not there."""
    it = make(2 * MANY)
    for start in range(0, MANY, 1000):
        numbers = range(start, start + 1000)
        it.add(map(ident, numbers), [KEPT if number % 3 else DROPPED for number in numbers])
    assert all(it.get(ident(number)) == (KEPT if number % 3 else DROPPED) for number in range(MANY))
    assert not any(it.get(ident(number)) for number in range(MANY, 3 * MANY))
    assert (len(it), it.page) == (MANY, 0)


def test_more_verdicts_than_a_page_numbers_are_all_kept(make: Callable[[int], Remembered]) -> None:
    """A policy may give every trace a verdict of its own; equal ones are one, however many objects they come as."""
    it = make(200_000)
    for start in range(0, 70_000, 1000):
        numbers = range(start, start + 1000)
        it.add(map(ident, numbers), map(verdict, numbers))
    assert all(it.get(ident(number)) == verdict(number) for number in range(0, 70_000, 7))


def test_what_is_malformed_is_refused(make: Callable[[int], Remembered]) -> None:
    """A trace id of another length and lists of different lengths are errors, and leave nothing behind."""
    it = make(10)
    with pytest.raises(ValueError, match="16 bytes, not 8"):
        it.get(bytes(8))
    with pytest.raises(ValueError, match="1 trace ids and 2 verdicts"):
        it.add([ident(1)], [KEPT, KEPT])
    assert len(it) == 0


@pytest.mark.skipif(native.remembered is None, reason="the compiled form is not built here")
@pytest.mark.parametrize("count", [20_000, 31_000, 47_000])
def test_the_compiled_form_takes_less_than_sixteen_bytes(count: int) -> None:
    """Whatever point of its growth a page is at; and what is forgotten is given back."""
    it = make_remembered()
    for start in range(0, count, 100):
        it.add(map(ident, range(start, start + 100)), [KEPT] * 100)
        if len(it) > 10_000:
            assert it.size_bytes <= 16 * len(it)
    it.forget_before(it.page + 1)
    assert it.size_bytes < 2000
