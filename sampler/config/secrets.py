"""Secrets of the configuration: written as a variable (`${env:NAME}`), or in a file of their own."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from sampler.config.errors import ConfigError

MOST_BYTES = 64 * 1024
"""A larger file is no secret: somebody has named the wrong one."""


def one_of_both(name: str, value: object, file: object, *, needed: bool) -> None:
    """ValueError where a secret is given twice, or not at all though it is needed."""
    if value is not None and file is not None:
        raise ValueError(f"{name} and {name}_file are both set: one of them is enough")
    if needed and value is None and file is None:
        raise ValueError(f"needs {name} (best from a variable, ${{env:NAME}}) or {name}_file")


def read_secret(value: SecretStr | None, file: str | None, key: str) -> str | None:
    """The secret, from its file where it has one, without line ends behind it; None where it is not set.

    ConfigError at `key` where the file cannot be read or holds nothing. The file is read at every call.
    """
    if file is None:
        return value.get_secret_value() if value is not None else None
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        text = content.decode().rstrip("\r\n")
    except OSError as error:
        raise ConfigError.single(file, None, key, f"the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError.single(file, None, key, "the file is not UTF-8 text") from None
    if not text or len(content) > MOST_BYTES:
        raise ConfigError.single(file, None, key, f"the file must hold 1 to {MOST_BYTES} bytes: the secret")
    return text
