"""`worker.overload`: refusing new traces when a worker has fallen far behind."""

from __future__ import annotations

from pydantic import Field

from sampler.config.base import Section
from sampler.config.units import DurationField, parse_duration


class Overload(Section):
    """What a worker does that cannot keep up. By default nothing is refused: all waits in Kafka, as long as the topic
    keeps it.
    """

    lag_limit: DurationField = parse_duration("0s")
    """When a partition's records are read so long after they were written, a share of its new traces is refused, by
    their randomness alone and counted in the probabilities of the others, until half of it is made good. 0 is never."""
    max_share: float = Field(default=0.9, gt=0, lt=1, allow_inf_nan=False)
    """Largest share that is refused; it grows with the lag, and is reached at one and a half times lag_limit."""
