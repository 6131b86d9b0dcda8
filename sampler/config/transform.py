"""The blocks `agent.transform:` and `worker.transform:`: what is removed from spans, hidden in them, or added."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from policies.regex import Regex, RegexError
from sampler.config.base import Section
from sampler.config.secrets import one_of_both

Level = Literal["resource", "scope", "span", "event", "link"]
Text = Literal["span_name", "event_name", "status_message"]
Action = Literal["delete", "hash", "mask", "rewrite"]

LEVELS: tuple[Level, ...] = ("resource", "scope", "span", "event", "link")
TEXTS: tuple[Text, ...] = ("span_name", "event_name", "status_message")
RESERVED_NAMES = ("truncate", "max_attributes", "upsert", "unreadable", "own_spans")
"""Under these names what is not done by a rule is counted."""


def _expression(text: str) -> str:
    try:
        Regex(text)
    except RegexError as error:
        raise ValueError(f"is no regular expression of RE2: {error}") from None
    if Regex(text).found_in(b""):
        raise ValueError("matches the empty text, so it would match everything")
    return text


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _values(value: Any) -> Any:
    """Values as texts, as they are compared: booleans in YAML's spelling, numbers as they are written."""
    items = value if isinstance(value, list | tuple) else [value]
    texts = [str(item).lower() if isinstance(item, bool) else item for item in items]
    return tuple(str(item) if isinstance(item, int | float) else item for item in texts)


Expression = Annotated[str, Field(min_length=1, max_length=16_384), AfterValidator(_expression)]
Key = Annotated[str, Field(min_length=1)]
Keys = Annotated[tuple[Key, ...], BeforeValidator(_several, json_schema_input_type=str | list[str])]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/ -]{1,64}$")]
Values = Annotated[
    tuple[str, ...],
    BeforeValidator(_values, json_schema_input_type=str | int | float | bool | list[str | int | float | bool]),
    Field(min_length=1),
]


class TransformRule(Section):
    """One thing that is done to attributes, and to names and messages where it says so."""

    name: Name | None = None
    """What it is counted as; without, its action and its place in the list: `delete-1`."""
    action: Action
    """`delete` removes the attribute, `hash` puts the salted SHA-256 of its value in the value's place, `mask` puts
    `replacement` there, `rewrite` puts it in place of what `pattern` matches."""
    keys: Keys = ()
    """Keys of the attributes; also of entries of map values, by their own name."""
    key_pattern: Expression | None = None
    """Keys in which this regular expression (RE2) is found; beside `keys` or in their place. `^` and `$` anchor it."""
    levels: Annotated[tuple[Level, ...], Field(min_length=1)] = LEVELS
    """Where the attributes stand."""
    texts: tuple[Text, ...] | None = None
    """Texts that are no attributes, to be hashed, masked or rewritten too. Without: all of them for a `rewrite` that
    names no keys, none for everything else."""
    pattern: Expression | None = None
    """What `rewrite` replaces, such as `token=[^&]+` (RE2). With other actions: only values in which it is found."""
    replacement: str = "****"
    """What `mask` and `rewrite` write; with `rewrite` \\1 is what the first group matched."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.action == "rewrite":
            if self.pattern is None:
                raise ValueError("rewrite needs a pattern: what is to be replaced")
            groups = len(Regex(self.pattern).names)
            for number in re.findall(r"\\(?:([0-9]+)|.)", self.replacement):
                if number and int(number) > groups:
                    raise ValueError(f"replacement speaks of group {number}, but the pattern has {groups}")
        if not (self.keys or self.key_pattern or self.pattern or self.texts):
            raise ValueError(f"{self.action} needs keys, a key_pattern or a pattern; it would apply to everything")
        if self.texts and self.action == "delete":
            raise ValueError("names and messages cannot be deleted; mask them")
        return self

    @property
    def all_keys(self) -> bool:
        """Whether the rule looks at attributes of any key."""
        return not self.keys and self.key_pattern is None and self.pattern is not None

    @property
    def texts_in_force(self) -> tuple[Text, ...]:
        """The texts it looks at."""
        if self.texts is not None:
            return self.texts
        return TEXTS if self.action == "rewrite" and self.all_keys else ()


class DropSpans(Section):
    """Spans that are dropped: those for which all that is said here holds."""

    name: Name | None = None
    """What it is counted as; without, `drop` and its place in the list: `drop-1`."""
    span_names: Keys = ()
    """The span has one of these names."""
    span_name_pattern: Expression | None = None
    """This regular expression (RE2) is found in its name."""
    attributes: dict[Key, Values] = Field(default={})
    """Each of these attributes of the span has the value, or one of the values; numbers and booleans as texts."""
    resource_attributes: dict[Key, Values] = Field(default={})
    """The same of the resource."""
    whole_trace: bool = False
    """Drop all spans of its trace that came in the same request or record. Spans of it that come otherwise stay: to
    drop whole traces for sure, use a `drop` policy at the workers."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.span_names or self.span_name_pattern or self.attributes or self.resource_attributes):
            raise ValueError("says nothing about the spans to drop; it would drop all")
        return self


class Transform(Section):
    """What is done to spans, in this order: drop_spans, rules, max_value_length, max_attributes, upsert.

    Without any of them nothing is done, and it costs nothing.
    """

    salt: Annotated[SecretStr, Field(min_length=8)] | None = None
    """What is put before a value before it is hashed; best from a variable, `${env:REDACTION_SALT}`. All that should
    give the same hash for the same value must have the same."""
    salt_file: str | None = None
    """A file with the salt, in place of `salt`."""
    drop_spans: tuple[DropSpans, ...] = ()
    rules: tuple[TransformRule, ...] = ()
    """In order: each sees what those before it have left."""
    max_value_length: Annotated[int, Field(ge=16)] | None = None
    """Longer texts and byte strings of attributes are cut to so many bytes, at the border of a character."""
    max_attributes: Annotated[int, Field(ge=1)] | None = None
    """Most attributes of a span; what comes behind them is removed, and counted in its dropped_attributes_count."""
    upsert: dict[Key, str | bool | int | float] = Field(default={})
    """Attributes that every resource gets, in place of those it has of the same key. Empty texts are left out, so that
    `${env:POD_NAME:-}` does nothing where the variable is not set."""

    @model_validator(mode="after")
    def _salted(self) -> Self:
        one_of_both("salt", self.salt, self.salt_file, needed=any(rule.action == "hash" for rule in self.rules))
        names = [name for name, _ in (*self.named_drops, *self.named_rules)]
        twice = next((name for name in names if names.count(name) > 1 or name in RESERVED_NAMES), None)
        if twice is not None:
            raise ValueError(f"the name {twice} is used twice, or stands for something else")
        return self

    @property
    def active(self) -> bool:
        """Whether there is anything to do."""
        return bool(
            self.drop_spans or self.rules or self.max_value_length or self.max_attributes or any_set(self.upsert)
        )

    @property
    def named_rules(self) -> tuple[tuple[str, TransformRule], ...]:
        """The rules with the names they are counted as."""
        return tuple((rule.name or f"{rule.action}-{place}", rule) for place, rule in enumerate(self.rules, 1))

    @property
    def named_drops(self) -> tuple[tuple[str, DropSpans], ...]:
        """The conditions of spans to drop with the names they are counted as."""
        return tuple((drop.name or f"drop-{place}", drop) for place, drop in enumerate(self.drop_spans, 1))


def any_set(upsert: dict[str, str | bool | int | float]) -> bool:
    """Whether any of the values is more than an empty text."""
    return any(value != "" for value in upsert.values())
