"""Spans as they may be kept: attributes removed or hidden, spans dropped, values cut, resources completed.

Works on wire bytes of TracesData. What cannot be affected is not decoded; what is decoded keeps its unknown fields.
"""

from sampler.redaction.build import transform_of
from sampler.redaction.transform import Transform

__all__ = ["Transform", "transform_of"]
