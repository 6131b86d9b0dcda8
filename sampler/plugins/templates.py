"""What `tailsampler policies new` writes: `$name` is the policy's type, `$class_name` its class."""

from __future__ import annotations

from string import Template

PLUGIN = Template('''\
"""The policy type $name: change what it keeps, then its tests.

Try it:  tailsampler policies test $name.py
Use it:  name this file, or its folder, under `plugins:` in the policy file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from policies import ALWAYS, NEVER, Context, Intent, Policy, PolicyConfig, TraceView
from policies.conditions import AllOf, AttributeIn, SpanDurationInRange, Where
from pydantic import Field


class $class_name(Policy):
    """Keeps traces with a slow span of one of some services."""

    # The name in policy files. `tailsampler policies list` shows the first line above.
    type = "$name"
    # Settings that show its use, for `tailsampler policies describe`.
    example: ClassVar[Mapping[str, Any]] = {"services": ["checkout"], "min_ms": 500}

    class Config(PolicyConfig):
        """Both must hold on the same span."""

        # Wrong settings are errors when the policy file is loaded.
        # YAML has lists only, so that a tuple needs strict=False.
        services: tuple[str, ...] = Field(min_length=1, strict=False)
        """Values of the resource attribute service.name."""
        min_ms: int = Field(default=500, ge=0)
        """Shortest duration of the span, in milliseconds."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        """Declare what `evaluate` asks.

        Conditions are answered while the spans arrive, which costs next to nothing.
        For what none can say there is `reads = Reads.SUMMARY` (numbers of the whole
        trace) and `reads = Reads.SPANS` (everything, decoded for each trace).
        """
        super().__init__(config, context)
        service = AttributeIn(
            "service.name",
            frozenset(config.services),
            Where.RESOURCE,
        )
        slow = SpanDurationInRange(low_ns=config.min_ms * 1_000_000)
        self._slow = AllOf((service, slow))
        self.conditions = (self._slow,)

    def evaluate(self, trace: TraceView) -> Intent:
        """Give ALWAYS, NEVER or a share, such as `rset.from_percentage(10)`.

        Called for many traces, in any order, perhaps twice: no clock, no random
        numbers, no I/O, nothing remembered.
        """
        return ALWAYS if trace.matches(self._slow) else NEVER

    def describe(self) -> str:
        """Half a sentence that says which traces it keeps."""
        services = ", ".join(self.config.services)
        return f"a span of {services} that takes at least {self.config.min_ms} ms"
''')

TESTS = Template('''\
"""Tests of $name, for pytest and for `tailsampler policies test`."""

from __future__ import annotations

from policies.testing import PolicyConformance, ask, resource, span, trace

from $name import $class_name

CONFIG = {"services": ["checkout"], "min_ms": 500}
# Times are milliseconds; each resource has its own spans.
SLOW = trace(
    resource({"service.name": "frontend"}, span("GET /", 0, 900, root=True)),
    resource({"service.name": "checkout"}, span("POST /order", 100, 800)),
)
QUICK = trace(
    resource({"service.name": "frontend"}, span("GET /", 0, 900, root=True)),
    resource({"service.name": "checkout"}, span("POST /order", 100, 200)),
)


class Test$class_name(PolicyConformance):
    """What every policy owes: pure, honest, indifferent to the order of spans."""

    policy = $class_name
    configs = (CONFIG, {"services": ["a", "b"]})
    traces = (SLOW, QUICK)


def test_keeps_a_slow_span_of_the_service() -> None:
    """Long enough, and of the right service."""
    assert ask($class_name, CONFIG, SLOW).sampled


def test_leaves_what_is_quick_or_of_another_service() -> None:
    """Both must hold on one span."""
    assert not ask($class_name, CONFIG, QUICK).sampled
    assert not ask($class_name, {"services": ["payment"]}, SLOW).sampled
''')
