"""The few functions of librdkafka's mock cluster that the embedded broker calls, over ctypes.

They are those of `rdkafka.h` and `rdkafka_mock.h`, taken from the very library that the confluent-kafka package is
linked with: nothing is compiled and nothing else has to be installed.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka

PRODUCER = 0
"""`RD_KAFKA_PRODUCER`: the kind of the handle that owns a mock cluster."""

ERROR_TEXT_BYTES = 512
"""Room for the message of a failed `rd_kafka_new`."""

_POINTER = ctypes.c_void_p
_ID = ctypes.c_int32
_CODE = ctypes.c_int
_TEXT = ctypes.c_char_p
_SIZE = ctypes.c_size_t

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_conf_set": (_CODE, [_POINTER, _TEXT, _TEXT, _TEXT, _SIZE]),
    "rd_kafka_new": (_POINTER, [ctypes.c_int, _POINTER, _TEXT, _SIZE]),
    "rd_kafka_destroy": (None, [_POINTER]),
    "rd_kafka_err2str": (_TEXT, [_CODE]),
    "rd_kafka_mock_cluster_new": (_POINTER, [_POINTER, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_bootstraps": (_TEXT, [_POINTER]),
    "rd_kafka_mock_set_controller_id": (_CODE, [_POINTER, _ID]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [_POINTER, _ID]),
    "rd_kafka_mock_topic_create": (_CODE, [_POINTER, _TEXT, ctypes.c_int, ctypes.c_int]),
    "rd_kafka_mock_broker_set_down": (_CODE, [_POINTER, _ID]),
    "rd_kafka_mock_broker_set_up": (_CODE, [_POINTER, _ID]),
    "rd_kafka_mock_broker_set_rtt": (_CODE, [_POINTER, _ID, ctypes.c_int]),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        [_POINTER, ctypes.c_int16, _SIZE, ctypes.POINTER(ctypes.c_int)],
    ),
    "rd_kafka_mock_clear_request_errors": (None, [_POINTER, ctypes.c_int16]),
}


class LibraryNotFoundError(RuntimeError):
    """The installed confluent-kafka has no librdkafka with a mock cluster in reach."""


def candidates() -> Iterator[Path]:
    """Files that may hold librdkafka, the surest first.

    A symbol looked up in the extension module is looked up in what it is linked with too, wherever that lies; the
    folders are those in which wheels of Linux, Windows and macOS carry the library.
    """
    package = Path(confluent_kafka.__file__).parent
    extension = getattr(confluent_kafka.cimpl, "__file__", None)
    if extension:
        yield Path(extension)
    for folder in (package.parent / "confluent_kafka.libs", package / ".dylibs", package):
        yield from sorted(folder.glob("*rdkafka*"))


def bind(path: Path) -> ctypes.CDLL:
    """The library at `path` with typed functions; OSError or AttributeError where it is not the one looked for."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


@functools.cache
def load() -> ctypes.CDLL:
    """The library inside the installed confluent-kafka; LibraryNotFoundError, naming what was tried, without one."""
    tried: list[str] = []
    for path in candidates():
        try:
            return bind(path)
        except (OSError, AttributeError) as error:
            tried.append(f"{path}: {error}")
    raise LibraryNotFoundError(
        "The embedded broker needs the librdkafka that comes with confluent-kafka, and this installation "
        f"({confluent_kafka.__version__}) has none with a mock cluster. Install the wheel of confluent-kafka "
        "(pip install --only-binary confluent-kafka confluent-kafka), or give a Kafka with --brokers. Tried: "
        + "; ".join(tried or ["nothing: no candidate file exists"])
    )
