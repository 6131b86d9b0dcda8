"""The `tailsampler` command."""

from sampler.cli.root import main

__all__ = ["main"]
