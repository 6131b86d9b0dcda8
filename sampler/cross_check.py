"""What is wrong with a configuration and a policy file together, though each is right alone."""

from __future__ import annotations

from collections.abc import Iterator

from sampler.config import Config, ConfigError, PolicyFile
from sampler.config.errors import Problem
from sampler.exporter.selection import RouteError, sources_of
from sampler.topic_specs import tenant_topics

LONG_WAIT_MS = 300_000
"""From here on waiting spans are too many for memory alone."""


def problems(config: Config, policies: PolicyFile) -> tuple[Problem, ...]:
    """What a worker or an exporter with both would refuse."""
    try:
        tenant_topics(config.kafka, policies)
    except ConfigError as error:
        return error.problems
    return tuple(_route_problems(config, policies))


def _route_problems(config: Config, policies: PolicyFile) -> Iterator[Problem]:
    for number, backend in enumerate(config.exporter.backends):
        try:
            sources_of(backend.topics, backend.route, config.kafka.topics.sampled, policies)
        except RouteError as error:
            yield Problem(str(policies.path), None, f"exporter.backends[{number}] ({backend.name})", str(error))


def remarks(config: Config, policies: PolicyFile) -> Iterator[str]:
    """What a worker or an exporter with both would do otherwise than one may think."""
    block, worker = policies.tail_sampling, config.worker
    ttl = policies.decision_ttl or worker.decision_cache.ttl
    if policies.decision_ttl is None and block.retain_dropped.ms > ttl.ms:
        yield f"retain_dropped is {ttl} in effect: nothing is kept longer than its decision (worker.decision_cache.ttl)"
    if policies.decision_ttl is not None and policies.decision_ttl.ms != worker.decision_cache.ttl.ms:
        yield f"decisions are remembered for {ttl}: decision_cache.ttl of the policies goes before that of the worker"
    if block.decision_wait.ms >= LONG_WAIT_MS and not worker.trace_table.disk_limit_mib:
        yield (
            f"decision_wait is {block.decision_wait} and worker.trace_table.disk_limit_mib is 0: all waiting spans "
            "must fit into memory"
        )
    kept_ms = config.kafka.retention.ms
    if kept_ms and block.decision_wait.ms * 2 > kept_ms:
        yield (
            f"decision_wait is {block.decision_wait}, and the span topic keeps records for {config.kafka.retention}: a "
            "worker that is away for long finds the beginnings of its traces gone"
        )
    yield from _unknown_policies(config, policies)


def _unknown_policies(config: Config, policies: PolicyFile) -> Iterator[str]:
    tenants = policies.tail_sampling.tenants
    prefixes = ("", *(f"{name}/" for name in tenants.sets)) if tenants else ("",)
    known = {name.removeprefix(prefix) for name in policies.policy_set.names for prefix in prefixes}
    for number, backend in enumerate(config.exporter.backends):
        place = f"exporter.backends[{number}] ({backend.name})"
        for asked in (*backend.route.policies, *backend.route.exclude.policies):
            if not any(asked == name or asked.startswith(f"{name}/") or name.startswith(f"{asked}/") for name in known):
                yield f"{place}: its route names the policy {asked}, which is not here"
