"""The way through the demo."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final

from sampler.clock import monotonic_s
from sampler.config import PolicyFile, load_policies
from sampler.demo.children import ChildError
from sampler.demo.closing import Result, chosen_trace, estimate_table, faults, kept_table
from sampler.demo.progress import Progress, Snapshot
from sampler.demo.publish import Publisher, PublishError
from sampler.demo.reader import SampledReader
from sampler.demo.stack import PARTITIONS, Stack, WorkerState
from sampler.demo.style import Style
from sampler.demo.waterfall import waterfall
from sampler.generate import Player, Trace, find_recording, generate_traces, read_recording

PLAY_S: Final = 15.0
SEED: Final = 20220822
GENERATED_TRACES: Final = 6000
STALL_S: Final = 30.0
"""How long nothing may be decided, beyond the decision wait, before the demo gives up."""
LOOK_S: Final = 0.25
EXIT_INTERRUPTED: Final = 130
SHOWN_FAULTS: Final = 5


class DemoError(RuntimeError):
    """The demo did not come to its end; the message says why."""


def run_demo(
    keep_running: bool = False, policies: Path | None = None, *, play_s: float = PLAY_S, limit: int | None = None
) -> int:
    """Run the demo on standard output: at most `limit` traces, sent over `play_s` seconds.

    The exit code: 0 where every kept trace was whole, 1 where one was not or the pipeline failed, 130 after Ctrl-C
    before the end. ConfigError where `policies` is no policy file.
    """
    with as_file(files("sampler.demo") / "policies.yaml") as own, _interruptible():
        path = policies or own
        demo = Demo(load_policies(path), path, own_policies=policies is None, play_s=play_s, limit=limit)
        try:
            return demo.run(keep_running)
        except KeyboardInterrupt:
            demo.say("", "Stopped; nothing is left running.")
            return 0 if demo.complete else EXIT_INTERRUPTED
        except (ChildError, PublishError, DemoError) as error:
            demo.say("")
            print(f"error: {error}", file=sys.stderr)
            return 1


class Demo:
    """One run of the demo."""

    def __init__(
        self, policies: PolicyFile, path: Path, *, own_policies: bool, play_s: float, limit: int | None
    ) -> None:
        self.complete = False
        self._policies = policies
        self._path = path
        self._own_policies = own_policies
        self._play_s = play_s
        self._limit = limit
        self._out = sys.stdout
        self._style = Style.of(self._out)
        self._pause = threading.Event()

    def run(self, keep_running: bool) -> int:
        """From the start of the processes to the closing table; with `keep_running` until Ctrl-C."""
        started_s = monotonic_s()
        self.say(self._style.bold("tailsampler demo: every trace is seen whole before it is decided"), "")
        with TemporaryDirectory(prefix="tailsampler-demo-") as folder, Stack(self._path, Path(folder)) as stack:
            traces, source = load_traces(self._limit)
            self._introduce(stack, traces, source)
            stack.wait_ready()
            self.say(f"  ready after {monotonic_s() - started_s:.1f} s", "")
            reader = SampledReader(stack.bootstrap, stack.topics.sampled, PARTITIONS)
            publisher = Publisher(Player(traces, self._play_s), f"localhost:{stack.ports.grpc}")
            try:
                reader.start()
                publisher.start()
                state = self._watch(stack, publisher, reader, traces)
            finally:
                publisher.stop()
                reader.stop()
            result = Result(traces, reader.kept, state, self._policies.policy_set.names, self._own_policies)
            code = self._close(result, monotonic_s() - started_s)
            self.complete = True
            if keep_running:
                self._stay(stack, Path(folder))
            return code

    def say(self, *lines: str) -> None:
        """Print lines."""
        for line in lines:
            print(self._style.plain(line), file=self._out, flush=True)

    def _introduce(self, stack: Stack, traces: Sequence[Trace], source: str) -> None:
        spans = sum(len(trace.spans) for trace in traces)
        wait = self._policies.tail_sampling.decision_wait
        names = ", ".join(self._policies.policy_set.names)
        rows = [
            ("traces", source),
            (
                "",
                f"{len(traces):,} traces, {spans:,} spans, sent over {self._play_s:.0f} s as the services' SDKs would",
            ),
            ("policies", names if len(names) <= 84 else f"{len(self._policies.policy_set.names)} policies"),
            ("", f"{self._path}, decision_wait {wait}"),
            ("pipeline", f"OTLP/gRPC -> agent (localhost:{stack.ports.grpc}) -> Kafka (embedded) -> worker -> Kafka"),
        ]
        self.say(*(f"  {self._style.bold(f'{name:<10}')}{text}" for name, text in rows))

    def _watch(self, stack: Stack, publisher: Publisher, reader: SampledReader, traces: Sequence[Trace]) -> WorkerState:
        """Show progress until every trace is decided and everything kept has been read."""
        total = sum(len(trace.spans) for trace in traces)
        progress = Progress(self._out, self._style)
        wait_s = self._policies.tail_sampling.decision_wait.ms / 1000 + STALL_S
        moved_s, before = monotonic_s(), (0, 0)
        while True:
            stack.check()
            reader.check()
            sent, state, now_s = publisher.done, stack.worker_state(), monotonic_s()
            decided = state.decided if state else 0
            if (publisher.sent_spans, decided) != before:
                moved_s, before = now_s, (publisher.sent_spans, decided)
            over = sent and state is not None and decided >= len(traces) and _all_read(state, reader)
            kept = reader.kept
            progress.show(
                Snapshot(
                    now_s, publisher.sent_spans, total, state.waiting if state else 0, decided, len(kept.traces),
                    kept.span_count,
                ),
                last=over,
            )  # fmt: skip
            if over and state is not None:
                return state
            if now_s - moved_s > wait_s:
                raise DemoError(
                    f"nothing moved for {wait_s:.0f} s: {publisher.sent_spans:,} of {total:,} spans sent, "
                    f"{decided:,} of {len(traces):,} traces decided\n{stack.logs()}"
                )
            self._pause.wait(LOOK_S)

    def _close(self, result: Result, took_s: float) -> int:
        style = self._style
        self.say("", style.bold("Kept"), *kept_table(result), "")
        self.say(style.bold("What the kept traces tell of all: each counts as often as its sampling.rate says"))
        self.say(*estimate_table(result), "")
        trace = chosen_trace(result.kept)
        if trace is not None:
            services = len({each.service for each in trace.spans})
            self.say(
                style.bold(f"One kept trace: {trace.trace_id.hex()}"),
                f"  kept by {trace.policy}, sampling.rate {trace.rate:g}, "
                f"{len(trace.spans)} spans of {services} services",
                "",
                *waterfall(trace.spans, style),
                "",
            )
        wrong = faults(result.sent, result.kept)
        if wrong:
            self.say(style.bad(f"✗ {len(wrong):,} of {len(result.kept.traces):,} kept traces are not whole:"))
            self.say(*(f"  {each}" for each in wrong[:SHOWN_FAULTS]))
        else:
            self.say(
                style.good(
                    f"✓ all {len(result.kept.traces):,} kept traces are whole: each of their "
                    f"{result.kept.span_count:,} spans is there, and once"
                )
            )
        if result.state.late_spans:
            self.say(f"  {result.state.late_spans:,} spans came after their trace's decision and followed it")
        self.say(f"  {took_s:.0f} s in all")
        return 1 if wrong else 0

    def _stay(self, stack: Stack, folder: Path) -> None:
        ports, topics = stack.ports, stack.topics
        self.say(
            "",
            self._style.bold("Everything is still up. To send your own spans:"),
            f"  OTLP/gRPC   OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:{ports.grpc} OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
            f"  OTLP/HTTP   OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:{ports.http}",
            f"  Kafka       {stack.bootstrap}: spans into {topics.spans}, kept ones out of {topics.sampled}",
            f"  agent       http://localhost:{ports.agent_web}/metrics, /readyz; log {folder}/agent.log",
            f"  worker      http://localhost:{ports.worker_web}/metrics, /readyz; log {folder}/worker.log",
            "All data is in memory only. Ctrl-C stops everything.",
        )
        while not self._pause.wait(1.0):
            stack.check()


def load_traces(limit: int | None = None) -> tuple[list[Trace], str]:
    """The traces to play, at most `limit`, and what they are."""
    path = find_recording()
    if path is not None:
        return read_recording(path, limit), f"recording of Google's Online Boutique with injected faults ({path.name})"
    return list(
        generate_traces(SEED, min(limit or GENERATED_TRACES, GENERATED_TRACES))
    ), "a made-up web shop, the same on every machine"


def _all_read(state: WorkerState, reader: SampledReader) -> bool:
    return reader.records >= state.records_out and len(reader.kept.traces) >= state.traces.get("sampled", 0)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, once: what comes while we clean up is ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
