"""`tailsampler run`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from sampler.cli.options import plugins_option, policies_option, process_options, read_config, read_policies

if TYPE_CHECKING:
    from sampler.config.models import Config
    from sampler.config.policies import PolicyFile
    from sampler.supervisor import Part

EMBEDDED_PARTITIONS = 4
EMBEDDED_SESSION = "10s"
EMBEDDED_HEARTBEAT = "1s"
"""Several to half a session, so that a busy machine that is late with one does not end the worker's lease."""
EMBEDDED_JOIN_MS = 5000
IN_MEMORY = (
    "No --brokers given and none in the configuration: using the embedded broker. ALL DATA IS IN MEMORY ONLY and gone "
    "when this command ends; a partition holds at most 5 MiB. Not for production."
)


@click.command(short_help="Agent, workers and exporter in one supervised command.")
@policies_option
@plugins_option
@process_options
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Worker processes.")
def run(
    policies_path: Path,
    plugins: tuple[str, ...],
    config_path: Path | None,
    brokers: str | None,
    web_endpoint: str | None,
    log_level: str | None,
    workers: int,
) -> int:
    """Run an agent and workers on this machine, and an exporter where backends are configured; start again what ends.

    Against the Kafka of --brokers or of the configuration; with neither, against a broker inside this command, whose
    data is in memory only. /metrics, /livez, /readyz and /status at web.endpoint are of all processes together, those
    of the agent, of the workers and of the exporter alone at the ports after it.
    """
    config = read_config(config_path, brokers, web_endpoint, log_level)
    from sampler.cli.logs import set_up_logging, tell
    from sampler.cli.run_pages import gathered_pages, with_ports
    from sampler.supervisor import Supervisor

    config = with_ports(config, 1 + workers + 2)
    set_up_logging(config.log.level, config.log.format, "run")
    data_dir = Path(config.worker.data_dir)
    embedded = "brokers" not in config.kafka.model_fields_set
    policies = read_policies(policies_path, plugins, None if embedded else data_dir / "worker-1")
    with ExitStack() as stack:
        if embedded:
            from sampler.embedded.broker import EmbeddedBroker

            tell(IN_MEMORY)
            # Workers that join one after the other cost a session each on this broker: it waits for all of them.
            delay_ms = EMBEDDED_JOIN_MS if workers > 1 else 200
            broker = EmbeddedBroker(topics=embedded_topics(config, policies), rebalance_delay_ms=delay_ms)
            brokers = stack.enter_context(broker).bootstrap
            # Tables of another run would not fit a broker that starts empty.
            data_dir = Path(stack.enter_context(TemporaryDirectory(prefix="tailsampler-")))
        tell(banner(config, policies_path, len(policies.policy_set.names), workers, brokers))
        common = [*_option("--config", config_path), *_option("--log-level", log_level), *_option("--brokers", brokers)]
        worker_options = tuple(part for plugin in plugins for part in ("--plugins", plugin))
        heartbeat: tuple[str, ...] = ()
        if embedded:
            common.append("--no-create-topics")
            # The embedded broker makes every rebalance wait for about one session.
            worker_options += ("--session-timeout", EMBEDDED_SESSION)
            heartbeat = ("--heartbeat-interval", EMBEDDED_HEARTBEAT)
        made = parts(config, common, policies_path, workers, data_dir, worker_options, heartbeat)
        supervisor = Supervisor(made)
        if config.web.enabled:
            stack.enter_context(gathered_pages(config.web, addresses(made), supervisor))
        return supervisor.run()


def parts(
    config: Config,
    common: list[str],
    policies: Path,
    workers: int,
    data_dir: Path,
    worker_options: tuple[str, ...] = (),
    heartbeat: tuple[str, ...] = (),
) -> list[Part]:
    """The processes to supervise: one agent, then the workers, each with its own folder and web port, then an exporter.

    `worker_options` are for workers and exporter, which both read the policies; `heartbeat` for the workers alone.
    web.endpoint is left to the pages of all of them. There is an exporter where the configuration names backends.
    """
    from sampler.supervisor import Part

    base = (sys.executable, "-m", "sampler.cli")
    result = [Part("agent", (*base, "agent", *common, "--web-endpoint", web_endpoint(config, 1)))]
    for number in range(1, workers + 1):
        own = [
            *worker_options,
            *heartbeat,
            "--no-notes",  # `run` has told them
            "--data-dir",
            str(data_dir / f"worker-{number}"),
            "--web-endpoint",
            web_endpoint(config, number + 1),
        ]
        name = config.worker.group_instance_id
        if name and workers > 1:
            # Two members of one name would push each other out of the group.
            own += ["--group-instance-id", f"{name}-{number}"]
        argv = (*base, "worker", "--policies", str(policies), *common, *own)
        result.append(Part(f"worker-{number}", argv, takes_hangup=True))
    if config.exporter.backends:
        own = ["--policies", str(policies), *worker_options, "--web-endpoint", web_endpoint(config, workers + 2)]
        result.append(Part("exporter", (*base, "exporter", *common, *own)))
    return result


def addresses(made: list[Part]) -> dict[str, str]:
    """Where each process has its own pages."""
    return {part.name: part.argv[part.argv.index("--web-endpoint") + 1] for part in made}


def web_endpoint(config: Config, offset: int) -> str:
    """The address of the nth process; port 0 stays 0, which takes a free one."""
    host, _, port = config.web.endpoint.rpartition(":")
    return f"{host}:{int(port) + offset if int(port) else 0}"


def embedded_topics(config: Config, policies: PolicyFile) -> dict[str, int]:
    """The topics of both files with their partitions, for a broker that cannot be asked to make any."""
    from sampler.topic_specs import tenant_topics

    topics, tenants = config.kafka.topics, tenant_topics(config.kafka, policies)
    per_partition = dict.fromkeys((topics.spans, topics.sampled, topics.decisions, *tenants), EMBEDDED_PARTITIONS)
    return {**per_partition, topics.keyspace: 1, topics.dead_letter: 1}


def banner(config: Config, policies_path: Path, policies: int, workers: int, brokers: str | None) -> str:
    """What runs where, for the person who started it."""
    agent = config.agent
    lines = [
        f"Kafka      {brokers or config.kafka.bootstrap}",
        f"OTLP/gRPC  {agent.grpc.endpoint if agent.grpc.enabled else 'off'}",
        f"OTLP/HTTP  {agent.http.endpoint if agent.http.enabled else 'off'}",
        f"Policies   {policies} from {policies_path}",
        f"Workers    {workers}",
    ]
    backends = config.exporter.backends
    if backends:
        lines.append(f"Backends   {', '.join(f'{each.name} ({each.endpoint})' for each in backends)}")
    if config.web.enabled:
        count = workers + (3 if backends else 2)
        ports = ", ".join(f"http://{web_endpoint(config, number)}" for number in range(1, count))
        alone = f"{ports}: agent, workers{', exporter' if backends else ''}"
        lines.append(f"Metrics    http://{config.web.endpoint} of all processes (alone: {alone})")
    return "\n".join(lines)


def _option(name: str, value: object | None) -> list[str]:
    return [] if value is None else [name, str(value)]
