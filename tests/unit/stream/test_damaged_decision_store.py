"""Databases of the decision table that were damaged on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from sampler.stream.app import AppSettings, create_app
from sampler.stream.decision_table import DecisionStore, DecisionTable

RECORDS = {number.to_bytes(8, "big"): bytes([number % 251]) * 200 for number in range(2000)}


def table_at(folder: Path) -> DecisionTable:
    """The table of a worker that never starts."""
    settings = AppSettings("127.0.0.1:1", "group", "spans", "decisions", partitions=4, data_dir=folder)
    _, made, _ = create_app(settings, cast(Any, None))
    return made


def store_of(table: DecisionTable) -> DecisionStore:
    return cast(DecisionStore, table.table.data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of partition 1, which holds `RECORDS` and the offset of a changelog, written to disk and closed."""
    table = table_at(tmp_path)
    store = store_of(table)
    with table._writing_to(1):
        for key, value in RECORDS.items():
            store._set(key, value)
    db = store._db_for_partition(1)
    db.put(store.offset_key, b"2000")
    db.flush()
    db.close()
    return store.partition_path(1)


def reopened(tmp_path: Path) -> dict[bytes, bytes]:
    """What another process finds, the offset up to which the changelog need not be read again included."""
    store = store_of(table_at(tmp_path))
    found = dict(store.records(1))
    offset = store._db_for_partition(1).get(store.offset_key)
    store._db_for_partition(1).close()
    return {**found, **({b"offset": offset} if offset is not None else {})}


def test_what_was_written_is_found_again(tmp_path: Path, folder: Path) -> None:
    """Without damage."""
    assert reopened(tmp_path) == {**RECORDS, b"offset": b"2000"}


def test_damage_in_any_file_makes_a_partition_all_there_or_empty(tmp_path: Path, folder: Path) -> None:
    """Never a part of it: the changelog is read again from its beginning only where the offset is gone too."""
    names = sorted(path.name for path in folder.iterdir() if path.stat().st_size)
    assert any(name.endswith(".sst") for name in names)
    whole, outcomes = {**RECORDS, b"offset": b"2000"}, []
    contents = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        for place in (0.0, 0.5, 0.99):
            for old in folder.iterdir():
                old.unlink()
            for each, content in contents.items():
                (folder / each).write_bytes(content)
            damaged = bytearray(contents[name])
            at = int(place * len(damaged))
            damaged[at : at + 16] = bytes(byte ^ 0xFF for byte in damaged[at : at + 16])
            (folder / name).write_bytes(damaged)
            found = reopened(tmp_path)
            assert found in (whole, {}), name
            outcomes.append(found)
    assert {} in outcomes


def test_a_database_in_use_is_not_deleted(tmp_path: Path, folder: Path) -> None:
    """Whoever finds it locked leaves it alone."""
    store = store_of(table_at(tmp_path))
    held = store._db_for_partition(1)
    with pytest.raises(Exception, match="lock"):
        store_of(table_at(tmp_path))._db_for_partition(1)
    assert held.get(next(iter(RECORDS))) is not None
    held.close()
