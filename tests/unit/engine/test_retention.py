"""The store of dropped traces: what is put is found until its time or its room is over, and never something else."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler.engine.retention import BUCKETS, MOST_BUCKETS, REST_PUTS, Retention

KEEP_MS = 800

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 1), st.integers(0, 9), st.integers(1, 3000)),
        st.tuples(st.just("pass"), st.integers(0, 1), st.integers(0, 400), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, 1), st.just(0), st.just(0)),
        st.tuples(st.just("flush"), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([1 << 30, 40_000]))
def test_what_is_wanted_is_found_with_its_newest_value(steps: list[tuple[str, int, int, int]], limit: int) -> None:
    """Without pressure all that is young enough is there; under a limit, newer things rather than older ones."""
    with TemporaryDirectory() as folder:
        it = Retention(Path(folder) / "r", limit, keep_ms=KEEP_MS)
        owners, now, model = [it.new_owner(), it.new_owner()], [0, 0], {}
        for number, (step, who, amount, size) in enumerate(steps):
            if step == "put":
                key, value = b"k%d" % amount, number.to_bytes(4, "big") * size
                assert it.put(owners[who], key, value, now[who], items=1) == (len(key + value) + 4 <= limit // BUCKETS)
                if len(key + value) + 4 <= limit // BUCKETS:
                    model[owners[who], key] = (now[who], value)
            elif step == "pass":
                now[who] += amount
                it.expire(owners[who], now[who] - KEEP_MS)
            elif step == "forget":
                it.forget(owners[who])
                owners[who] = it.new_owner()
            else:
                it.flush()
            assert it.size_bytes <= limit
        for who, owner in enumerate(owners):
            wanted = {
                key: value for (of, key), (at, value) in model.items() if of == owner and at >= now[who] - KEEP_MS
            }
            found = {key: kept for key in wanted if (kept := it.get(owner, key)) is not None}
            scanned: dict[bytes, bytes] = {}
            for key, each in it.scan(owner, b"k"):
                scanned.setdefault(key, each)
            assert all(scanned[key] == found[key] == wanted[key] for key in found)
            if not it.forgotten:
                assert found == wanted
            newest = max(model.values(), key=lambda each: each[1][:4], default=None)
            assert newest is None or newest not in [model[owner, key] for key in wanted if key not in found]
        it.close()
        assert not (Path(folder) / "r").exists()


def test_of_an_owner_that_is_forgotten_nothing_stays_on_disk(tmp_path: Path) -> None:
    """A bucket goes when nobody wants anything of it, whoever has put it there first."""
    it = Retention(tmp_path / "r", 1 << 30, keep_ms=KEEP_MS)
    one, other = it.new_owner(), it.new_owner()
    it.put(one, b"a", b"x" * 1000, 0)
    it.put(other, b"b", b"y" * 1000, 0)
    it.flush()
    it.forget(one)
    assert it.get(other, b"b") is not None
    it.forget(other)
    assert (it.size_bytes, list((tmp_path / "r").iterdir())) == (0, [])


def test_a_process_finds_nothing_of_the_one_before(tmp_path: Path) -> None:
    """What lay in the folder is deleted at start."""
    before = Retention(tmp_path / "r", 1 << 30)
    before.put(before.new_owner(), b"a", b"x", 0)
    before.flush()
    after = Retention(tmp_path / "r", 1 << 30)
    assert after.get(after.new_owner(), b"a") is None
    assert not (tmp_path / "r").exists()


def test_a_disk_without_room_costs_what_is_kept_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing raises; the loss is counted and said, and much later it is tried again."""
    it = Retention(tmp_path / "r", 1 << 30, keep_ms=KEEP_MS, reserve_bytes=1 << 60)
    owner = it.new_owner()
    assert it.put(owner, b"a", b"x", 0, items=1)
    assert it.get(owner, b"a") is None
    assert (it.forgotten, it.size_bytes) == (1, 0)
    assert "less than" in caplog.text
    assert not any(it.put(owner, b"a", b"x", 0) for _ in range(REST_PUTS))
    assert it.put(owner, b"a", b"x", 0)


def test_owners_whose_times_are_far_apart_do_not_open_databases_without_end(tmp_path: Path) -> None:
    """One that stands still while another catches up with a day loses its oldest."""
    it = Retention(tmp_path / "r", 1 << 30, keep_ms=KEEP_MS)
    idle, busy = it.new_owner(), it.new_owner()
    it.put(idle, b"a", b"x", 0, items=1)
    for hour in range(MOST_BUCKETS + 1):
        it.put(busy, b"b", b"y", hour * 3_600_000, items=1)
        it.expire(busy, hour * 3_600_000 - KEEP_MS)
    it.flush()
    assert len(list((tmp_path / "r").iterdir())) <= MOST_BUCKETS
    assert it.get(busy, b"b") == b"y"
