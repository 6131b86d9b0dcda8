"""Traces to play with: realistic ones made from a seed, and the recording of a real shop where it is at hand.

`model` says what a trace is here, `shop` which calls the made-up shop makes, `generator` turns them into traces,
`recording` reads real ones, `encode` writes OTLP, `player` plays traces over time the way SDKs would send them.
"""

from sampler.generate.encode import encode_request, requests_of
from sampler.generate.generator import generate_traces
from sampler.generate.model import Event, Span, Trace
from sampler.generate.player import Batch, Player
from sampler.generate.recording import find_recording, read_recording

__all__ = [
    "Batch",
    "Event",
    "Player",
    "Span",
    "Trace",
    "encode_request",
    "find_recording",
    "generate_traces",
    "read_recording",
    "requests_of",
]
