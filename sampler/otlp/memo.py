"""The remembered answers of tests written in Python, and how often they raised."""

from __future__ import annotations

from collections.abc import Callable

from policies.conditions import FieldsMatcher, Matcher

MEMO_ENTRIES = 65_536
MEMO_BYTES = 8 * 2**20
MEMO_VALUE_BYTES = 1024

# In the key of a tuple of values each value has its length before it, in 2 bytes, little-endian; this length says that
# there is no value. The compiled scanner writes the same keys.
ABSENT = 0xFFFF
_ABSENT_KEY = ABSENT.to_bytes(2, "little")


class _Answers:
    """Answers by key: at most 65,536 of them and 8 MiB of keys; one that is full is emptied."""

    __slots__ = ("answers", "errors", "size")

    def __init__(self) -> None:
        self.answers: dict[bytes, bool] = {}
        self.errors = 0
        self.size = 0
        """Bytes of the keys."""

    def _keep(self, key: bytes, *, answer: bool) -> None:
        self.size += len(key)
        if len(self.answers) >= MEMO_ENTRIES or self.size > MEMO_BYTES:
            self.answers.clear()
            self.size = len(key)
        self.answers[key] = answer


class Memo(_Answers):
    """The answers of one matcher, asked once per distinct value while it is remembered.

    Values above 1 KiB are asked every time: remembering them would hold their memory.
    """

    __slots__ = ("test",)

    def __init__(self, matcher: Matcher) -> None:
        super().__init__()
        self.test: Callable[[str], bool] = matcher.test

    def ask(self, value: bytes) -> bool:
        """Whether the matcher takes the value, read as UTF-8 with faults replaced; a matcher that raises does not."""
        answer = self.answers.get(value)
        if answer is None:
            try:
                answer = bool(self.test(value.decode("utf-8", "replace")))
            except (Exception, SystemExit):
                self.errors += 1
                answer = False
            if len(value) <= MEMO_VALUE_BYTES:
                self._keep(value, answer=answer)
        return answer


class FieldsMemo(_Answers):
    """The answers of one fields matcher, asked once per distinct tuple of values while it is remembered.

    A tuple counts with the sum of its values. A matcher that wants nothing remembered is asked every time.
    """

    __slots__ = ("remember", "test")

    def __init__(self, matcher: FieldsMatcher) -> None:
        super().__init__()
        self.test: Callable[[tuple[bytes | None, ...]], bool] = matcher.test
        self.remember = matcher.remember

    def ask(self, values: tuple[bytes | None, ...]) -> bool:
        """Whether the matcher takes the values; one that raises does not."""
        key = fields_key(values) if self.remember else None
        answer = None if key is None else self.answers.get(key)
        return self.answer(key, values) if answer is None else answer

    def answer(self, key: bytes | None, values: tuple[bytes | None, ...]) -> bool:
        """Ask the matcher itself and remember what it says under `key`, None for not at all."""
        try:
            answer = bool(self.test(values))
        except (Exception, SystemExit):
            self.errors += 1
            answer = False
        if key is not None:
            self._keep(key, answer=answer)
        return answer


def fields_key(values: tuple[bytes | None, ...]) -> bytes | None:
    """What a tuple of values is remembered under; None where they are too large for that."""
    if sum(len(value) for value in values if value is not None) > MEMO_VALUE_BYTES:
        return None
    return b"".join(_ABSENT_KEY if value is None else len(value).to_bytes(2, "little") + value for value in values)
