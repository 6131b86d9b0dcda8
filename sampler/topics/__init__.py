"""The Kafka topics of the product: what they must be like, making them, and telling where existing ones differ."""

from sampler.topics.admin import NotDescribedError, Outcome, TopicError, check_topics, ensure_topics
from sampler.topics.findings import ExistingTopic, Finding, Severity, compare
from sampler.topics.specs import BROKER_DEFAULT, Role, TopicPlan, TopicSpec

__all__ = [
    "BROKER_DEFAULT",
    "ExistingTopic",
    "Finding",
    "NotDescribedError",
    "Outcome",
    "Role",
    "Severity",
    "TopicError",
    "TopicPlan",
    "TopicSpec",
    "check_topics",
    "compare",
    "ensure_topics",
]
