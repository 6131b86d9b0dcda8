"""Which of our files a document is, by what it holds."""

from __future__ import annotations

from typing import Literal

from policies.errors import nearest
from sampler.config.collector import KIND, SECTIONS, is_kind
from sampler.config.document import Document
from sampler.config.models import Config
from sampler.config.policies import TailSampling

Kind = Literal["config", "policies"]


def kind_of(document: Document) -> Kind:
    """`policies` for a file with a block of policies or a Collector's configuration, else `config`.

    Where no key is known, the nearest one decides, so that a mistyped key is told as one of its file.
    """
    data = document.data
    if not isinstance(data, dict):
        return "config" if data is None else "policies"
    if "apiVersion" in data:  # a Kubernetes object: it may hold a Collector's configuration, but never ours
        return "policies"
    block, config = set(TailSampling.model_fields), set(Config.model_fields)
    # `version` is a key of both.
    own = [key for key in data if key in block - config or key in SECTIONS or is_kind(key, KIND)]
    if own or not data.keys().isdisjoint(config - block):
        return "policies" if own else "config"
    strange = [hint for key in data if (hint := nearest(str(key), [KIND, *SECTIONS, *block, *config]))]
    return "policies" if any(hint not in config for hint in strange) else "config"
