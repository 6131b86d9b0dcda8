"""Whether the brokers let us in and allow what a process needs; asked before it begins, so that it says so at once."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from sampler.clock import monotonic_s

Operation: TypeAlias = Literal["Read", "Write", "Describe", "Create", "DescribeConfigs"]

LOGIN_S = 6.0
"""How long a login may take; beyond it the brokers count as not reachable, which is nothing for this check."""
CONNECT_S = 2.0
ANSWER_S = 10.0
POLL_S = 0.05

_REFUSED = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED,
     KafkaError.UNSUPPORTED_SASL_MECHANISM}
)  # fmt: skip
_FORBIDDEN = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})


@dataclass(frozen=True, slots=True)
class Need:
    """An operation that must be allowed on a topic or consumer group, in Kafka's words; one ACL."""

    kind: Literal["topic", "group"]
    name: str
    operation: Operation
    required: bool = True
    """Off where only a figure is missing without it."""

    def __str__(self) -> str:
        """As in a sentence."""
        return f"{self.operation} on {self.kind} {self.name}"


class AccessError(RuntimeError):
    """The brokers do not let us in, or forbid something; the text says what is wrong and what to do."""


class LoginRefusedError(AccessError):
    """The credentials, or the settings of TLS, are wrong: another start would not help."""


class ForbiddenError(AccessError):
    """ACLs are missing; `missing` are those."""

    def __init__(self, missing: Sequence[Need], user: str) -> None:
        listed = ", ".join(str(need) for need in missing)
        super().__init__(
            f"Kafka forbids {user or 'us'} what is needed: {listed}. `tailsampler topics acls` prints the ACLs to add"
        )
        self.missing = tuple(missing)


def check_access(conf: Mapping[str, Any], needs: Sequence[Need], login_s: float = LOGIN_S) -> None:
    """Log in and ask what is allowed. AccessError where the brokers refuse us, hang up on us, or forbid a need.

    Nothing is said of brokers that cannot be reached, of topics that do not exist, and by brokers that do not tell.
    """
    errors: list[KafkaError] = []
    try:
        settings: dict[str, Any] = {**conf, "error_cb": errors.append, "log_level": 0}  # the error says it all
        client = AdminClient(settings)
    except KafkaException as error:
        raise LoginRefusedError(f"{_servers(conf)}: the settings of kafka are refused: {error.args[0].str()}") from None
    if _logged_in(client, conf, errors, login_s):
        missing = _missing(client, needs)
        if missing:
            raise ForbiddenError(missing, f"User:{conf['sasl.username']}" if conf.get("sasl.username") else "")


def explained(error: KafkaError, topic: str, operation: Operation = "Write") -> str:
    """What Kafka says, with what to do where an ACL is missing."""
    if error.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}:
        return f"{error.str()}: the ACL {operation} on topic {topic} is missing (`tailsampler topics acls` prints all)"
    return str(error.str())


def _logged_in(client: AdminClient, conf: Mapping[str, Any], errors: list[KafkaError], login_s: float) -> bool:
    """Whether a broker answers; AccessError where one refuses us."""
    end_s, looked = monotonic_s() + login_s, False
    answer: Future[Any] = client.describe_cluster(request_timeout=login_s)
    while not answer.done() and monotonic_s() < end_s:
        client.poll(POLL_S)
        refusal = next((each for each in errors if _is_refusal(each)), None)
        if refusal is not None:
            raise LoginRefusedError(f"{_servers(conf)} does not let us in: {_plain(refusal)}. {_advice(refusal, conf)}")
        if not looked and errors:
            # A name may have several addresses of which only one has a listener: an error of one says nothing.
            looked = True
            if not _somebody_listens(conf):
                return False
    if answer.done() and answer.exception() is None:
        return True
    if looked and any(each.code() == KafkaError._ALL_BROKERS_DOWN for each in errors):
        raise AccessError(
            f"{_servers(conf)} hangs up on us without a word: does the listener there speak "
            f"{conf.get('security.protocol', 'PLAINTEXT')}, as kafka.tls and kafka.auth.sasl say?"
        )
    return False


def _somebody_listens(conf: Mapping[str, Any]) -> bool:
    """Whether a connection to one of the brokers is taken at all."""
    for server in str(conf["bootstrap.servers"]).split(","):
        host, _, port = server.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), CONNECT_S):
            return True
    return False


def _is_refusal(error: KafkaError) -> bool:
    return error.code() in _REFUSED or "SSL alert" in error.str()


def _plain(error: KafkaError) -> str:
    """The reason without the broker in front of it and the state behind it."""
    text = str(error.str())
    if "bootstrap: " in text:
        text = text.rpartition("bootstrap: ")[2]
    return text.partition(" (after ")[0]


def _advice(error: KafkaError, conf: Mapping[str, Any]) -> str:
    text = str(error.str())
    if "alert" in text:
        return "The broker does not take our certificate: check kafka.tls.cert_file (trusted there? expired?)"
    if error.code() == KafkaError._SSL:
        return "Check kafka.tls.ca_file, and the names in the broker's certificate"
    user = f" (user {conf['sasl.username']})" if conf.get("sasl.username") else ""
    return f"Check kafka.auth.sasl: {conf.get('sasl.mechanism', 'no login')}{user}"


def _servers(conf: Mapping[str, Any]) -> str:
    return f"Kafka at {conf['bootstrap.servers']}"


def _missing(client: AdminClient, needs: Sequence[Need]) -> list[Need]:
    """The needs that are not allowed; those that the brokers say nothing of count as allowed."""
    names = {kind: [*dict.fromkeys(each.name for each in needs if each.kind == kind)] for kind in ("topic", "group")}
    answers: dict[tuple[str, str], Future[Any]] = {}
    if names["topic"]:
        told = client.describe_topics(
            TopicCollection(names["topic"]), include_authorized_operations=True, request_timeout=ANSWER_S
        )
        answers.update({("topic", name): answer for name, answer in told.items()})
    if names["group"]:
        told = client.describe_consumer_groups(
            names["group"], include_authorized_operations=True, request_timeout=ANSWER_S
        )
        answers.update({("group", name): answer for name, answer in told.items()})
    allowed = {key: _allowed(answer) for key, answer in answers.items()}
    return [need for need in needs if need.required and not _is_allowed(need, allowed[need.kind, need.name])]


def _allowed(answer: Future[Any]) -> set[str] | None:
    """The operations that are allowed, in lower case and without underscores; None where it is not known."""
    try:
        operations = answer.result(ANSWER_S).authorized_operations
    except KafkaException as error:
        return set() if error.args[0].code() in _FORBIDDEN else None
    except TimeoutError:
        return None
    return {each.name.replace("_", "").lower() for each in operations} if operations else None


def _is_allowed(need: Need, allowed: set[str] | None) -> bool:
    return allowed is None or "all" in allowed or need.operation.lower() in allowed
