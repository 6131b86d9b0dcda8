"""Attributes that go by several names: whoever asks for one of them sees all.

Names change (`http.status_code` became `http.response.status_code`), and a fleet is never renamed on one day. With
aliases a condition on an attribute holds where any of its names satisfies it; nothing else of a condition changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeExists,
    AttributeIn,
    AttributeInRange,
    AttributeIs,
    AttributeMatches,
    Field,
    FieldsMatch,
    FieldsMatcher,
    Negated,
    SpanCondition,
)

# Renames of the OpenTelemetry semantic conventions (the migration guides and the registry's deprecation notes up to
# 1.44), old names first. Only names of one and the same thing: where a rename also changed the type or the meaning of
# the value (rpc.grpc.status_code, net.transport, http.host, enduser.role, …) a condition on the one says nothing about
# the other. A name may stand in several groups; a group is not joined to another by the names they share.
SEMCONV_GROUPS: tuple[tuple[str, ...], ...] = (
    ("http.method", "http.request.method"),
    ("http.status_code", "http.response.status_code"),
    ("http.url", "url.full"),
    ("http.target", "url.path"),
    ("http.scheme", "url.scheme"),
    ("http.user_agent", "user_agent.original"),
    ("http.client_ip", "client.address"),
    ("http.flavor", "net.protocol.version", "network.protocol.version"),
    ("http.request_content_length", "http.request.body.size"),
    ("http.response_content_length", "http.response.body.size"),
    ("http.resend_count", "http.request.resend_count"),
    ("net.peer.name", "server.address"),
    ("net.peer.port", "server.port"),
    ("net.host.name", "server.address"),
    ("net.host.port", "server.port"),
    ("net.peer.ip", "net.sock.peer.addr", "network.peer.address"),
    ("net.sock.peer.port", "network.peer.port"),
    ("net.host.ip", "net.sock.host.addr", "network.local.address"),
    ("net.sock.host.port", "network.local.port"),
    ("net.app.protocol.name", "net.protocol.name", "network.protocol.name"),
    ("db.system", "db.system.name"),
    ("db.statement", "db.query.text"),
    ("db.operation", "db.operation.name"),
    ("db.name", "db.namespace"),
    ("db.sql.table", "db.collection.name"),
    ("db.mongodb.collection", "db.collection.name"),
    ("db.cassandra.table", "db.collection.name"),
    ("db.cosmosdb.container", "db.collection.name"),
    ("messaging.destination", "messaging.destination.name"),
    ("messaging.operation", "messaging.operation.type"),
    ("messaging.message_id", "messaging.message.id"),
    ("messaging.conversation_id", "messaging.message.conversation_id"),
    ("messaging.client_id", "messaging.client.id"),
    ("messaging.kafka.consumer_group", "messaging.kafka.consumer.group", "messaging.consumer.group.name"),
    ("messaging.eventhubs.consumer.group", "messaging.consumer.group.name"),
    ("messaging.kafka.message.offset", "messaging.kafka.offset"),
    ("rpc.system", "rpc.system.name"),
    ("peer.service", "service.peer.name"),
    ("deployment.environment", "deployment.environment.name"),
    ("faas.execution", "faas.invocation_id"),
    ("faas.id", "cloud.resource_id"),
    ("code.filepath", "code.file.path"),
    ("code.lineno", "code.line.number"),
    ("code.column", "code.column.number"),
    ("otel.library.name", "otel.scope.name"),
    ("otel.library.version", "otel.scope.version"),
    ("container.runtime", "container.runtime.name"),
    ("vcs.repository.ref.name", "vcs.ref.head.name"),
    ("vcs.repository.ref.revision", "vcs.ref.head.revision"),
)


class Aliases:
    """Groups of names; immutable."""

    def __init__(self, groups: Iterable[Sequence[str]] = ()) -> None:
        """Each group lists names of one thing. ValueError where a group has an empty name or fewer than two."""
        self.groups = tuple(tuple(dict.fromkeys(group)) for group in groups)
        self._names: dict[str, tuple[str, ...]] = {}
        for group in self.groups:
            if len(group) < 2 or not all(group):
                raise ValueError(f"a group of attribute names needs two different ones, none empty, not {list(group)}")
            for name in group:
                known = self._names.get(name, (name,))
                self._names[name] = tuple(dict.fromkeys((*known, *group)))

    def __bool__(self) -> bool:
        return bool(self.groups)

    def names(self, key: str) -> tuple[str, ...]:
        """`key`, then its other names."""
        return self._names.get(key, (key,))

    def applied(self, condition: SpanCondition) -> SpanCondition:
        """The condition with every attribute asked for under all its names.

        A test on one value holds where any of the names satisfies it. A `FieldsMatch` gets, for each attribute, the
        value of the first name that is there, the name it asked for before the others.
        """
        return self._applied(condition) if self.groups else condition

    def _applied(self, condition: SpanCondition) -> SpanCondition:
        match condition:
            case AllOf(terms):
                return AllOf(tuple(self._applied(term) for term in terms))
            case AnyOf(terms):
                return AnyOf(tuple(dict.fromkeys(_alternatives(self._applied(term) for term in terms))))
            case Negated(term):
                return Negated(self._applied(term))
            case AttributeIn() | AttributeMatches() | AttributeInRange() | AttributeIs() | AttributeExists():
                names = self.names(condition.key)
                return AnyOf(tuple(replace(condition, key=name) for name in names)) if len(names) > 1 else condition
            case FieldsMatch():
                return self._fields_match(condition)
            case _:
                return condition

    def _fields_match(self, condition: FieldsMatch) -> FieldsMatch:
        wanted = [[Field(each.part, name) for name in self.names(each.key)] for each in condition.fields]
        fields = tuple(field for names in wanted for field in names)
        if fields == condition.fields:
            return condition
        ends = [sum(len(names) for names in wanted[: index + 1]) for index in range(len(wanted))]
        spans = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        test = condition.matcher.test

        def first_present(values: tuple[bytes | None, ...]) -> bool:
            return test(tuple(next((value for value in values[at] if value is not None), None) for at in spans))

        description = f"{condition.matcher.description} with aliases {[[field.key for field in n] for n in wanted]}"
        return FieldsMatch(fields, FieldsMatcher(description, first_present, condition.matcher.remember))


def _alternatives(terms: Iterable[SpanCondition]) -> Iterator[SpanCondition]:
    """The terms of an `AnyOf`, those of one inside it in its place: a leaf asked twice would be evaluated twice."""
    for term in terms:
        if isinstance(term, AnyOf):
            yield from term.terms
        else:
            yield term


NO_ALIASES = Aliases()
SEMCONV = Aliases(SEMCONV_GROUPS)
