"""A Kafka cluster inside this process, with nothing to install: librdkafka's mock cluster."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from sampler.embedded import librdkafka

CONTROLLER_ID = 1
"""The mock cluster numbers its brokers from 1 but names 0 as its controller; aiokafka wants one that exists."""

REBALANCE_DELAY_MS = 200
"""How long a group waits for further members before its first assignment; the mock cluster's own is 3000."""

_LOG_LEVEL_ERROR = "3"  # syslog's numbers; the handle's own remarks are of no use to anyone, only its errors


class EmbeddedBrokerError(RuntimeError):
    """The mock cluster refused what was asked of it."""


class EmbeddedBroker:
    """A Kafka cluster on free loopback ports, up when constructed and gone after `close` or the `with` block.

    Any Kafka client of any process on this machine can use it: groups, rebalances, commits, idempotent producers and
    transactions are answered. It is for demonstrations and unit tests, and has these limits:

    * everything is in memory: nothing is on disk, and nothing outlives it;
    * a partition holds 5 MiB and 100,000 record batches; beyond that its oldest records are deleted without a word;
    * there is no compaction, and no retention by time;
    * topics cannot be created, deleted, configured or described by a client: `topics` and `create_topic` make them,
      and one that a client merely names appears with 4 partitions;
    * a fetch that finds nothing waits for the whole `fetch.wait.max.ms` of the client, whatever arrives meanwhile;
    * a group whose last member left admits the next one only after the session timeout of the one that left;
    * ports cannot be chosen.
    """

    def __init__(
        self, topics: Mapping[str, int] | None = None, brokers: int = 1, rebalance_delay_ms: int = REBALANCE_DELAY_MS
    ) -> None:
        """Start `brokers` brokers with `topics` (name to number of partitions); EmbeddedBrokerError if that fails."""
        if brokers < 1:
            raise ValueError(f"an embedded cluster has at least one broker, not {brokers}")
        self._library = librdkafka.load()
        self._brokers = brokers
        handle = _new_handle(self._library)
        cluster = self._library.rd_kafka_mock_cluster_new(handle, brokers)
        if not cluster:
            self._library.rd_kafka_destroy(handle)
            raise EmbeddedBrokerError("the embedded broker could not open a port on the loopback address")
        self._cluster = cluster
        # Runs once: at close, when the object is forgotten, or at the interpreter's exit.
        self._finalizer = weakref.finalize(self, _destroy, self._library, cluster, handle)
        self._library.rd_kafka_mock_set_controller_id(cluster, CONTROLLER_ID)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, rebalance_delay_ms)
        self._bootstrap: str = self._library.rd_kafka_mock_cluster_bootstraps(cluster).decode("ascii")
        for name, partitions in (topics or {}).items():
            self.create_topic(name, partitions)

    def __enter__(self) -> Self:
        """The running cluster."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self.close()

    @property
    def bootstrap(self) -> str:
        """`host:port` of every broker, comma-separated, as `bootstrap.servers` takes it."""
        return self._bootstrap

    def close(self) -> None:
        """Stop the brokers and free all they hold; clients see closed connections. A second call does nothing."""
        self._finalizer()

    def create_topic(self, name: str, partitions: int, replication_factor: int = 1) -> None:
        """Make a topic; EmbeddedBrokerError where it exists, has no partition, or more replicas than brokers."""
        if partitions < 1:
            raise EmbeddedBrokerError(f"topic {name}: a topic has at least one partition, not {partitions}")
        if replication_factor > self._brokers:
            raise EmbeddedBrokerError(
                f"topic {name}: {replication_factor} replicas need as many brokers, this cluster has {self._brokers}"
            )
        code = self._library.rd_kafka_mock_topic_create(self._running(), name.encode(), partitions, replication_factor)
        self._check(code, f"topic {name} with {partitions} partitions")

    def broker_down(self, broker_id: int = 1) -> None:
        """Close the broker's connections and refuse new ones, until `broker_up`; what it holds stays."""
        self._check(self._library.rd_kafka_mock_broker_set_down(self._running(), broker_id), f"broker {broker_id}")

    def broker_up(self, broker_id: int = 1) -> None:
        """Accept connections again."""
        self._check(self._library.rd_kafka_mock_broker_set_up(self._running(), broker_id), f"broker {broker_id}")

    def set_rtt_ms(self, milliseconds: int, broker_id: int = 1) -> None:
        """Delay every answer of the broker by `milliseconds`."""
        code = self._library.rd_kafka_mock_broker_set_rtt(self._running(), broker_id, milliseconds)
        self._check(code, f"broker {broker_id}")

    def push_request_errors(self, api_key: int, error_codes: Sequence[int]) -> None:
        """Answer the next requests of kind `api_key` (0 Produce, 1 Fetch, 8 OffsetCommit …) with these, one each.

        The codes are Kafka's (7 REQUEST_TIMED_OUT …) or negative ones of librdkafka; 0 lets one request through, and
        -195 (`_TRANSPORT`) closes the connection.
        """
        codes = (ctypes.c_int * len(error_codes))(*error_codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._running(), api_key, len(error_codes), codes)

    def clear_request_errors(self, api_key: int) -> None:
        """Forget the errors pushed for `api_key` that have not been answered yet."""
        self._library.rd_kafka_mock_clear_request_errors(self._running(), api_key)

    def _running(self) -> int:
        """The cluster's address; EmbeddedBrokerError once it is closed, where librdkafka would touch freed memory."""
        if not self._finalizer.alive:
            raise EmbeddedBrokerError("the embedded broker is closed")
        return int(self._cluster)

    def _check(self, code: int, what: str) -> None:
        """EmbeddedBrokerError that says `what` was refused, unless `code` is 0."""
        if code:
            raise EmbeddedBrokerError(f"{what}: {self._library.rd_kafka_err2str(code).decode()}")


def _new_handle(library: ctypes.CDLL) -> int:
    """The librdkafka instance that owns a mock cluster; it never connects anywhere."""
    text = ctypes.create_string_buffer(librdkafka.ERROR_TEXT_BYTES)
    conf = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(conf, b"log_level", _LOG_LEVEL_ERROR.encode(), text, len(text))
    handle = library.rd_kafka_new(librdkafka.PRODUCER, conf, text, len(text))
    if not handle:
        raise EmbeddedBrokerError(f"librdkafka did not start: {text.value.decode(errors='replace')}")
    return int(handle)


def _destroy(library: ctypes.CDLL, cluster: int, handle: int) -> None:
    """Stop the cluster's thread, then free the handle it belongs to; the order is librdkafka's."""
    library.rd_kafka_mock_cluster_destroy(cluster)
    library.rd_kafka_destroy(handle)
