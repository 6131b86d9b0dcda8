"""Runs one fault scenario: a tier under live load, a fault, and the sampled topic held against the truth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.load import Load, LoadPlan
from tests.faults.truth import POLICIES, Truth, history, truth
from tests.faults.watch import LARGEST_TICK, Watch
from tests.harness.kafka import KafkaCluster
from tests.harness.process import REPOSITORY, http_ok
from tests.harness.reading import Record
from tests.harness.tier import Tier
from tests.harness.traffic import Found, read_sampled

RESULTS = REPOSITORY / "build" / "faults.jsonl"
SPANS_PER_S = 5000
PARTITIONS = 6
SESSION_TIMEOUT = "10s"
DECIDED_S = 120.0


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of a scenario, as it is printed and kept."""

    scenario: str
    traces: int
    expected: int
    found: int
    lost: int
    split: int
    duplicated: int
    duplicated_limit: int
    recover_s: float | None


class Stage:
    """What a scenario needs. `rows` gets its outcome; `prefix` names its topics, `folder` holds its files."""

    def __init__(self, kafka: KafkaCluster, folder: Path, prefix: str, rows: list[Row]) -> None:
        self.kafka = kafka
        self.folder = folder
        self._prefix = prefix
        self._rows = rows
        self._loads = 0
        self._tier: Tier | None = None
        self._watch: Watch | None = None
        self._crashes: list[tuple[int, int]] = []

    def tier(self, *, policies: dict[str, Any] | None = None, **options: Any) -> Tier:
        """The tier of the scenario; `options` as `Tier` takes them."""
        options = {"partitions": PARTITIONS, "session_timeout": SESSION_TIMEOUT, **options}
        self._tier = Tier(self.kafka, self._prefix, self.folder, policies or POLICIES, **options)
        return self._tier

    def load(self, seconds: float, *, through: str = "", acknowledged: Path | None = None, **plan: Any) -> Load:
        """Live load on the tier's span topic, to be entered with `with`.

        With `through` it goes to the agent at this address, and the file `acknowledged` gets what that acknowledged.
        """
        tier = self._running
        self._loads += 1
        go = self.folder / f"go-{self._loads}"
        described = LoadPlan(
            self.kafka.bootstrap, tier.topics["spans"], tier.partitions, str(go), seconds, seed=self._loads, **plan
        )
        if self._watch is None:
            self._watch = Watch(tier)
        log = self.folder / f"load-{self._loads}.log"
        if through:
            return Load(described, log, "tests.faults.otlp_load", [through, str(acknowledged)])
        return Load(described, log)

    def strike(self) -> None:
        """The fault comes now: recovery is over when all that is in the span topic at this moment is decided."""
        assert self._watch is not None, "a fault without load shows nothing"
        self._watch.strike()

    def crash(self, worker: int, partitions: int = PARTITIONS) -> None:
        """Now a worker loses so many partitions without its consent, and may repeat a tick of each."""
        tier = self._running
        tick = int(tier.metric(worker, LARGEST_TICK)) if http_ok(f"{tier.url(worker)}/livez") else 0
        self._crashes.append((partitions, tick))

    def finish(self, scenario: str, *, timeout_s: float = DECIDED_S, before: Sequence[Record] = ()) -> Row:
        """Wait until everything is decided, compare, note the row, and fail where something is lost, split or repeated
        too often. `before` are records of the span topic that are not there any more.
        """
        tier, watch = self._running, self._watch
        assert watch is not None
        try:
            tier.wait_decided(timeout_s)
        finally:
            watch.stop()
        source = self.kafka.read_all(tier.topics["spans"], 120)
        must = truth(source) if not before else truth(before).plus(truth(source))
        # A worker that had not told of its ticks yet may have been at the largest of all.
        limit = sum(partitions * (tick or watch.largest_tick) for partitions, tick in self._crashes)
        return self._judge(scenario, must, watch.recover_s, limit, [*before, *source])

    def _judge(
        self, scenario: str, must: Truth, recover_s: float | None, duplicated_limit: int, source: Sequence[Record]
    ) -> Row:
        """Compare the sampled topic with what it must hold; `source` is for the words of an error."""
        found = read_sampled(self.kafka.read_all(self._running.topics["sampled"], 120))
        row = compare(scenario, must, found, recover_s, duplicated_limit)
        text = json.dumps(asdict(row))
        print(text)
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a") as file:
            file.write(text + "\n")
        self._rows.append(row)
        unasked = found.trace_ids - must.kept.keys() - must.either.keys()
        assert not unasked, f"{len(unasked)} traces were kept that no policy keeps: {history(unasked, source)}"
        assert row.lost == 0, f"lost: {history(must.kept.keys() - found.trace_ids, source)}"
        assert row.split == 0, f"split: {_missing(must, found)}"
        assert row.duplicated <= row.duplicated_limit
        assert row.expected > must.traces // 10, "a scenario that keeps next to nothing shows nothing"
        assert must.spans_per_s >= SPANS_PER_S
        return row

    @property
    def _running(self) -> Tier:
        assert self._tier is not None, "no tier yet"
        return self._tier


def compare(scenario: str, must: Truth, found: Found, recover_s: float | None, duplicated_limit: int) -> Row:
    """Count what is there and what is not."""
    allowed = {**must.kept, **{t: spans for t, spans in must.either.items() if t in found.spans}}
    return Row(
        scenario,
        traces=must.traces,
        expected=len(allowed),
        found=len(found.trace_ids),
        lost=len(must.kept.keys() - found.trace_ids),
        split=sum(bool(spans.keys() - found.spans[t].keys()) for t, spans in allowed.items() if t in found.spans),
        duplicated=sum(_repeated(allowed.get(t, Counter()), spans) for t, spans in found.spans.items()),
        duplicated_limit=duplicated_limit,
        recover_s=recover_s,
    )


def _repeated(sent: Counter[bytes], found: Counter[bytes]) -> bool:
    """Whether some span is there more often than it was sent."""
    return any(n > max(1, sent[span]) for span, n in found.items())


def _missing(must: Truth, found: Found) -> str:
    """Of some split traces the spans that are not there."""
    missing = {
        trace_id.hex(): [span.hex() for span in spans.keys() - found.spans[trace_id].keys()]
        for trace_id, spans in must.kept.items()
        if trace_id in found.spans
    }
    return ", ".join(f"{trace_id} without {spans}" for trace_id, spans in sorted(missing.items()) if spans)[:2000]
