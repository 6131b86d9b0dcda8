"""`tailsampler version`."""

from __future__ import annotations

import platform
from importlib import metadata

import click


@click.command(short_help="Print versions, for reports.")
def version() -> None:
    """Print the version of tailsampler and of what it stands on."""
    for name in ("tailsampler", "faust-streaming", "aiokafka", "confluent-kafka", "rocksdict", "protobuf"):
        try:
            click.echo(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            click.echo(f"{name} not installed as a package")
    click.echo(f"Python {platform.python_version()} on {platform.platform()}")
