"""What the agent counts; the metrics themselves stand in `sampler/metrics/agent.py`, with all others."""

from sampler.metrics.agent import AgentMetrics, Outcome, Transport

__all__ = ["AgentMetrics", "Outcome", "Transport"]
