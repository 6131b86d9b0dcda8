"""`tailsampler worker`."""

from __future__ import annotations

import errno
import signal
from contextlib import suppress
from pathlib import Path

import click

from sampler.cli.access import check_kafka
from sampler.cli.options import (
    WrongInputError,
    plugins_option,
    policies_option,
    prepare_topics,
    process_options,
    read_config,
    read_policies,
)

DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


@click.command(short_help="Gather traces, decide, write the kept ones to Kafka.")
@policies_option
@plugins_option
@process_options
@click.option(
    "--session-timeout", metavar="DURATION", help="When the group gives a silent worker's partitions away, such as 45s."
)
@click.option("--heartbeat-interval", metavar="DURATION", help="How often the worker is heard of, such as 3s.")
@click.option("--data-dir", metavar="DIR", help="Folder for waiting spans and decisions; goes before the file's.")
@click.option("--group-instance-id", metavar="NAME", hidden=True, help="Its name in the group; goes before the file's.")
@click.option("--create-topics/--no-create-topics", default=None, help="Make missing topics at start.")
@click.option("--notes/--no-notes", default=True, hidden=True, help="Say what the reader of the policies should know.")
def worker(
    policies_path: Path,
    plugins: tuple[str, ...],
    config_path: Path | None,
    brokers: str | None,
    web_endpoint: str | None,
    log_level: str | None,
    session_timeout: str | None,
    heartbeat_interval: str | None,
    data_dir: str | None,
    group_instance_id: str | None,
    create_topics: bool | None,
    notes: bool,
) -> int:
    """Read spans from Kafka, gather the traces, decide by the policies, write the kept ones to Kafka.

    Start as many as needed, and no more than the span topic has partitions; they share the work as a consumer group.
    """
    with suppress(ValueError):  # outside of the main thread
        # A reload may be asked for before there is anything to reload: that must not end the process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    config = read_config(
        config_path, brokers, web_endpoint, log_level, worker__data_dir=data_dir, kafka__create_topics=create_topics,
        worker__session_timeout=session_timeout, worker__heartbeat_interval=heartbeat_interval,
        worker__group_instance_id=group_instance_id,
    )  # fmt: skip
    from sampler.cli.logs import set_up_logging

    set_up_logging(config.log.level, config.log.format, "worker")
    policies = read_policies(policies_path, plugins, Path(config.worker.data_dir), notes=notes)
    from sampler.topic_specs import tenant_topics

    topics = tenant_topics(config.kafka, policies)
    check_kafka(config, "worker", topics)
    prepare_topics(config.kafka, policies.tail_sampling.decision_wait.ms, topics)
    from sampler.stream.worker import WorkerError, run_worker

    try:
        return run_worker(config, policies)
    except WorkerError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        if error.errno in DISK_TROUBLE:
            # No mistake in the input: another start finds another disk.
            raise click.ClickException(f"the data folder {config.worker.data_dir} cannot be used: {error}") from error
        raise WrongInputError(error.strerror or str(error)) from error
