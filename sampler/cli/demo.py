"""`tailsampler demo`."""

from __future__ import annotations

from pathlib import Path

import click

from sampler.cli.options import FILE


@click.command(short_help="See it work, nothing to install.")
@click.option("--keep-running", is_flag=True, help="Leave everything up at the end, with the OTLP ports open.")
@click.option("--policies", "policies_path", type=FILE, metavar="FILE", help="Policies in place of the demo's own.")
def demo(keep_running: bool, policies_path: Path | None) -> int:
    """Send traces through agent, broker (in memory) and worker, and show what was kept and why."""
    from sampler.demo import run_demo

    return run_demo(keep_running=keep_running, policies=policies_path)
