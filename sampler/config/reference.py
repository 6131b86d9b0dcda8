"""docs/configuration.md, generated from the models: `python -m sampler.config.reference > docs/configuration.md`."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from sampler.config.models import Config
from sampler.config.policies import TailSampling
from sampler.config.units import Duration

HEAD = """# Configuration

Two files: `config.yaml` says where Kafka is and how the processes run, `policies.yaml` which traces are kept. Commented
examples: [config.yaml](examples/config.yaml), [policies.yaml](examples/policies.yaml). JSON Schemas for editors:
`schema/config.schema.json`, `schema/policies.schema.json` (the first line of the examples names them).

    tailsampler config check --config config.yaml --policies policies.yaml
    tailsampler config print --config config.yaml      # what is in force, secrets as asterisks

A mistake is one line with file, line, key and, where a name is mistyped, the nearest one; the exit code is then 2:

    policies.yaml:12: tail_sampling.policies[2].latency.treshold_ms: unknown key (did you mean threshold_ms?)

## How values are written

* **Variables**: `${env:NAME}` or `${NAME}`; with a default `${env:NAME:-default}`. A variable that is not set and has
  no default is an error. What it holds is always one value, never a key or a list. Inside `[]` and `{}`, put it in
  quotes. In policies, an unquoted variable is a number or a truth value if written like one; quote it to keep text.
  `$$` is a literal dollar sign; a dollar sign before anything but `{` and `$` stands for itself.
* **Durations** have a unit: `30s`, `500ms`, `1m30s`. Plain numbers are refused, except 0.
* **Sizes** are bytes, or have a suffix: `262144`, `256KiB`, `16MiB`.
* YAML 1.2: `yes`, `no`, `on` and `off` are text. A key given twice is an error; a key with nothing behind it means its
  default.
* Options of the command line (`--brokers`, `--web-endpoint`, ...) go before the file.

This page is generated: `python -m sampler.config.reference > docs/configuration.md`.
"""
POLICIES = """## policies.yaml

The keys below stand under `tail_sampling:`, the Collector's block. The file may also hold the block as a Collector's
configuration does, under `processors:` and as `tail_sampling/name`, or without any key around it. The policy types and
their settings: `tailsampler policies list`, `tailsampler policies describe TYPE`.
"""


def configuration_page() -> str:
    """The whole page."""
    return "\n".join([HEAD, "## config.yaml\n", _table(Config), POLICIES, _table(TailSampling)])


def _table(model: type[BaseModel]) -> str:
    lines = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *_rows(model, "")]) + "\n"


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = _section(field.annotation)
        if inner is not None:
            yield f"| **`{prefix}{name}`** | | | {_text(field.description or inner.__doc__)} |"
            yield from _rows(inner, f"{prefix}{name}.")
        else:
            yield f"| `{prefix}{name}` | {_kind(field)} | {_default(field)} | {_text(field.description)} |"


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {Union, types.UnionType}:
        return next((found for arg in get_args(annotation) if (found := _section(arg))), None)
    return None


def _kind(field: FieldInfo) -> str:
    annotation = field.annotation
    if any("parse_size" in repr(part) for part in field.metadata):
        return "size"
    return _words(annotation)


def _words(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(args[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(_words(arg) for arg in args if arg is not type(None)))
    if origin in {tuple, list}:
        return "list"
    if origin is dict:
        return "mapping"
    names = {Duration: "duration", bool: "true or false", int: "whole number", float: "number", str: "text"}
    return "secret text" if annotation is SecretStr else names.get(annotation, "value")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return ""
    return f"`{value}`" if isinstance(value, Duration | str) else f"`{json.dumps(value)}`"


def _text(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(configuration_page())
