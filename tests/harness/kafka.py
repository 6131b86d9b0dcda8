"""Apache Kafka itself for tests and benchmarks: KRaft, on loopback, in a temporary folder."""

from __future__ import annotations

import base64
import re
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the package does not mark two of them as its own
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
)

from tests.harness.distribution import java, kafka_jars
from tests.harness.process import LOG_SHOWN, TestProcess, free_ports, wait_until
from tests.harness.reading import Record, Setting, committed_offsets, partition_ends, read_topic

START_S = 60.0
FORMAT_S = 60.0
ADMIN_S = 30.0
TOOL_S = 60.0

PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller_port}{more}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxy}{more}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
offsets.topic.num.partitions=4
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={min_isr}
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={min_isr}
"""
"""Of one broker. The internal topics are small, because their creation is what a start of few cores waits for. The
session is shorter than Kafka's 9 s: a killed broker is let in again only after the session of the one before."""


class KafkaCluster:
    """Brokers (each its own controller) that are up after `start` or on entering `with`, and gone with all data after.

    `java_heap` is the `-Xmx` of every broker; `settings` are further lines of `server.properties`. The ports are free
    ones of the loopback address and stay the same over `kill_broker` and `start_broker`. Every broker has a second
    listener that names the port of a proxy as its own: `TcpProxy(cluster.proxy_routes)` stands before it.
    `listeners` are further ones of the first broker: their names, and the security protocol of each.
    """

    def __init__(
        self, brokers: int = 1, java_heap: str = "512m", settings: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Prepare; nothing runs yet. Quorums and replicated internal topics want one broker or three."""
        if brokers not in {1, 3}:
            raise ValueError(f"a cluster of the tests has 1 or 3 brokers, not {brokers}")
        self.brokers = brokers
        self._heap = java_heap
        self._settings = dict(settings or {})
        self._protocols = dict(listeners or {})
        self._more_ports: dict[str, int] = {}
        self._folder: Path | None = None
        self._ports: list[int] = []
        self._behind_ports: list[int] = []
        self._proxy_ports: list[int] = []
        self._nodes: list[TestProcess] = []
        self._java: list[str] = []
        self._admin: AdminClient | None = None

    def __enter__(self) -> Self:
        """Start every broker."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every broker and delete the data."""
        self.stop()

    def start(self) -> Self:
        """Format the data folders, start the brokers and wait until all of them answer; stopped again on failure."""
        jars, runtime = kafka_jars(), java()
        self._folder = Path(tempfile.mkdtemp(prefix="tailsampler-kafka-"))
        try:
            ports, n = free_ports(4 * self.brokers + len(self._protocols)), self.brokers
            self._more_ports = {name: ports.pop() for name in self._protocols}
            self._ports, self._behind_ports, self._proxy_ports = ports[:n], ports[n : 2 * n], ports[2 * n : 3 * n]
            self._prepare(ports[3 * n :], [runtime, "-cp", f"{jars}/*"])
            for node in self._nodes:
                node.start()
            self._wait_for(self.brokers)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill what runs and delete all data; a second call does nothing."""
        self._admin = None
        for node in self._nodes:
            node.kill()
        self._nodes = []
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def bootstrap(self) -> str:
        """`host:port` of every broker, comma-separated."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    def listener(self, name: str) -> str:
        """`localhost:port` of one of the further listeners."""
        return f"localhost:{self._more_ports[name]}"

    @property
    def proxied_bootstrap(self) -> str:
        """The same for clients that are to go through the proxy; nobody listens there without one."""
        return ",".join(f"127.0.0.1:{port}" for port in self._proxy_ports)

    @property
    def proxy_routes(self) -> dict[int, int]:
        """Port of every broker's second listener by the port of the proxy before it."""
        return dict(zip(self._proxy_ports, self._behind_ports, strict=True))

    @property
    def admin_client(self) -> AdminClient:
        """An AdminClient of this cluster, without log output."""
        if self._admin is None:
            self._admin = AdminClient(self._client())
        return self._admin

    def create_topic(
        self, name: str, partitions: int, replication_factor: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and wait until a client sees a leader for each of its partitions."""
        topic = NewTopic(name, partitions, replication_factor, config=dict(config or {}))
        self.admin_client.create_topics([topic], operation_timeout=ADMIN_S)[name].result(ADMIN_S)
        wait_until(lambda: self._led(name) == partitions, ADMIN_S, f"leaders of {name}", self.logs)

    def delete_topic(self, name: str) -> None:
        """Delete a topic, and wait until no broker knows it."""
        self.admin_client.delete_topics([name], operation_timeout=ADMIN_S)[name].result(ADMIN_S)
        wait_until(lambda: name not in self.admin_client.list_topics(timeout=ADMIN_S).topics, ADMIN_S, f"end of {name}")

    def describe(self, topic: str) -> dict[str, str]:
        """Every setting of a topic, defaults included, as the brokers tell it."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        entries = self.admin_client.describe_configs([resource])[resource].result(ADMIN_S)
        return {name: str(entry.value) for name, entry in entries.items()}

    def alter_topic(self, topic: str, settings: Mapping[str, str]) -> None:
        """Change settings of a topic."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        for name, value in settings.items():
            resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
        self.admin_client.incremental_alter_configs([resource])[resource].result(ADMIN_S)

    def kill_broker(self, index: int) -> None:
        """`kill -9` of broker `index` (from 0); its data stays."""
        self._nodes[index].kill()

    def start_broker(self, index: int) -> None:
        """Start a killed broker again, on its port and data, and wait until it answers."""
        self._nodes[index].start()
        self._wait_for(sum(node.running for node in self._nodes))

    def tool(self, main_class: str, *arguments: str) -> str:
        """What one of Kafka's own tools prints, given the brokers and these arguments; RuntimeError where it fails."""
        assert self._folder is not None
        log = self._folder / f"tool-{uuid.uuid4().hex[:8]}.log"
        process = TestProcess([*self._java, main_class, "--bootstrap-server", self.bootstrap, *arguments], log).start()
        if process.wait(TOOL_S):
            raise RuntimeError(f"{main_class} ended with {process.returncode}:\n{process.output()[-LOG_SHOWN:]}")
        return process.output()

    @property
    def controller(self) -> int:
        """Index of the broker that is the active controller."""
        told = self.tool("org.apache.kafka.tools.MetadataQuorumCommand", "describe", "--status")
        leader = re.search(r"LeaderId:\s+(\d+)", told)
        assert leader is not None, told
        return int(leader[1]) - 1

    def coordinator(self, group: str) -> int:
        """Index of the broker that coordinates a group."""
        found = self.admin_client.describe_consumer_groups([group], request_timeout=ADMIN_S)[group].result(ADMIN_S)
        return int(found.coordinator.id) - 1

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Offset committed by a group per partition; partitions without one are absent."""
        return committed_offsets(self._client(), group, topic)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Offset after the last record, per partition."""
        return partition_ends(self._client(), topic)

    def read_all(self, topic: str, timeout_s: float = 60.0) -> list[Record]:
        """Every record that is in a topic at this moment, partition after partition, in the order of offsets."""
        return read_topic(self._client(), topic, timeout_s)

    def logs(self) -> str:
        """The end of every broker's log, for an error."""
        return "\n".join(f"--- broker {i}\n{node.output()[-LOG_SHOWN:]}" for i, node in enumerate(self._nodes))

    def _client(self) -> dict[str, Setting]:
        """Settings of a client; silent, since brokers go away on purpose."""
        return {"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 500}

    def _prepare(self, controller_ports: list[int], command: list[str]) -> None:
        """Write every broker's properties and format its data folder."""
        assert self._folder is not None
        voters = ",".join(f"{i + 1}@127.0.0.1:{port}" for i, port in enumerate(controller_ports))
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        # SerialGC and the first compiler tier: a broker of a test lives for seconds on few cores.
        self._java = start = [
            *command[:1], f"-Xmx{self._heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *command[1:]
        ]  # fmt: skip
        for i, controller_port in enumerate(controller_ports):
            properties = self._folder / f"broker-{i}.properties"
            text = PROPERTIES.format(
                node=i + 1,
                voters=voters,
                port=self._ports[i],
                behind=self._behind_ports[i],
                proxy=self._proxy_ports[i],
                controller_port=controller_port,
                data=self._folder / f"data-{i}",
                replicas=self.brokers,
                min_isr=min(2, self.brokers),
                more="".join(f",{name}://localhost:{port}" for name, port in self._more_ports.items() if not i),
                protocols="".join(f",{name}:{protocol}" for name, protocol in self._protocols.items()),
            )
            properties.write_text(text + "".join(f"{key}={value}\n" for key, value in self._settings.items()))
            # A cluster id may not begin with a dash, which the tool would take for an option.
            tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(properties)]
            log = self._folder / f"broker-{i}.log"
            formatting = TestProcess([*start, *tool], log).start()
            if formatting.wait(FORMAT_S):
                raise RuntimeError(f"Kafka could not format its data folder:\n{formatting.output()[-LOG_SHOWN:]}")
            self._nodes.append(TestProcess([*start, "kafka.Kafka", str(properties)], log))

    def _wait_for(self, brokers: int) -> None:
        """Wait until `brokers` brokers are in the cluster's metadata; the logs are in the error."""

        def answered() -> bool:
            if not all(node.running or node.returncode == -9 for node in self._nodes):
                raise RuntimeError(f"a Kafka broker ended while starting:\n{self.logs()}")
            try:
                return len(self.admin_client.list_topics(timeout=2).brokers) == brokers
            except KafkaException:
                return False

        wait_until(answered, START_S, f"{brokers} Kafka brokers", self.logs)

    def _led(self, topic: str) -> int:
        """How many partitions of a topic have a leader."""
        found = self.admin_client.list_topics(topic, timeout=ADMIN_S).topics[topic]
        return sum(partition.leader >= 0 for partition in found.partitions.values()) if found.error is None else 0
