r"""A key as text: the values of its fields, written so that different values never make the same text.

Fields are separated by commas, several values of one field by bars. A backslash stands before a comma, a bar or a
backslash that is part of a value; `\-` is a field that is absent, which is not the same as an empty value. Texts that
begin with another escape are free for other uses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

ABSENT = "\\-"
"""A field that the trace does not have."""
CUT = "\\#"
"""Stands before the hash at the end of a key that is cut."""
_HASH_CHARACTERS = 16
_SPECIAL = str.maketrans({"\\": "\\\\", ",": "\\,", "|": "\\|"})


def join(fields: Iterable[Iterable[str]]) -> str:
    """The key of the distinct values of each field: they are sorted, so that their order does not matter."""
    return ",".join(
        "|".join(sorted(value.translate(_SPECIAL) for value in values)) if (values := set(field)) else ABSENT
        for field in fields
    )


def split(key: str) -> list[list[str]]:
    """The inverse of `join`, for keys that are not cut: sorted values by field, none for an absent one."""
    return [
        [] if field == ABSENT else sorted(_plain(value) for value in _parts(field, "|")) for field in _parts(key, ",")
    ]


def cut(key: str, limit: int) -> str:
    """A key of at most `limit` characters, 32 or more; one that is longer ends with a 64-bit hash of the whole."""
    if len(key) <= limit:
        return key
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_HASH_CHARACTERS // 2).hexdigest()
    return f"{key[: limit - len(CUT) - _HASH_CHARACTERS]}{CUT}{digest}"


def _parts(text: str, separator: str) -> Sequence[str]:
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def _plain(value: str) -> str:
    characters, escaped = [], False
    for character in value:
        escaped = character == "\\" and not escaped
        if not escaped:
            characters.append(character)
    return "".join(characters)
