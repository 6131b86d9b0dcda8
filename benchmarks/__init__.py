"""Spans per CPU-second and memory of the real processes on a real Kafka. `python -m benchmarks` lists them all."""
