"""Spans from files: OTLP JSON, one request a line (the file exporter's form), and protobuf TracesData.

Either may be compressed with gzip. What a file is shows in its bytes; a name with `.json` or `.jsonl` always means
JSON.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sampler.otlp.json_reader import JsonError, request_from_json

_GZIP = b"\x1f\x8b"
_JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
_JSON_STARTS = (b"{", b"[", b" ", b"\t", b"\r", b"\xef\xbb\xbf")
"""First bytes that no TracesData has: its first field's tag is 0x0a."""


class InputError(Exception):
    """A file that cannot be read as spans: which, where, and why. `line` counts from 1, 0 where there are none."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path}: {reason}")


@dataclass(frozen=True, slots=True)
class Record:
    """One request: the bytes of a TracesData, and where they stood."""

    path: str
    line: int
    value: bytes


def read_inputs(paths: Iterable[Path]) -> Iterator[Record]:
    """All requests of all files in order; InputError at the first that is none."""
    for path in paths:
        try:
            with path.open("rb") as file:
                yield from _read(path, _uncompressed(file))
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(str(path), 0, f"cannot be read: {_reason(error)}") from error


def _uncompressed(file: io.BufferedReader) -> BinaryIO:
    start = file.peek(2)[:2]  # a pipe cannot be turned back
    return io.BufferedReader(gzip.GzipFile(fileobj=file)) if start == _GZIP else file


def _read(path: Path, file: BinaryIO) -> Iterator[Record]:
    name = str(path)
    start = file.read(3)
    if not start:
        return
    if not start.startswith(_JSON_STARTS) and not _JSON_SUFFIXES & set(path.suffixes):
        yield Record(name, 0, start + file.read())
        return
    rest = file.readline()
    for number, line in enumerate(_lines(start + rest, file), start=1):
        text = line.strip()
        if number == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        if text:
            yield Record(name, number, _request(name, number, text))


def _lines(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file of which `first` has been read: up to the end of a line, or of several."""
    yield from first.splitlines()
    yield from file


def _request(name: str, number: int, text: bytes) -> bytes:
    try:
        return request_from_json(text)
    except JsonError as error:
        reason = str(error).replace("the body", "the line")
        raise InputError(name, number, f"{reason} (expected one OTLP JSON request a line)") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
