"""`tailsampler estimate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sampler.cli.options import WrongInputError, brokers_option, config_option, read_config

if TYPE_CHECKING:
    from sampler.config.models import Config
    from sampler.estimate.gather import Gathered

INPUT = click.Path(dir_okay=False, exists=True, path_type=Path)


def _duration_ms(_: object, option: click.Parameter, text: str | None) -> int | None:
    """Milliseconds of a duration on the command line."""
    from sampler.config.units import parse_duration

    try:
        return None if text is None else parse_duration(text).ms
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from error


def _buckets_ms(_: object, option: click.Parameter, text: str | None) -> tuple[float, ...]:
    bounds = [float(_duration_ms(_, option, each.strip()) or 0) for each in text.split(",")] if text else []
    if bounds != sorted(set(bounds)):
        raise click.BadParameter("the bounds must rise", param=option)
    return tuple(bounds)


@click.command(short_help="Rebuild the counts of all traffic from what was kept.")
@config_option
@brokers_option
@click.option("--topic", help="Topic to read in place of the configuration's sampled topic.")
@click.option(
    "--since",
    "since_ms",
    metavar="DURATION",
    callback=_duration_ms,
    help="Only what was written so lately, such as 30m.",
)
@click.option(
    "--by", "fields", metavar="FIELD", multiple=True,
    help="Tell apart by this: name, kind, status, policy, or an attribute of the span or its resource, such as "
    "service.name. May be given several times.",
)  # fmt: skip
@click.option("--count", "unit", type=click.Choice(["traces", "spans"]), default="traces", show_default=True,
              help="What is counted; the key of a trace is that of its root.")  # fmt: skip
@click.option("--buckets", "buckets_ms", metavar="DURATIONS", callback=_buckets_ms,
              help="Upper bounds of a histogram of durations, such as 100ms,500ms,2s.")  # fmt: skip
@click.option("--confidence", type=click.FloatRange(0.5, 0.9999), default=0.95, show_default=True,
              help="How sure the intervals are to hold the true value.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), default=0, help="Print the most frequent keys only.")
@click.option("--output", type=click.Choice(["json", "table"]), default="table", show_default=True,
              help="json: one object a key and line; table: for people.")  # fmt: skip
@click.argument("inputs", metavar="[INPUT]...", nargs=-1, type=INPUT)
def estimate(
    config_path: Path | None,
    brokers: str | None,
    topic: str | None,
    since_ms: int | None,
    unit: Literal["traces", "spans"],
    output: Literal["json", "table"],
    inputs: tuple[Path, ...],
    **asked: Any,
) -> int:
    """Rebuild the counts, error rates and durations of all traffic from kept traces, with confidence intervals.

    Reads the sampled topic as far as it goes now, or files: OTLP JSON, one request a line (.gz too), or protobuf.
    Every kept span says how many it stands for (`sampling.rate`, else `th` in its tracestate); one that says nothing
    counts once.
    """
    from sampler.estimate.gather import Gathered, KeySpec, Names
    from sampler.estimate.report import Asked, json_lines, table_lines

    config = read_config(config_path, brokers)
    names = config.worker.annotation.names
    spec = KeySpec(asked["fields"], unit, Names(names.rate_attribute, names.policy_attribute))
    gathered = Gathered(spec)
    faulty = _gather(gathered, _payloads(config, topic, since_ms, inputs))
    _warn(gathered.unmarked_spans, faulty)
    lines = json_lines if output == "json" else table_lines
    for line in lines(gathered, spec, Asked(asked["confidence"], asked["buckets_ms"], asked["limit"])):
        click.echo(line)
    return 0


def _payloads(config: Config, topic: str | None, since_ms: int | None, inputs: tuple[Path, ...]) -> Iterator[bytes]:
    """The payloads of the files, else of the topic."""
    from sampler.clock import wall_ms
    from sampler.config.security import consumer_conf
    from sampler.estimate.topic import TopicReadError, read_topic
    from sampler.simulate.inputs import InputError, read_inputs

    try:
        if inputs:
            yield from (record.value for record in read_inputs(inputs))
        else:
            since = None if since_ms is None else wall_ms() - since_ms
            yield from read_topic(consumer_conf(config.kafka), topic or config.kafka.topics.sampled, since)
    except InputError as error:
        raise WrongInputError(str(error)) from error
    except TopicReadError as error:
        raise click.ClickException(str(error)) from error


def _gather(gathered: Gathered, payloads: Iterator[bytes]) -> int:
    """Take all in; the number of payloads that are no OTLP."""
    from google.protobuf.message import DecodeError

    faulty = 0
    for payload in payloads:
        try:
            gathered.add(payload)
        except DecodeError:
            faulty += 1
    return faulty


def _warn(unmarked_spans: int, faulty: int) -> None:
    if unmarked_spans:
        click.echo(f"warning: {unmarked_spans:,} spans say no adjusted count and were counted once", err=True)
    if faulty:
        click.echo(f"warning: {faulty:,} records are no OTLP and were left out", err=True)
