"""OTLP in, Kafka out: splits spans by trace, packs them per partition, answers after the acknowledgement."""
