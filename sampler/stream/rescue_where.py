"""What an operator writes behind `--where`: an OTTL condition on a span, attributes by their bare names if wanted."""

from __future__ import annotations

import re

from policies.ottl import OttlError, compile_list
from policies.ottl.paths import CONTEXTS, PATHS
from sampler.otlp import ScanPlan, compile_plan

_RESOURCE = frozenset(
    {"service", "telemetry", "deployment", "host", "k8s", "container", "cloud", "process", "os", "device", "faas"}
)
"""First parts of the names of attributes that semantic conventions give to resources."""
_OTTL = frozenset({*CONTEXTS["span"], *PATHS["span"], "attributes", "cache"})
MAX_LENGTH = 4096
"""Characters of a condition."""
_TEXT_OR_NAME = re.compile(r'"(?:\\.|[^\\"])*"|(?<![\w.])([a-z][a-z0-9_]*)(?:\.[a-z0-9_]+)+(?![\w.\[(])')


def where_plan(text: str) -> ScanPlan:
    """A scan plan whose first condition holds for the spans that are meant; OttlError where the text is wrong."""
    if len(text) > MAX_LENGTH:
        raise OttlError(f"more than {MAX_LENGTH} characters", text, MAX_LENGTH)
    compiled = compile_list((with_full_names(text),), "span", strict=False)
    return compile_plan((compiled.holds,))


def with_full_names(text: str) -> str:
    """The condition with bare names of attributes written out: `service.name` and `http.route` are no paths of OTTL.

    A name that begins as those of resources do is taken for an attribute of the resource, others for one of the span.
    """

    def full(found: re.Match[str]) -> str:
        first = found[1]
        if first is None or first in _OTTL:
            return found[0]
        return f'{"resource" if first in _RESOURCE else "span"}.attributes["{found[0]}"]'

    return _TEXT_OR_NAME.sub(full, text)
