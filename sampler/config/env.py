"""`${env:NAME}`, `${env:NAME:-default}`, `${NAME}` and `${NAME:-default}` in the values of a configuration file.

Substitution works on single values after the YAML is parsed, so what a variable holds can never become a key, a list or
a second line of the file. `$$` is a literal dollar sign; one before anything but `{` or `$` stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"\$\$|\$\{(?P<body>[^}]*)\}|\$\{")
_BODY = re.compile(r"(?:env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)
_SOURCE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):")
_SCHEMES = {
    "file": "file",
    "http": "page",
    "https": "page",
    "yaml": "text",
    "secretsmanager": "secret",
    "s3": "object",
    "googlesecretmanager": "secret",
}
"""Sources of the Collector other than `env`, and what they hold."""


class SubstitutionError(ValueError):
    """A reference that cannot be filled in. The text never holds a variable's value."""


def has_reference(text: str) -> bool:
    """Whether `substitute` would look up anything in `text`."""
    return "${" in text.replace("$$", "")


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """`text` with its references filled in; the default counts for unset and for empty variables, as in a shell."""

    def replace(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        body = _BODY.fullmatch(match.group("body") or "")
        if body is None:
            source = _SOURCE.match(match.group("body") or "")
            if source and source["scheme"] in _SCHEMES:
                raise SubstitutionError(
                    f"{match.group()!r}: only variables are filled in here, as ${{env:NAME}}; write what the "
                    f"{_SCHEMES[source['scheme']]} holds into this file"
                )
            raise SubstitutionError(
                f"{match.group()!r} is not a variable reference: write ${{env:NAME}} or ${{env:NAME:-default}}, "
                "and $$ for a literal dollar sign"
            )
        name, default = body.group("name"), body.group("default")
        value = environment.get(name)
        if value or (value is not None and default is None):
            return value
        if default is None:
            raise SubstitutionError(
                f"environment variable {name} is not set and has no default (${{env:{name}:-default}} gives it one)"
            )
        return default

    return _TOKEN.sub(replace, text)
