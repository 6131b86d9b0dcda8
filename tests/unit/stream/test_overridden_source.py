"""The private methods of Faust and aiokafka that the transport overrides or leans on are those it was written for."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.assignor.copartitioned_assignor import CopartitionedAssignor
from faust.assignor.partition_assignor import PartitionAssignor
from faust.stores.rocksdb import Store
from faust.tables.base import Collection
from faust.tables.table import Table
from faust.transport import conductor, consumer
from faust.transport.drivers import aiokafka as driver

SOURCES: dict[str, tuple[Callable[..., Any], str]] = {
    "thread._fetch_records": (driver.AIOKafkaConsumerThread._fetch_records, "39a2c6c79fc1455a"),
    "thread.on_start": (driver.AIOKafkaConsumerThread.on_start, "38b4e8bd1e10723a"),
    "thread.on_thread_stop": (driver.AIOKafkaConsumerThread.on_thread_stop, "8dfc004e258b6c25"),
    "thread.getmany": (driver.AIOKafkaConsumerThread.getmany, "26fc5fc9f3b667e1"),
    "thread.highwater": (driver.AIOKafkaConsumerThread.highwater, "6f7dbe109ae6807f"),
    "thread.verify_event_path": (driver.AIOKafkaConsumerThread.verify_event_path, "b983e7735f647cb3"),
    "thread.on_partitions_assigned": (consumer.ConsumerThread.on_partitions_assigned, "e59e8dda43724bd4"),
    "consumer._new_consumer_thread": (driver.Consumer._new_consumer_thread, "0870ec53dea75083"),
    "consumer._to_message": (driver.Consumer._to_message, "7c24f6511b2fcef7"),
    "consumer.getmany": (consumer.Consumer.getmany, "4b168d84882a70d6"),
    "consumer._wait_next_records": (consumer.Consumer._wait_next_records, "6218e1969a636b3f"),
    "consumer._drain_messages": (consumer.Consumer._drain_messages, "44a2500309e83c63"),
    "consumer.wait_empty": (consumer.Consumer.wait_empty, "e4662fe24f094819"),
    "consumer.on_stop": (consumer.Consumer.on_stop, "45b1d2210ce2b526"),
    "consumer._filter_tps_with_pending_acks": (consumer.Consumer._filter_tps_with_pending_acks, "f6f9239774234e7e"),
    "consumer._filter_committable_offsets": (consumer.Consumer._filter_committable_offsets, "dc5e9baf5d994485"),
    "consumer._should_commit": (consumer.Consumer._should_commit, "5ce941793947ad42"),
    "consumer._commit_offsets": (consumer.Consumer._commit_offsets, "1a69799041188441"),
    "conductor.build": (conductor.ConductorCompiler.build, "837cf521368c1ee4"),
    "assignor.__init__": (CopartitionedAssignor.__init__, "72bdba15ec1827e9"),
    "assignor.get_assignment": (CopartitionedAssignor.get_assignment, "9e7c467c7140fd22"),
    "assignor._perform_assignment": (PartitionAssignor._perform_assignment, "1e0bf2c5c8f42574"),
    "store._set": (Store._set, "4227e561e288d941"),
    "store._del": (Store._del, "07f42ff3caefffdd"),
    "table.on_key_del": (Table.on_key_del, "4f2900b2f9d24a08"),
    "table._on_changelog_sent": (Collection._on_changelog_sent, "60122c86a120d82c"),
    "store._open_for_partition": (Store._open_for_partition, "1dc4e0113d67379d"),
    "store._db_for_partition": (Store._db_for_partition, "cb7e67d5f9efc4bc"),
    "store.revoke_partitions": (Store.revoke_partitions, "3f85447a24fc34ff"),
    "store.stop": (Store.stop, "2e98db0eb7c7582b"),
    "table.partition_for_key": (Collection.partition_for_key, "3b2291811b8dd791"),
    "coordinator._do_rejoin_group": (GroupCoordinator._do_rejoin_group, "3cb016c98a087a71"),
    "coordinator._do_heartbeat": (GroupCoordinator._do_heartbeat, "dc1d6632aaa68e96"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_source_has_not_changed(name: str) -> None:
    """A new version of Faust or aiokafka must be read before it is trusted: see `sampler/stream/transport.py`."""
    function, known = SOURCES[name]
    assert hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16] == known
