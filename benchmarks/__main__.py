"""`python -m benchmarks`: what there is to measure."""

from __future__ import annotations

BENCHMARKS = {
    "worker": "spans per CPU-second and memory of the worker on a real Kafka, beside bare consumers (about 5 minutes)",
    "worker --memory": "peak memory of the worker with a million spans undecided (about a minute)",
    "agent": "spans per CPU-second and memory of the agent, OTLP/gRPC to a real Kafka (about a minute)",
    "exporter": "spans per CPU-second and memory of the exporter and of the agent's Kafka source (about two minutes)",
    "policies": "microseconds per trace of each policy type, without Kafka (about a minute)",
    "decisions": "bytes and microseconds a remembered decision at 20 million, and their recovery (about two minutes)",
    "long_waits": "memory and disk of half an hour of undecided traces, without Kafka (about half a minute)",
    "sampling_quality": "how well `dynamic` meets its goal, and how true counts are, on a real Kafka too (3 minutes)",
    "scanner": "microseconds per span of the scanners, without Kafka (about 20 seconds)",
}


def main() -> None:
    """Print the list."""
    print("Each takes --json (one object a line), --spans N for a shorter run, and --help.\n")
    width = max(map(len, BENCHMARKS))
    for name, what in BENCHMARKS.items():
        print(f"python -m benchmarks.{name:<{width}}  {what}")


if __name__ == "__main__":
    main()
