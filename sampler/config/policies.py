"""`policies.yaml`: the Collector's `tail_sampling` block, and the policy set that it describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from policies.aliases import NO_ALIASES
from policies.any_set import AnyPolicySet
from policies.budget import BudgetRule
from policies.errors import PolicyConfigError
from policies.policy_set import PolicySet, build_policy_set
from policies.registry import Registry, installed
from sampler.config.aliases import AttributeAliases
from sampler.config.base import Section
from sampler.config.budget import Budget, unknown_names
from sampler.config.coercion import coerce
from sampler.config.collector import add_group_wait, find_block, split_selector
from sampler.config.document import Document, parse_document, read_document, typed
from sampler.config.errors import ConfigError, KeyPath, Problem
from sampler.config.identity import PolicyIdentity, identity_of, name_of
from sampler.config.mistakes import all_mistakes
from sampler.config.notes import Notes
from sampler.config.plugins import plugin_sources, registry_of
from sampler.config.spellings import normalise
from sampler.config.tenants import TenantReader, Tenants, place_of
from sampler.config.units import Duration, DurationField, PositiveDuration, Size, parse_duration
from sampler.config.validate import build_model

AS_MAPPING = "must be a list, each policy behind a dash and with its name inside (- name: ...), not a mapping by name"

Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class IncomingByService(Section):
    """Probabilities of head samplers by `service.name`."""

    default: Probability = 1.0
    """For services not named."""
    services: dict[str, Probability] = Field(default={})


def _incoming(value: Any) -> Any:
    return value if isinstance(value, Mapping | IncomingByService) else {"default": value}


def _version(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Version = Annotated[str, BeforeValidator(_version, json_schema_input_type=str | int | float)]


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
    retain_dropped: DurationField = parse_duration("0s")
    """How long dropped traces are kept on disk, in stream time, so that late spans for which the policies would have
    kept a trace, or `tailsampler rescue`, bring it back whole; 0 is off. At most as long as decisions are kept."""
    sample_on_first_match: bool = False
    """Record the first policy that keeps a trace and ask no further limiters; which traces are kept stays the same."""
    drop_pending_traces_on_shutdown: bool = False
    """Drop the undecided traces of a worker that is told to stop, and whatever comes of them later. Without it they
    are left for the next worker, which decides them on all their spans."""
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
    attribute_aliases: AttributeAliases = AttributeAliases()
    """Further names of attributes that policies ask for; without, every policy sees only the name it is given."""
    version: Version = ""
    """A name for this state of the policies, such as a commit or a date; shown with the running set, else unused."""
    plugins: tuple[str, ...] = ()
    """Where policy types of your own are: folders, `.py` files (relative to this file), `package.module` or
    `package.module:Class`. They are code, run by every worker."""
    policies: list[dict[str, Any]] = Field(min_length=1)
    """The policies: `{name, type, <type>: {...}}` each."""
    budget: Budget | None = None
    """What all policies together may keep; without, they keep what they want. Tenants have budgets of their own."""
    tenants: Tenants | None = None
    """Policies of tenants, each with budgets and, if wanted, a topic of its own; `policies` are for all others."""

    def remarks(self) -> Iterator[tuple[KeyPath, str]]:
        """Keys of the block that work in another way than in a Collector, and how."""
        for key, text in _ELSEWHERE.items():
            if key in self.model_fields_set and getattr(self, key):
                yield (key,), text
        ttl = self.decision_cache.ttl
        if ttl is not None and self.retain_dropped.ms > ttl.ms:
            yield ("retain_dropped",), f"is {ttl} in effect: nothing is kept longer than its decision (decision_cache)"
        for key in ("sampled_cache_size", "non_sampled_cache_size"):
            if getattr(self.decision_cache, key):
                yield ("decision_cache", key), "has no effect: decisions are remembered by time (ttl), not by number"


_ELSEWHERE = {
    "num_traces": "is advisory: nothing is evicted at that number; the limits are worker.trace_table's",
    "expected_new_traces_per_sec": "has no effect",
    "sample_on_first_match": "changes only the recorded policy and which limiters spend tokens: a trace is kept if any "
    "policy keeps it",
    "drop_pending_traces_on_shutdown": "drops, when a worker is told to stop, also what comes later of the traces that "
    "it had not decided",
    "num_shards": "has no effect: work is divided by partitions and workers",
    "tail_storage": "has no effect: spans wait where worker.trace_table says",
    "block_on_overflow": "has no effect: at the limits of worker.trace_table the oldest traces are decided",
}


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy file, ready to use."""

    path: str
    """As it was named: `policies.yaml`, or `policies.yaml#tail_sampling/name`."""
    tail_sampling: TailSampling
    policy_set: AnyPolicySet
    notes: tuple[str, ...]
    """What its reader should know: settings that work in another way here, other spellings; each with its place."""
    name: str = ""
    """What stands behind the slash of `tail_sampling/name`, else the file's name without its ending."""
    specs: tuple[dict[str, Any], ...] = ()
    """The policies in the form of the reference, variables filled in."""
    registry: Registry = field(default_factory=installed, compare=False)
    """The policy types it can use."""
    plugins: tuple[str, ...] = ()
    """Where its plugins were found, paths absolute: those that it names and those of the command line."""
    given_plugins: tuple[str, ...] = ()
    """Those of the command line."""
    tenant_specs: Mapping[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    """The policies of each tenant, as `specs`."""
    problem: str = ""
    """What is wrong with the file as it is now, where these are the policies that ran before it was changed."""

    @property
    def tenant_topics(self) -> dict[str, str]:
        """The topics of tenants that have one of their own."""
        tenants = self.tail_sampling.tenants
        return {name: each.topic for name, each in tenants.sets.items() if each.topic} if tenants else {}

    @property
    def identity(self) -> PolicyIdentity:
        """What tells this set of policies from others."""
        return identity_of(self.name, self.tail_sampling.version, self.policy_set.content_hash, self.tail_sampling)

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


def load_policies(
    path: Path | str, environment: Mapping[str, str] | None = None, plugins: Sequence[str] = ()
) -> PolicyFile:
    """The policies of a file; ConfigError with every mistake found in it.

    `file.yaml#tail_sampling/name` names one block of a file that has several. `plugins` are looked for beside those
    that the file names, paths relative to where the process runs.
    """
    file, wanted = split_selector(path)
    found = policies_of(read_document(file, environment, lenient=True), wanted, plugins)
    return found if wanted is None else replace(found, path=str(path))


def parse_policies(
    text: str, path: str = "policies", environment: Mapping[str, str] | None = None, wanted: str | None = None
) -> PolicyFile:
    """As `load_policies`, from text; `path` is named in errors, `wanted` is the key of the block."""
    return policies_of(parse_document(text, path, environment or {}, lenient=True), wanted)


def policies_of(document: Document, wanted: str | None = None, plugins: Sequence[str] = ()) -> PolicyFile:
    """The policies of a document that was read with `lenient`; ConfigError with every mistake found in it."""
    notes = Notes(document)
    found = find_block(document, wanted, TailSampling.model_fields, notes)
    problems: list[Problem] = []
    settings: TailSampling | None = None
    block = {key: value for key, value in found.block.items() if value is not None}
    if _is_mapping_of_policies(block.get("policies")):
        problems.append(document.problem((*found.base, "policies"), AS_MAPPING))
        # What else is wrong in the block is told too.
        block["policies"] = [{"name": "a", "type": "always_sample"}]
    block = coerce(TailSampling, block, found.base, notes)
    try:
        block = add_group_wait(found, block, document, TailSampling.model_fields["decision_wait"].default, notes)
        settings = build_model(TailSampling, block, document, found.base)
    except ConfigError as error:
        problems.extend(error.problems)
    policy_set: AnyPolicySet | None = None
    specs = block.get("policies")
    place = (*found.base, "policies")
    named = settings.plugins if settings else _texts(block.get("plugins"))
    registry = _registry(document, (*found.base, "plugins"), named, plugins, problems)
    tenants = TenantReader(document, found.base, notes, problems)
    if registry and isinstance(specs, list) and specs and not any(p.key.endswith("policies") for p in problems):
        specs = typed(normalise(specs, place, document, registry, notes))
        build = partial(_build, settings=settings, registry=registry)
        default: PolicySet | None = None
        try:
            default = build(specs, budget=_rule(settings, specs, document, found.base, problems))
        except PolicyConfigError as error:
            problems += [
                document.problem((*place, *each.loc), each.message, each.suggestion)
                for each in all_mistakes(specs, build, error)
            ]
        tenants.read(block.get("tenants"), registry, build)
        policy_set = tenants.joined(default, settings.tenants, settings.attribute_aliases) if settings else default
    if problems or settings is None or policy_set is None or registry is None:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0))
    for key, text in settings.remarks():
        notes.add((*found.base, *key), text)
    for note in policy_set.notes:
        notes.add(tenants.place_of(note) or place_of(note, specs or [], place), note)
    return PolicyFile(
        document.path, settings, policy_set, notes.texts, name_of(document.path, found.base), tuple(specs or ()),
        registry, plugin_sources(document, named, plugins), tuple(plugins), tenants.specs,
    )  # fmt: skip


def _is_mapping_of_policies(policies: Any) -> bool:
    """Whether policies stand under names of theirs; a single one, without a list around it, is taken as it is."""
    return isinstance(policies, Mapping) and not {"name", "type"} & policies.keys()


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _registry(
    document: Document, place: KeyPath, named: Sequence[str], given: Sequence[str], problems: list[Problem]
) -> Registry | None:
    """The policy types that can be used; None, and the problems, where a plugin cannot."""
    try:
        return registry_of(document, place, named, given)
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def _rule(
    settings: TailSampling | None, specs: Sequence[Any], document: Document, base: KeyPath, problems: list[Problem]
) -> BudgetRule | None:
    """The budget of the default policies; None, and the problems, where it names a policy that is not there."""
    budget = settings.budget if settings else None
    names = [str(spec.get("name")) for spec in specs if isinstance(spec, Mapping)]
    wrong = unknown_names(budget, names, document, (*base, "budget"))
    problems.extend(wrong)
    return budget.rule if budget and not wrong else None


def _build(
    specs: list[Any],
    settings: TailSampling | None,
    registry: Registry,
    *,
    hash_salt: str | None = None,
    sample_on_first_match: bool | None = None,
    budget: BudgetRule | None = None,
) -> PolicySet:
    """A set under the settings of the block; salt and first match go before those of the block."""
    first_match = settings.sample_on_first_match if settings else False
    return build_policy_set(
        specs,
        randomness=settings.randomness if settings else "auto",
        hash_salt=hash_salt or (settings.hash_salt if settings else None),
        sample_on_first_match=first_match if sample_on_first_match is None else sample_on_first_match,
        registry=registry,
        aliases=settings.attribute_aliases.table() if settings else NO_ALIASES,
        budget=budget,
    )
