"""From the configuration to a transformation at work."""

from __future__ import annotations

from sampler.config.secrets import read_secret
from sampler.config.transform import Transform as TransformConfig
from sampler.config.transform import TransformRule
from sampler.redaction.drops import Drop
from sampler.redaction.limits import Limits
from sampler.redaction.regexes import Expression
from sampler.redaction.rules import Count, Rule
from sampler.redaction.transform import Transform
from sampler.redaction.values import Edit, Hash, Mask, Rewrite


def transform_of(
    config: TransformConfig,
    count: Count = lambda name, times: None,
    *,
    spared: frozenset[str] = frozenset(),
    own_spans: bool = False,
) -> Transform | None:
    """What the block asks for, None where that is nothing. `spared` attributes are never cut off by max_attributes.

    With `own_spans` the pipeline's spans of itself are dropped too. ConfigError where the file of the salt cannot be
    read.
    """
    if not config.active and not own_spans:
        return None
    salt = (read_secret(config.salt, config.salt_file, "transform.salt_file") or "").encode()
    drops = [
        Drop(
            name,
            span_names=drop.span_names,
            span_name_pattern=_expression(drop.span_name_pattern),
            attributes=drop.attributes,
            resource_attributes=drop.resource_attributes,
            whole_trace=drop.whole_trace,
        )
        for name, drop in config.named_drops
    ]
    if own_spans:
        drops.append(Drop("own_spans", resource_attributes={OWN_ATTRIBUTE: ("true",)}))
    return Transform(
        drops=drops,
        rules=[_rule(name, rule, salt) for name, rule in config.named_rules],
        limits=Limits(config.max_value_length or 0, config.max_attributes or 0, config.upsert, spared),
        count=count,
    )


OWN_ATTRIBUTE = "tailsampler.own"
"""The resource attribute that marks the pipeline's spans of itself."""


def _rule(name: str, rule: TransformRule, salt: bytes) -> Rule:
    pattern = _expression(rule.pattern)
    return Rule(
        name,
        _edit(rule, pattern, salt),
        keys=rule.keys,
        key_pattern=_expression(rule.key_pattern),
        all_keys=rule.all_keys,
        pattern=pattern,
        levels=rule.levels if rule.keys or rule.key_pattern or rule.pattern else (),
        texts=rule.texts_in_force,
    )


def _edit(rule: TransformRule, pattern: Expression | None, salt: bytes) -> Edit | None:
    replacement = rule.replacement.encode()
    if rule.action == "mask":
        return Mask(replacement, pattern)
    if rule.action == "hash":
        return Hash(salt, pattern)
    if rule.action == "rewrite":
        assert pattern is not None  # the configuration insists on one
        return Rewrite(pattern, replacement)
    return None


def _expression(pattern: str | None) -> Expression | None:
    return None if pattern is None else Expression(pattern)
