"""What comes in is bad: records that are no OTLP, a policy that raises, clocks that are off."""

from __future__ import annotations

import random

from confluent_kafka import Producer

from tests.faults.stage import PARTITIONS, Stage
from tests.faults.truth import POLICIES

RAISES = """
'''A policy that raises on half of all traces, and keeps none of the others.'''

from policies.contract import Policy, Reads
from policies.intent import NEVER


class Raises(Policy):
    '''See above.'''

    type = "raises"
    reads = Reads.SUMMARY

    def evaluate(self, trace):
        if trace.trace_id[0] < 128:
            raise RuntimeError("on purpose")
        return NEVER

    def describe(self):
        return "nothing"
"""


def poison() -> list[bytes]:
    """Values that are no OTLP: cut short, random, with lengths beyond their end, large."""
    rng = random.Random(7)
    return [
        b"\x0a\xff\xff\xff\xff\x0f" + rng.randbytes(40),
        b"\x0a\x10\x12\x0e\x12\x0c",
        b"\xff" * 64,
        b"\x0b" + rng.randbytes(100),
        b"\x0a\x7f",
        b"\x07" + rng.randbytes(900_000),
    ]


def test_poison_records(stage: Stage) -> None:
    """Records that are no OTLP go to the dead-letter topic, each once, and take nothing with them."""
    bad = poison()
    with stage.tier() as tier:
        tier.start_worker()
        producer = Producer({"bootstrap.servers": stage.kafka.bootstrap})
        sent = 0
        with stage.load(20) as load:
            load.until(5)
            stage.strike()
            while load.elapsed_s < 15:
                for partition in range(PARTITIONS):
                    producer.produce(tier.topics["spans"], bad[sent % len(bad)], partition=partition)
                    sent += 1
                load.until(load.elapsed_s + 0.1)
            assert producer.flush(30) == 0
        stage.finish("poison records")
        letters = [dict(letter.headers) for letter in stage.kafka.read_all(tier.topics["dead_letter"])]
        places = {(letter["tailsampler.partition"], letter["tailsampler.offset"]) for letter in letters}
        assert len(places) == len(letters) == sent


def test_policy_that_raises(stage: Stage) -> None:
    """A plugin that raises on half of the traces casts no vote there, and changes no other decision."""
    plugin = stage.folder / "raises.py"
    plugin.write_text(RAISES)
    every = [*POLICIES["policies"], {"name": "raises", "type": "raises"}]
    with stage.tier(policies={**POLICIES, "plugins": [str(plugin)], "policies": every}) as tier:
        tier.start_worker()
        with stage.load(15) as load:
            load.until(5)
            stage.strike()
        row = stage.finish("policy that raises")
        errors = tier.metric(0, "tailsampler_policy_errors_total", '{policy="raises"}')
        assert row.traces * 0.4 < errors < row.traces * 0.6


def test_clock_jump(stage: Stage) -> None:
    """Two producers in three are an hour ahead for a while, later a day behind: nobody's traces are decided early."""
    with stage.tier(timestamps="CreateTime") as tier:
        tier.start_worker()
        with stage.load(20, shifts=((5.0, 8.0, 3600.0), (11.0, 14.0, -86400.0))) as load:
            load.until(5)
            stage.strike()
        stage.finish("clock jump")


def test_clock_jump_in_a_backlog(stage: Stage) -> None:
    """The same, read after the fact: a worker that was away finds an hour ahead and a day behind in what it missed."""
    with stage.tier(timestamps="CreateTime") as tier:
        tier.start_worker()
        with stage.load(22, shifts=((7.0, 10.0, 3600.0), (12.0, 15.0, -86400.0))) as load:
            load.until(5)
            stage.strike()
            assert tier.workers[0].terminate(10) == 0
            load.until(17)
            tier.workers[0].start()
        stage.finish("clock jump in a backlog")
