"""`policies.yaml`: the Collector's `tail_sampling` block, and the policy set that it describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from policies.errors import PolicyConfigError
from policies.policy_set import PolicySet, build_policy_set
from sampler.config.base import Section
from sampler.config.document import Document, parse_document, read_document, typed
from sampler.config.errors import ConfigError, KeyPath, Problem
from sampler.config.units import Duration, DurationField, PositiveDuration, Size, parse_duration
from sampler.config.validate import build_model

Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class IncomingByService(Section):
    """Probabilities of head samplers by `service.name`."""

    default: Probability = 1.0
    """For services not named."""
    services: dict[str, Probability] = Field(default={})


def _incoming(value: Any) -> Any:
    return value if isinstance(value, Mapping | IncomingByService) else {"default": value}


def _strategy(value: str) -> str:
    if value == "span-ingest":
        raise ValueError(
            "span-ingest is not supported: it decides before a trace is whole; use trace-complete (the default)"
        )
    if value != "trace-complete":
        raise ValueError("must be trace-complete")
    return value


class PolicyDecisionCache(Section):
    """The memory of decisions. Sizes are the Collector's; here decisions are remembered by time."""

    sampled_cache_size: int = Field(default=0, ge=0)
    """Accepted for compatibility, not used: decisions are remembered for `ttl`."""
    non_sampled_cache_size: int = Field(default=0, ge=0)
    """Accepted for compatibility, not used: decisions are remembered for `ttl`."""
    ttl: PositiveDuration | None = None
    """How long a decision is remembered, in stream time; without, worker.decision_cache.ttl."""


class TailSampling(Section):
    """When a trace is decided, and by which policies. A superset of the Collector's `tail_sampling` processor."""

    decision_wait: DurationField = parse_duration("30s")
    """Time from the first span of a trace to its decision."""
    decision_wait_after_root_received: DurationField = parse_duration("0s")
    """Decide this long after the root span came, if that is earlier; 0 is off."""
    num_traces: int = Field(default=50_000, ge=0)
    """Advisory: nothing is evicted at this number; see worker.trace_table.max_traces."""
    expected_new_traces_per_sec: int = Field(default=0, ge=0)
    """Accepted for compatibility; has no effect, as in the Collector."""
    decision_cache: PolicyDecisionCache = PolicyDecisionCache()
    sample_on_first_match: bool = False
    """Record the first policy that keeps a trace and ask no further limiters; which traces are kept stays the same."""
    drop_pending_traces_on_shutdown: bool = False
    """Accepted for compatibility: at a stop nothing is decided early or dropped, the next worker goes on."""
    block_on_overflow: bool = False
    """Accepted for compatibility: fetching never stops because many traces wait."""
    num_shards: int = Field(default=1, ge=1)
    """Accepted for compatibility: work is divided by partitions and workers."""
    tail_storage: str | None = None
    """Accepted for compatibility: see worker.trace_table."""
    maximum_trace_size_bytes: Size = 0
    """A trace larger than this is not sampled, at once; 0 is no limit."""
    maximum_spans_per_trace: int = Field(default=0, ge=0)
    """A trace with so many spans is decided at once; 0 is no limit."""
    sampling_strategy: Annotated[str, AfterValidator(_strategy)] = "trace-complete"
    """Only trace-complete."""
    randomness: Literal["auto", "collector_hash", "trace_id"] = "auto"
    """Where the randomness of a trace comes from. `auto`: an explicit rv, else the trace id where a span carries th,
    else the Collector's hash of the id."""
    hash_salt: str | None = None
    """Salt of the hash for all policies, in place of theirs; without, "default-hash-seed"."""
    incoming_probability: Annotated[
        IncomingByService, BeforeValidator(_incoming, json_schema_input_type=Probability | IncomingByService)
    ] = IncomingByService()
    """Share of traces that head samplers in front of us keep, where they do not write it into the tracestate: one
    number, or `default` and `services` by service.name."""
    policies: list[dict[str, Any]] = Field(min_length=1)
    """The policies: `{name, type, <type>: {...}}` each."""

    def notes(self) -> tuple[str, ...]:
        """What of the block works in another way than in a Collector; said once, at load."""
        said = {
            "num_traces": "is advisory: nothing is evicted at that number; the limits are worker.trace_table's",
            "expected_new_traces_per_sec": "has no effect",
            "drop_pending_traces_on_shutdown": "has no effect: at a stop undecided traces are left for the next worker",
            "num_shards": "has no effect: work is divided by partitions and workers",
            "tail_storage": "has no effect: spans wait where worker.trace_table says",
            "block_on_overflow": "has no effect: at the limits of worker.trace_table the oldest traces are decided",
        }
        notes = [f"{key} {text}" for key, text in said.items() if key in self.model_fields_set and getattr(self, key)]
        cache = self.decision_cache
        notes += [
            f"decision_cache.{key} has no effect: decisions are remembered by time (ttl), not by number"
            for key in ("sampled_cache_size", "non_sampled_cache_size")
            if getattr(cache, key)
        ]
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy file, ready to use."""

    path: str
    tail_sampling: TailSampling
    policy_set: PolicySet
    notes: tuple[str, ...]
    """What its reader should know: settings that work in another way here."""

    @property
    def incoming_probability(self) -> float | Mapping[str, float]:
        """One value for all, or by service.name; services not named have `incoming_probability_default`."""
        incoming = self.tail_sampling.incoming_probability
        return incoming.services or incoming.default

    @property
    def incoming_probability_default(self) -> float:
        """For services that `incoming_probability` does not name."""
        return self.tail_sampling.incoming_probability.default

    @property
    def decision_ttl(self) -> Duration | None:
        """How long decisions are remembered, where the policy file says it; it goes before worker.decision_cache."""
        return self.tail_sampling.decision_cache.ttl


def load_policies(path: Path | str, environment: Mapping[str, str] | None = None) -> PolicyFile:
    """The policies of a file; ConfigError with every mistake found in it."""
    return _policies_of(read_document(Path(path), environment))


def parse_policies(text: str, path: str = "policies", environment: Mapping[str, str] | None = None) -> PolicyFile:
    """As `load_policies`, from text; `path` is named in errors."""
    return _policies_of(parse_document(text, path, environment or {}))


def _policies_of(document: Document) -> PolicyFile:
    base, block = _find_block(document)
    problems: list[Problem] = []
    settings: TailSampling | None = None
    try:
        settings = build_model(TailSampling, _given(block), document, base)
    except ConfigError as error:
        problems.extend(error.problems)
    policy_set: PolicySet | None = None
    specs = block.get("policies")
    if isinstance(specs, list) and specs and not any(p.key.endswith("policies") for p in problems):
        try:
            policy_set = _build(typed(specs), settings)
        except PolicyConfigError as error:
            problems.extend(_policy_problems(document, (*base, "policies"), typed(specs), settings, error))
    if problems or settings is None or policy_set is None:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0))
    return PolicyFile(document.path, settings, policy_set, (*settings.notes(), *policy_set.notes))


def _build(specs: list[Any], settings: TailSampling | None) -> PolicySet:
    return build_policy_set(
        specs,
        randomness=settings.randomness if settings else "auto",
        hash_salt=settings.hash_salt if settings else None,
        sample_on_first_match=settings.sample_on_first_match if settings else False,
    )


def _policy_problems(
    document: Document, base: KeyPath, specs: list[Any], settings: TailSampling | None, whole: PolicyConfigError
) -> list[Problem]:
    """Every policy built alone, so that all that are wrong are told; `whole` where only the list as such is."""
    problems = []
    for index, spec in enumerate(specs):
        try:
            _build([spec], settings)
        except PolicyConfigError as error:
            loc = (index, *error.loc[1:]) if error.loc else (index,)
            problems.append(document.problem((*base, *loc), error.message, error.suggestion))
    return problems or [document.problem((*base, *whole.loc), whole.message, whole.suggestion)]


def _find_block(document: Document) -> tuple[KeyPath, dict[str, Any]]:
    """Where the `tail_sampling` block stands, and the block."""
    data = document.data
    if not isinstance(data, dict):
        raise ConfigError([document.problem((), "is empty or no mapping: it needs a 'tail_sampling:' block")])
    if "policies" in data:
        return (), data
    base: KeyPath = ()
    if isinstance(data.get("processors"), dict):
        base, data = ("processors",), data["processors"]
    found = [key for key in data if key == "tail_sampling" or str(key).startswith("tail_sampling/")]
    if not found:
        raise ConfigError([document.problem(base, "has no 'tail_sampling:' block and no 'policies:'")])
    if len(found) > 1:
        raise ConfigError([document.problem((*base, found[1]), f"a second block beside {found[0]}: keep one a file")])
    path = (*base, found[0])
    block = data[found[0]]
    if not base and len(data) > 1:
        extra = next(key for key in data if key != found[0])
        raise ConfigError([document.problem((extra,), f"unknown key beside {found[0]}")])
    if not isinstance(block, dict):
        raise ConfigError([document.problem(path, "must be a mapping with 'policies:'")])
    return path, block


def _given(block: dict[str, Any]) -> dict[str, Any]:
    """The block without empty values, which mean the default."""
    return {key: value for key, value in block.items() if value is not None}
