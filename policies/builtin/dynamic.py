"""Keeps so much in all, shared out among keys: much of rare ones, little of frequent ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from policies.claims import Candidate, Settlement, Tick
from policies.contract import Context, Limiter, PolicyConfig, Reads
from policies.dynamic.fields import KeyFields, KeyReader
from policies.dynamic.partition import Partition
from policies.dynamic.plans import Rules
from policies.dynamic.stored import MAX_KEYS as MAX_STORED_KEYS
from policies.dynamic.warm import Knowledge
from policies.fields import Milliseconds
from policies.intent import Claim, Intent
from policies.state import state_key
from policies.tokens import CAPS_NOTHING
from policies.trace import TraceView

Amount = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
OneIn = Annotated[float, Field(ge=1, le=1e12, allow_inf_nan=False)]
Unit = Literal["spans", "traces", "bytes"]
_UNITS: dict[str, Unit] = {"spans_per_second": "spans", "traces_per_second": "traces", "bytes_per_second": "bytes"}


class Goal(PolicyConfig):
    """How much is kept on average: exactly one of the four."""

    mean_rate: OneIn | None = None
    """One in so many is kept of all traffic; it counts spans, or what `mean_rate_of` says."""
    spans_per_second: Amount | None = None
    """Spans a second of stream time, of all partitions together."""
    traces_per_second: Amount | None = None
    """Traces a second."""
    bytes_per_second: Amount | None = None
    """Bytes on the wire a second."""
    mean_rate_of: Unit = "spans"
    """What `mean_rate` counts."""

    @model_validator(mode="after")
    def _one(self) -> Goal:
        given = [name for name in ("mean_rate", *_UNITS) if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of mean_rate, spans_per_second, traces_per_second and bytes_per_second, "
                f"not {len(given)}"
            )
        if "mean_rate_of" in self.model_fields_set and self.mean_rate is None:
            raise ValueError("mean_rate_of says what mean_rate counts; without mean_rate it says nothing")
        return self

    @property
    def unit(self) -> Unit:
        """What traffic is counted in."""
        return next((unit for name, unit in _UNITS.items() if getattr(self, name) is not None), self.mean_rate_of)

    @property
    def per_second(self) -> float | None:
        """The amount that is kept a second; None for a mean rate."""
        return next((value for name in _UNITS if (value := getattr(self, name)) is not None), None)

    def text(self) -> str:
        """As `describe` says it."""
        if self.per_second is not None:
            return f"{self.per_second:g} {self.unit} a second"
        return f"1 in {self.mean_rate:g} {self.unit}"


class Dynamic(Limiter):
    """Keeps as much as the goal says, and of each key a share that grows with log10 of its traffic.

    The key of a trace is made of the fields that are listed. How much comes of each key is learned, interval by
    interval of stream time and over all partitions; all traces of a key then have the same probability of being kept.
    """

    type = "dynamic"
    exchanges: ClassVar[bool] = True

    class Config(PolicyConfig):
        """What makes a key, how much is kept, and how traffic is learned."""

        key: KeyFields
        """What traces of one kind have in common: words such as `service`, or `{root: http.route}`."""
        goal: Goal
        """How much is kept on average."""
        interval_ms: Milliseconds = Field(default=15_000, ge=1_000, le=3_600_000)
        """How long traffic is counted before chances are made anew."""
        mode: Literal["ema", "windowed"] = "ema"
        """`ema`: a moving average, in which old intervals fade; `windowed`: the mean of the last `window_intervals`."""
        ema_weight: float = Field(default=0.5, gt=0, le=1, allow_inf_nan=False)
        """How much the latest interval counts in the moving average."""
        window_intervals: int = Field(default=10, ge=2, le=60)
        """How many intervals a window takes in."""
        burst_multiple: float = Field(default=2.0, ge=0, le=1e6, allow_inf_nan=False)
        """Traffic of so many times what was expected is a burst, and counts at once; 0 turns that off."""
        max_keys: int = Field(default=500, ge=1, le=10_000)
        """Keys that have a share of their own: those of most traffic. All others together are sampled at the mean."""
        starting_rate: OneIn | None = None
        """Of a key that is not known yet 1 in so many traces is kept; without, as much as of all traffic."""
        max_key_characters: int = Field(default=256, ge=32, le=1024)
        """A longer key is cut, and ends with a hash of the whole."""

        @model_validator(mode="after")
        def _mode_settings(self) -> Dynamic.Config:
            for name, mode in (("ema_weight", "ema"), ("window_intervals", "windowed")):
                if name in self.model_fields_set and self.mode != mode:
                    raise ValueError(f"{name} has a meaning with mode: {mode} only")
            if 0 < self.burst_multiple <= 1:
                raise ValueError("burst_multiple must be above 1, or 0 for none: at 1 all that comes is a burst")
            return self

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        goal = config.goal
        self._reader = KeyReader(config.key, config.max_key_characters)
        self.reads = Reads.SPANS if self._reader.needs_spans else Reads.SUMMARY
        per_second, windowed = goal.per_second, config.mode == "windowed"
        self._rules = Rules(
            interval_ms=config.interval_ms,
            per_interval=None if per_second is None else per_second * config.interval_ms / 1000,
            one_in=goal.mean_rate or 1.0,
            max_keys=config.max_keys,
            mode=config.mode,
            weight=1 / config.window_intervals if windowed else config.ema_weight,
            window=config.window_intervals,
            burst=config.burst_multiple,
            first_chance=None if config.starting_rate is None else 1 / config.starting_rate,
        )
        self._knowledge = Knowledge(self._rules)
        self._key = ""
        self._latest: Partition | None = None
        if per_second is not None:
            self.notes_beside_others = (CAPS_NOTHING,)
        if config.max_keys > MAX_STORED_KEYS:
            self.notes = (
                f"max_keys {config.max_keys}: where partitions do not exchange their counts, a partition keeps account "
                f"of {MAX_STORED_KEYS} keys",
            )

    def cost(self, trace: TraceView) -> float:
        """The trace in the unit of the goal."""
        match self.config.goal.unit:
            case "spans":
                return trace.span_count
            case "bytes":
                return trace.size_bytes
            case "traces":
                return 1

    def evaluate(self, trace: TraceView) -> Intent:
        """Claims its cost under its key."""
        return Claim(self.context.path, self.cost(trace), self._reader.read(trace))

    def initial_state(self) -> dict[str, Any]:
        """Nothing known."""
        return {}

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Counts the candidates by key, and gives each key the chance that was planned for it."""
        key = self._key = self._key or state_key(self)
        partition = self._knowledge.of(tick, state, key)
        partition.advance(tick, key)
        settlement = partition.take(tick, candidates)
        partition.publish(tick, key)
        self._latest = partition
        self._knowledge.put(partition, tick, state)
        return settlement

    def rates(self) -> Mapping[str, float]:
        """As the partition goes by that was settled last: all go by the same sums."""
        plan = None if self._latest is None else self._latest.plan
        if plan is None:
            return {}
        traffic = plan.expected.traffic
        chances = ((key, plan.chance(key)) for key in sorted(traffic, key=traffic.__getitem__, reverse=True))
        return {key: 1 / chance for key, chance in chances if chance > 0}

    def describe(self) -> str:
        """Says what it keeps."""
        fields = ", ".join(field.text() for field in self.config.key)
        return f"about {self.config.goal.text()}, shared by log10 of traffic among keys of {fields}"
