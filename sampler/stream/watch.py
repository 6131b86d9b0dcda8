"""What the watchdog sees of a worker, and the end of the process when it barks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import faust
from faust.types import TP

from sampler.stream.fatal import die
from sampler.stream.pipeline import Pipeline
from sampler.stream.span_source import SpanSource
from sampler.stream.transport import TailConsumer
from sampler.stream.watchdog import PartitionView, View, Watchdog


class AppView:
    """What the Faust app knows of itself."""

    def __init__(self, app: faust.App, span_topic: str) -> None:
        self._app = app
        self._span_topic = span_topic

    def committed(self, partition: int) -> int:
        """The offset of a partition of the span topic that was committed last, 0 where none was."""
        return cast(TailConsumer, self._app.consumer).committed_offset(TP(self._span_topic, partition))

    def to_recover(self) -> int:
        """How many records of the decision tables are still to be read back."""
        return int(cast(Any, self._app.tables).recovery.active_remaining_total())


class Watch:
    """Shows a worker to its watchdog."""

    def __init__(
        self,
        watchdog: Watchdog,
        pipeline: Pipeline,
        source: SpanSource,
        app: AppView,
        wall_ms: Callable[[], int],
        on_stall: Callable[[str], None] = die,
    ) -> None:
        self._watchdog = watchdog
        self._pipeline = pipeline
        self._source = source
        self._app = app
        self._wall_ms = wall_ms
        self._on_stall = on_stall
        self.to_recover = 0
        """Records still to be read back, at the last look."""

    def look(self, now_s: float, *, member: bool, recovering: bool, may_fetch: bool) -> None:
        """Look once; call it about once a second."""
        to_recover = self._app.to_recover() if recovering else None
        self.to_recover = to_recover or 0
        stall = self._watchdog.look(
            View(
                now_s,
                self._wall_ms(),
                member,
                may_fetch,
                self._source.fetches,
                to_recover,
                self._partitions(now_s),
            )
        )
        if stall:
            self._on_stall(f"stalled: {stall}")

    def _partitions(self, now_s: float) -> dict[int, PartitionView]:
        engines = {engine.partition: engine for engine in self._pipeline.engines}
        watermarks = self._pipeline.watermarks()
        views = {}
        for number, at in self._source.views(now_s).items():
            engine = engines.get(number)
            views[number] = PartitionView(
                *at,
                stream_ms=-1 if engine is None else engine.time.now_ms,
                undecided=0 if engine is None else len(engine.table),
                watermark=watermarks.get(number, 0),
                committed=self._app.committed(number) if number in watermarks else 0,
            )
        return views
