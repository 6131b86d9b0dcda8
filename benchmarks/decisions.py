"""`python -m benchmarks.decisions`: what remembered decisions cost, and how soon they are back after a restart.

Memory is the growth of a process of its own. Times of look-ups and adds are CPU time of that process; each look-up is
of another trace, so that nothing of it is in a cache, and goes the way the gatherer takes. Recovery is from the
changelog on a real Kafka, by a worker with an empty disk, from its assignment to the last partition remembered;
`--no-kafka` leaves it out. What there is a limit for must be within it, else the exit status is 1.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import random
import re
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil
from confluent_kafka import Producer

from benchmarks.loads import PARTITIONS
from benchmarks.report import Report, Row
from benchmarks.tier import START_S, STARTED, BenchmarkWorker, Setup
from policies.randomness import RandomnessSource
from policies.rset import ALWAYS, NEVER
from policies.verdict import Verdict
from sampler.engine.decision_memory import DecisionMemory, trustworthy
from sampler.engine.decision_record import DecisionRecord, Owner, decode
from tests.harness.kafka import KafkaCluster
from tests.harness.process import wait_until

COLUMNS = ("measure", "value", "limit", "ok")
VERDICTS = (
    Verdict("sampled", ALWAYS, "errors", RandomnessSource.HASH),
    Verdict("sampled", (1 << 56) * 9 // 10, "tenth", RandomnessSource.HASH),
    Verdict("not_sampled", NEVER, None, RandomnessSource.HASH),
)
A_SEGMENT = 1000
"""Decisions of one record: live, a partition settles up to four times a second."""
SEGMENT_MS = 250
ID_BYTES = 16
LOOK_UPS = 200_000
ROUNDS = 5
BYTES_LIMIT = 16.0
LOOK_UP_LIMIT_US = 1.0
RECOVERY_LIMIT_S = 5.0
READ = re.compile(r"read \d+ records of \S+ for \d+ partitions in ([\d.]+) s")
REMEMBERED = re.compile(r"(\d+) remembered decisions")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the figures; exit 1 where one is beyond its limit."""
    options = _options(arguments)
    report = Report(COLUMNS, options.json)
    rows: list[Row] = []

    def add(measure: str, value: float, limit: float | None = None) -> None:
        value = round(value, 3)
        rows.append({"measure": measure, "value": value, "limit": limit, "ok": limit is None or value <= limit})
        report.add(rows[-1])

    for partitions in (1, 64):
        at = f"{options.decisions:,} decisions in {partitions} partition{'s' * (partitions > 1)}"
        held = in_a_process(options.decisions, partitions)
        add(f"bytes a decision, {at}", held.bytes_each, BYTES_LIMIT)
        add(f"us a look-up that finds, {at}", held.hit_us, LOOK_UP_LIMIT_US)
        add(f"us a look-up that finds nothing, {at}", held.miss_us, LOOK_UP_LIMIT_US)
        add(f"us an add, {at}", held.add_us)
    of = f"{options.recovered:,} decisions"
    add(f"s to decode and remember {of}, {A_SEGMENT} a record", restored_s(options.recovered), RECOVERY_LIMIT_S)
    if not options.no_kafka:
        report.note("recovering from Kafka ...")
        read_s, remembered_s = recovered_s(options.recovered, options.record)
        changelog = f"{of}, {options.record} a record, from Kafka"
        add(f"s to read back {changelog}", read_s)
        add(f"s from assignment to all remembered: {changelog}", read_s + remembered_s, RECOVERY_LIMIT_S)
    report.finish()
    if not all(row["ok"] for row in rows):
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class Held:
    """What many remembered decisions cost; times in microseconds of CPU."""

    bytes_each: float
    hit_us: float
    miss_us: float
    add_us: float


def in_a_process(decisions: int, partitions: int) -> Held:
    """Remember decisions in a new process and say what they cost there."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_tell, args=(theirs, decisions, partitions))
    process.start()
    theirs.close()
    held: Held = ours.recv()
    process.join()
    return held


def _tell(pipe: Connection, decisions: int, partitions: int) -> None:
    pipe.send(hold(decisions, partitions))


def hold(decisions: int, partitions: int) -> Held:
    """Remember decisions in this process, evenly over the partitions, and say what they cost."""
    segments = max(partitions, decisions // A_SEGMENT)
    for _ in ids_of(0):  # what this needs itself
        pass
    gc.collect()
    before = psutil.Process().memory_info().rss
    memories = [DecisionMemory() for _ in range(partitions)]
    add_s = 0.0
    for number in range(segments):
        memory, record = memories[number % partitions], record_of(number, A_SEGMENT, number // partitions)
        ids, verdicts = list(ids_of(number)), [record.verdicts[i] for i in record.verdict_of]
        start_s = time.process_time()
        memory.add(ids, verdicts)
        add_s += time.process_time() - start_s
        memory.close_segment(record)
    del ids, verdicts, record
    gc.collect()
    held = sum(map(len, memories))
    grown = psutil.Process().memory_info().rss - before
    hit_us = min(_look_up_us(memories, segments, number, known=True) for number in range(ROUNDS))
    miss_us = min(_look_up_us(memories, segments, number, known=False) for number in range(ROUNDS))
    return Held(grown / held, hit_us, miss_us, add_s / held * 1e6)


def _look_up_us(memories: Sequence[DecisionMemory], segments: int, seed: int, *, known: bool) -> float:
    """Microseconds a look-up of traces from all over the time, partition by partition as batches come."""
    rng = random.Random(seed)
    spent_s, count = 0.0, 0
    for _ in range(max(1, LOOK_UPS // A_SEGMENT // 10)):
        partition = rng.randrange(len(memories))
        chosen: list[bytes] = []
        for _ in range(10):
            number = rng.randrange(segments // len(memories)) * len(memories) + partition
            chosen += ids_of(number if known else segments + rng.randrange(1 << 40))
        rng.shuffle(chosen)
        get = memories[partition].get
        start_s = time.process_time()
        for trace_id in chosen:
            get(trace_id)
        spent_s += time.process_time() - start_s
        count += len(chosen)
        assert (get(chosen[0]) is not None) is known
    return spent_s / count * 1e6


def ids_of(number: int, count: int = A_SEGMENT) -> Iterator[bytes]:
    """The trace ids of a segment, which its number alone determines."""
    together = random.Random(number).randbytes(ID_BYTES * count)
    return (together[i : i + ID_BYTES] for i in range(0, len(together), ID_BYTES))


def record_of(number: int, count: int, sequence: int) -> DecisionRecord:
    """The record of a segment."""
    verdict_of = array("H", [byte % len(VERDICTS) for byte in random.Random(number).randbytes(count)])
    ids = b"".join(ids_of(number, count))
    return DecisionRecord(Owner(1, 1), sequence, 0, sequence + 1, sequence * SEGMENT_MS, VERDICTS, ids, verdict_of)


def restored_s(decisions: int) -> float:
    """Seconds of CPU to decode the records of one partition, judge them and remember what they say."""
    records = [record_of(number, A_SEGMENT, number) for number in range(max(1, decisions // A_SEGMENT))]
    encoded = [(record.key, record.encode()) for record in records]
    memory = DecisionMemory()
    start_s = time.process_time()
    believed, _ = trustworthy([decode(key, value) for key, value in encoded])
    for record in believed:
        memory.restore(record)
    spent_s = time.process_time() - start_s
    assert len(memory) == len(records) * A_SEGMENT
    return spent_s


def recovered_s(decisions: int, a_record: int) -> tuple[float, float]:
    """Seconds until a worker with an empty disk has read the changelog, and then until it remembers everything."""
    setup = Setup("memory", "compiled", 10_000, {})
    with KafkaCluster(java_heap="1g") as kafka:
        kafka.create_topic("spans", PARTITIONS)
        with BenchmarkWorker(kafka, "spans", "recovery", setup) as worker:
            written = _write(kafka.bootstrap, worker.topics["decisions"], decisions, a_record)
            start_s = time.perf_counter()
            worker.process.start()
            wait_until(lambda: STARTED.search(worker.process.output()) is not None, START_S, "a worker that fetches")
            fetching_s = time.perf_counter()
            wait_until(
                lambda: sum(map(int, REMEMBERED.findall(worker.process.output()))) == written, START_S,
                f"{written} decisions", worker.process.output,
            )  # fmt: skip
            remembered_s = time.perf_counter() - fetching_s
            # By librdkafka, and what was then left to Faust.
            read_s = sum(map(float, READ.findall(worker.process.output())))
            read_s += worker.metric("tailsampler_recovery_seconds_sum")
            assert read_s < fetching_s - start_s
            return read_s, remembered_s


def _write(bootstrap: str, topic: str, decisions: int, a_record: int) -> int:
    """Write the changelog that workers would have left, and return how many decisions it holds."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "log_level": 0})
    records = max(1, decisions // a_record)
    for number in range(records):
        record = record_of(number, a_record, number // PARTITIONS)
        producer.produce(topic, key=record.key, value=record.encode(), partition=number % PARTITIONS)
        producer.poll(0)
    if producer.flush(60):
        raise RuntimeError(f"{topic} could not be written")
    return records * a_record


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    text = (__doc__ or "").split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=text)
    add = parser.add_argument
    add("--json", action="store_true", help="print one JSON object a line")
    add("--decisions", type=int, default=20_000_000, metavar="N", help="decisions remembered (20,000,000)")
    add("--recovered", type=int, default=1_000_000, metavar="N", help="decisions to recover (1,000,000)")
    add("--record", type=int, default=50, metavar="N", help="of them in a record of the changelog (50)")
    add("--no-kafka", action="store_true", help="leave out the recovery from a real Kafka")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
