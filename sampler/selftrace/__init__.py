"""The pipeline's traces of itself, with the OpenTelemetry SDK: off unless asked for, and then hung into what runs.

Nothing in the hot paths knows of it: a hook replaces a method of one object by one that makes a span around it.
"""

from sampler.selftrace.hooks import hook
from sampler.selftrace.setup import OWN_ATTRIBUTE, close_tracer, tracer_of

__all__ = ["OWN_ATTRIBUTE", "close_tracer", "hook", "tracer_of"]
