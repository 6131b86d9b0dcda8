"""Plugins that do to a worker from inside what a fault in it would; each brings a policy that keeps nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.faults.truth import POLICIES

_POLICY = """

from policies.contract import Policy, Reads
from policies.intent import NEVER


class Nothing(Policy):
    '''Keeps nothing.'''

    type = "nothing"
    reads = Reads.SUMMARY

    def evaluate(self, trace):
        return NEVER

    def describe(self):
        return "nothing"
"""


def with_plugin(file: Path, code: str) -> dict[str, Any]:
    """The policies of the scenarios and a plugin that runs `code`, which is written to the file."""
    file.write_text(code + _POLICY)
    return {
        **POLICIES,
        "plugins": [str(file)],
        "policies": [*POLICIES["policies"], {"name": "nothing", "type": "nothing"}],
    }
