"""Up to where a database of the decision table has its changelog: the next recovery goes on from there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from sampler.stream.app import AppSettings, create_app
from sampler.stream.decision_table import DecisionStore, DecisionTable

PLACE = TP("decisions", 1)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[DecisionTable]:
    """The table of a worker that never starts, with partition 1 open."""
    settings = AppSettings("127.0.0.1:1", "group", "spans", "decisions", partitions=4, data_dir=tmp_path)
    _, made, _ = create_app(settings, cast(Any, None))
    cast(DecisionStore, made.table.data)._db_for_partition(1)
    yield made
    for db in cast(DecisionStore, made.table.data)._dbs.values():
        db.close()


async def acknowledge(table: DecisionTable, place: TP, *offsets: int) -> None:
    """The brokers have written records of ours at these offsets."""
    for offset in offsets:
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        sent.set_result(SimpleNamespace(topic_partition=place, offset=offset))
        table.table._on_changelog_sent(cast(Any, sent))


async def test_the_note_follows_our_own_records(table: DecisionTable) -> None:
    """From the beginning of the changelog, or from where recovery has left it."""
    store = cast(DecisionStore, table.table.data)
    await acknowledge(table, PLACE, 0, 1, 2)
    assert store.persisted_offset(PLACE) == 2
    store.set_persisted_offset(PLACE, 9)
    await acknowledge(table, PLACE, 10, 11)
    assert store.persisted_offset(PLACE) == 11


async def test_records_of_another_owner_are_not_skipped(table: DecisionTable) -> None:
    """A record of ours that comes late, behind those of the next owner, leaves the note before them."""
    store = cast(DecisionStore, table.table.data)
    await acknowledge(table, PLACE, 0, 1)
    await acknowledge(table, PLACE, 50, 51)
    assert store.persisted_offset(PLACE) == 1


async def test_a_late_acknowledgement_opens_no_database(table: DecisionTable) -> None:
    """A partition that we gave up stays closed."""
    await acknowledge(table, TP("decisions", 2), 0)
    assert set(cast(DecisionStore, table.table.data)._dbs) == {1}
