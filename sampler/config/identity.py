"""What tells one set of policies from another: its name, its version and the hash of all that takes effect."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from sampler.config.errors import KeyPath

SHORT: Final = 12
"""Hexadecimal digits of a hash that people compare."""

EFFECTIVE: Final[dict[str, Any]] = {
    "decision_wait": True,
    "decision_wait_after_root_received": True,
    "decision_cache": {"ttl"},
    "retain_dropped": True,
    "maximum_trace_size_bytes": True,
    "maximum_spans_per_trace": True,
    "incoming_probability": True,
}
"""Settings of the block beside its policies that change what happens to a trace. What the policy set itself is made
from is in the set's own hash."""


@dataclass(frozen=True, slots=True)
class PolicyIdentity:
    """Two workers with equal identities decide alike; those of different content hashes may not."""

    name: str
    version: str
    content_hash: str
    """SHA-256 in hexadecimal, of the settings with their defaults filled in: comments, order of keys and spellings of
    one value do not count."""

    @property
    def short_hash(self) -> str:
        """The first digits of the content hash."""
        return self.content_hash[:SHORT]

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return f"{self.name}{version} ({self.short_hash})"


def identity_of(name: str, version: str, policy_set_hash: str, block: BaseModel) -> PolicyIdentity:
    """The identity of a set with this hash under the settings of its block."""
    settings = block.model_dump(mode="json", include=EFFECTIVE)
    said = json.dumps({"policies": policy_set_hash, "settings": settings}, sort_keys=True)
    return PolicyIdentity(name, version, hashlib.sha256(said.encode()).hexdigest())


def name_of(path: str, block: KeyPath) -> str:
    """The name in the block's key `tail_sampling/name`; without one, the file's name without its ending."""
    key = str(block[-1]) if block else ""
    return key.partition("/")[2] or Path(path).stem
