"""OTTL conditions: the OpenTelemetry Transformation Language, as a Collector's `ottl_condition` policy evaluates it.

`compile_list` turns the conditions of a policy into conditions of `policies.conditions`; what they can say stands in
docs/ottl.md. Yardstick: `pkg/ottl` of the Collector's contrib distribution 0.155.
"""

from policies.ottl.compile import Compiled, compile_list
from policies.ottl.errors import EvaluationError, OttlError

__all__ = ["Compiled", "EvaluationError", "OttlError", "compile_list"]
