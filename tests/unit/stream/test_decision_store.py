"""The store of decision records: what is written to one partition touches no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from sampler.stream.app import AppSettings, create_app
from sampler.stream.decision_table import DecisionStore, DecisionTable

KEY, OTHER = b"key", b"other key"


@pytest.fixture
def table(tmp_path: Path) -> Iterator[DecisionTable]:
    """The table of a worker that never starts, on an empty disk."""
    settings = AppSettings("127.0.0.1:1", "group", "spans", "decisions", partitions=4, data_dir=tmp_path)
    _, made, _ = create_app(settings, cast(Any, None))
    yield made
    for db in cast(DecisionStore, made.table.data)._dbs.values():
        db.close()


def records(table: DecisionTable, partition: int) -> dict[bytes, bytes]:
    return dict(cast(DecisionStore, table.table.data).records(partition))


def test_a_deletion_leaves_equal_keys_of_other_partitions(table: DecisionTable) -> None:
    """Records of two partitions have equal keys where their owners and sequences are equal."""
    store = cast(DecisionStore, table.table.data)
    for partition in (0, 1, 2):
        with table._writing_to(partition):
            store._set(KEY, b"%d" % partition)
    with table._writing_to(1):
        del store[KEY]
    assert [records(table, partition) for partition in (0, 1, 2)] == [{KEY: b"0"}, {}, {KEY: b"2"}]


def test_what_is_not_there_can_be_deleted(table: DecisionTable) -> None:
    """As after a deletion that was carried out and not noticed."""
    store = cast(DecisionStore, table.table.data)
    with table._writing_to(0):
        store._set(KEY, b"value")
        del store[OTHER]
    assert records(table, 0) == {KEY: b"value"}
