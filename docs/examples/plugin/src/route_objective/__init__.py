"""A policy type for tailsampler: requests that miss the latency objective of their route."""

from route_objective.policy import RouteObjective

__all__ = ["RouteObjective"]
