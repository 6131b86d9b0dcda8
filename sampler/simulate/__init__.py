"""`tailsampler simulate`: the worker's own scanner, engine and policies over files instead of Kafka.

`inputs` reads files, `offline` runs policy sets over them, `results` writes what came out; `kept`, which reads
annotated traces back, is shared with the demo.
"""

from sampler.simulate.command import run_simulate
from sampler.simulate.inputs import InputError, Record, read_inputs
from sampler.simulate.offline import Offline, Outcome, simulate

__all__ = ["InputError", "Offline", "Outcome", "Record", "read_inputs", "run_simulate", "simulate"]
