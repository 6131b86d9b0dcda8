"""Keeps traces that are not whole."""

from __future__ import annotations

from policies.conditions import TraceHasRoot
from policies.contract import Context, Policy, PolicyConfig, Reads
from policies.intent import Intent, first_of
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView


class Incomplete(Policy):
    """Keeps a trace when no root span of it came, or when a span names a parent that did not come.

    It judges what is there when the trace is decided: a span that comes later does not change the answer.
    """

    type = "incomplete"

    class Config(PolicyConfig):
        """What counts as incomplete; at least one of them."""

        no_root: bool = True
        """No root span (one without parent span id) came."""
        orphaned_parents: bool = False
        """The parent of a span did not come. This reads the spans, so every trace is decoded for it."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        if not (config.no_root or config.orphaned_parents):
            raise ValueError("keeps nothing: set no_root or orphaned_parents to true")
        if config.orphaned_parents:
            self.reads = Reads.SPANS
        self._root = TraceHasRoot()
        self.conditions = (self._root,) if config.no_root else ()

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER, under the name of what is missing."""
        if self.config.no_root and not trace.matches(self._root):
            return first_of([("no_root", ALWAYS)])
        if self.config.orphaned_parents and _has_orphan(trace):
            return first_of([("orphaned_parents", ALWAYS)])
        return NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        missing = ["no root span" if self.config.no_root else "", "a missing parent" * self.config.orphaned_parents]
        return " or ".join(part for part in missing if part)


def _has_orphan(trace: TraceView) -> bool:
    ids: set[bytes] = set()
    parents: set[bytes] = set()
    for unit in trace.spans:
        for scope in unit.scope_spans:
            for span in scope.spans:
                ids.add(span.span_id)
                parents.add(span.parent_span_id)
    return any(any(parent) for parent in parents - ids)
