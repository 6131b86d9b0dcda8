"""Kafka in, OTLP out: kept traces to their backends."""
