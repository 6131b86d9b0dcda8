"""The policy kernel: what a policy is, how policies combine, and how a tick of traces is decided.

Pure code: no I/O, no clock, no Kafka. Authors of policies start at `policies.contract` and `policies.testing`.
"""

from policies.claims import Admission, Candidate, Settlement, Tick, admit
from policies.contract import Context, Limiter, Policy, PolicyConfig, Reads, SubPolicy
from policies.errors import ContractError, PolicyConfigError
from policies.intent import Claim, Intent, first_match, first_of, intersect, invert
from policies.policy_set import PolicySet, TraceInput, build_policy_set
from policies.randomness import Randomness, RandomnessMode, RandomnessSource, randomness_of
from policies.registry import Registry, installed
from policies.rset import ALWAYS, NEVER, SPACE, RSet
from policies.trace import Summary, TraceView
from policies.verdict import Decision, Verdict

__all__ = [
    "ALWAYS",
    "NEVER",
    "SPACE",
    "Admission",
    "Candidate",
    "Claim",
    "Context",
    "ContractError",
    "Decision",
    "Intent",
    "Limiter",
    "Policy",
    "PolicyConfig",
    "PolicyConfigError",
    "PolicySet",
    "RSet",
    "Randomness",
    "RandomnessMode",
    "RandomnessSource",
    "Reads",
    "Registry",
    "Settlement",
    "SubPolicy",
    "Summary",
    "Tick",
    "TraceInput",
    "TraceView",
    "Verdict",
    "admit",
    "build_policy_set",
    "first_match",
    "first_of",
    "installed",
    "intersect",
    "invert",
    "randomness_of",
]
