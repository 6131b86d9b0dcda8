"""`tailsampler simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from sampler.cli.options import FILE, plugins_option

INPUT = click.Path(dir_okay=False, exists=True, path_type=Path)


@click.command(short_help="Decide the traces of files, offline.")
@click.option(
    "--policies", "policies_paths", type=FILE, metavar="FILE", multiple=True, required=True,
    help="Policies to try; may be given several times to compare.",
)  # fmt: skip
@click.option(
    "--output", type=click.Choice(["json", "table"]), default="table", show_default=True,
    help="json: one object a trace and line; table: for people.",
)  # fmt: skip
@plugins_option
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=INPUT)
def simulate(
    policies_paths: tuple[Path, ...],
    output: Literal["json", "table"],
    plugins: tuple[str, ...],
    inputs: tuple[Path, ...],
) -> int:
    """Decide the traces of files by one or more policy files, with the same code as a worker, without Kafka.

    INPUT is OTLP JSON, one request a line as the Collector's file exporter writes it (.gz too), or protobuf.
    """
    from sampler.simulate import run_simulate

    return run_simulate(list(policies_paths), list(inputs), output, plugins)
