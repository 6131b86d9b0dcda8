"""`tailsampler size`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sampler.cli.options import FILE, config_option, read_config

if TYPE_CHECKING:
    from sampler.sizing.workload import Workload

POSITIVE = click.FloatRange(min=0, min_open=True)
PRICE = click.FloatRange(min=0)


def _duration(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    from sampler.config.units import parse_duration

    try:
        return None if text is None else parse_duration(text).seconds
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _size(_context: click.Context, _option: click.Parameter, text: str) -> int:
    from sampler.config.units import parse_size

    try:
        size_bytes = parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if not size_bytes:
        raise click.BadParameter("must be more than 0")
    return size_bytes


@click.command(short_help="What a load needs: cores, memory, disk, Kafka.")
@config_option
@click.option(
    "--policies",
    "policies_path",
    type=FILE,
    metavar="FILE",
    help="Policies: decision_wait, and how long decisions are remembered.",
)
@click.option("--spans-per-second", "spans_per_s", type=POSITIVE, required=True, help="The load at its usual height.")
@click.option(
    "--span-bytes",
    metavar="SIZE",
    default="390",
    show_default=True,
    callback=_size,
    help="A span as OTLP protobuf, with its share of the resource.",
)
@click.option("--spans-per-trace", type=POSITIVE, default=10, show_default=True, help="On average.")
@click.option(
    "--kept-percentage",
    type=click.FloatRange(0, 100),
    default=15,
    show_default=True,
    help="Share of the spans that is kept; `tailsampler simulate` tells.",
)
@click.option(
    "--decision-wait", "decision_wait_s", metavar="DURATION", callback=_duration, help="Goes before the policy file's."
)
@click.option(
    "--remembered",
    "remembered_s",
    metavar="DURATION",
    callback=_duration,
    help="How long decisions are; goes before the files'.",
)
@click.option(
    "--records",
    type=click.Choice(["packed", "keyed10", "keyed1"]),
    default="packed",
    show_default=True,
    help="How spans lie in the topic: packed by the agent, ten a record, or one.",
)
@click.option(
    "--agent/--no-agent",
    "through_agent",
    default=True,
    help="Whether spans come through the agent, or Collectors write the topic.",
)
@click.option(
    "--utilisation",
    type=click.FloatRange(5, 100),
    default=50,
    show_default=True,
    help="Percentage of the CPU in use at that height; the rest is for peaks, catching up and a loss.",
)
@click.option(
    "--partitions",
    type=click.IntRange(1),
    help="Of the span topic; without, the file's, else as many as the workers need.",
)
@click.option(
    "--replication-factor", type=click.IntRange(1), help="Copies of each partition; without, the file's, else 3."
)
@click.option(
    "--retention",
    "retention_s",
    metavar="DURATION",
    callback=_duration,
    help="How long topics keep records; goes before the file's.",
)
@click.option(
    "--backends",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Backends that the exporter sends to; 0 without exporter.",
)
@click.option("--zstd-ratio", type=POSITIVE, help="What zstd makes of the span topic; 6 without.")
@click.option("--lz4-ratio", type=POSITIVE, help="What lz4 makes of the sampled topic; 4 without.")
@click.option("--price-core", type=PRICE, default=0, help="Of a core for a month, in any currency.")
@click.option("--price-memory-gib", type=PRICE, default=0, help="Of a GiB of memory for a month.")
@click.option("--price-disk-gib", type=PRICE, default=0, help="Of a GiB of disk for a month.")
@click.option("--price-network-gib", type=PRICE, default=0, help="Of a GiB between machines, such as across zones.")
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="text: a page; json: one object, units in the names.",
)
def size(config_path: Path | None, policies_path: Path | None, output: str, **given: Any) -> None:
    """Reckon what an installation needs for a load: CPU, memory and disk of each process, Kafka's storage and network.

    The formulas and the measured costs behind them are in docs/sizing.md. Decision wait, partitions, copies and
    retention are taken from the files where they are given.
    """
    import json

    from sampler.sizing import Prices
    from sampler.sizing import size as reckon
    from sampler.sizing.report import as_json, as_text

    prices = Prices(**{name: given.pop(f"price_{name}") for name in ("core", "memory_gib", "disk_gib", "network_gib")})
    load = _workload(config_path, policies_path, given)
    sizing = reckon(load)
    if output == "json":
        click.echo(json.dumps(as_json(load, sizing, prices), indent=2))
    else:
        click.echo(as_text(load, sizing, prices))


def _workload(config_path: Path | None, policies_path: Path | None, given: dict[str, Any]) -> Workload:
    """The load of the options, with what the files say below them."""
    from sampler.sizing.workload import Workload

    settings: dict[str, Any] = {}
    if config_path is not None:
        settings |= _from_config(config_path)
    if policies_path is not None:
        settings |= _from_policies(policies_path)
    given["kept_share"] = given.pop("kept_percentage") / 100
    given["utilisation"] /= 100
    return Workload(**{**settings, **{name: value for name, value in given.items() if value is not None}})


def _from_config(path: Path) -> dict[str, Any]:
    config = read_config(path)
    kafka, worker = config.kafka, config.worker
    told = {
        "partitions": kafka.partitions if "partitions" in kafka.model_fields_set else None,
        "replication_factor": kafka.replication_factor,
        "retention_s": kafka.retention.seconds,
        "remembered_s": worker.decision_cache.ttl.seconds,
        "standby_replicas": worker.decision_cache.standby_replicas,
        "table_memory_bytes": worker.trace_table.memory_limit_mib * 2**20,
    }
    return {name: value for name, value in told.items() if value is not None}


def _from_policies(path: Path) -> dict[str, Any]:
    from sampler.cli.options import read_policies

    block = read_policies(path).tail_sampling
    told = {"decision_wait_s": block.decision_wait.seconds}
    if block.decision_cache.ttl is not None:
        told["remembered_s"] = block.decision_cache.ttl.seconds
    return told
