"""docs/configuration.md, generated from the models: `python -m sampler.config.reference > docs/configuration.md`."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from inspect import getdoc
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from policies.contract import Policy
from sampler.config.models import Config
from sampler.config.policies import TailSampling
from sampler.config.policy_types import NO_SETTINGS, built_in
from sampler.config.units import Duration
from sampler.config.words import field_in_words

HEAD = """# Configuration

Two files: `config.yaml` says where Kafka is and how the processes run, `policies.yaml` which traces are kept. Commented
examples: [config.yaml](examples/config.yaml), [policies.yaml](examples/policies.yaml). JSON Schemas for editors:
`schema/config.schema.json`, `schema/policies.schema.json` (the first line of the examples names them).

    tailsampler validate config.yaml policies.yaml     # --output json for machines
    tailsampler config print --resolved --config config.yaml --policies policies.yaml   # all in force, secrets masked

A mistake is one line with file, line, key and, where a name is mistyped, the nearest one; the exit code is then 2:

    policies.yaml:12: tail_sampling.policies[2].latency.treshold_ms: unknown key (did you mean threshold_ms?)

Files that a configuration names (certificates, tokens) must be there; `--no-files` leaves that out, where they are on
another machine.

## How values are written

* **Variables**: `${env:NAME}` or `${NAME}`; with a default `${env:NAME:-default}`. A variable that is not set and has
  no default is an error. What it holds is one value of the type that its place asks for (in policies also a list of
  texts where one is asked for, `[a, b]` or `a,b`); never a key or a mapping. Inside `[]` and `{}`, put it in quotes.
  `$$` is a literal dollar sign; a dollar sign before anything but `{` and `$` stands for itself.
* **Durations** have a unit: `30s`, `500ms`, `1m30s`. Plain numbers are refused, except 0.
* **Sizes** are bytes, or have a suffix: `262144`, `256KiB`, `16MiB`.
* YAML 1.2: `yes`, `no`, `on` and `off` are text. A key given twice is an error; a key with nothing behind it means its
  default.
* Options of the command line (`--brokers`, `--web-endpoint`, ...) go before the file.

This page is generated: `python -m sampler.config.reference > docs/configuration.md`.
"""
POLICIES = """## policies.yaml

The keys below stand under `tail_sampling:`, the Collector's block. It may be taken from a Collector's configuration
unchanged, and the file may be:

* the block alone, without any key around it;
* `tail_sampling:` or `tail_sampling/name:` with the block below;
* a whole Collector configuration. Only the block is read; what is ignored is named in a note at load, and a variable
  that is not set elsewhere is no mistake. Of several blocks the one is taken that the pipelines of `service:` use;
  where that is none or more than one, name it: `--policies collector.yaml#tail_sampling/name`. The `wait_duration` of a
  `groupbytrace` processor in front of it is added to `decision_wait`.

What works in another way than in a Collector is said at load, each with its line, and so is every other spelling that
is taken: `and`, `not` and `drop` that hold their sub-policies directly, settings beside `type`, a `type` left out or
written with hyphens, numbers and truth values in quotes, texts without, one value or a text with commas in place of a
list, status codes in lower case.
"""
TYPES = """## Policy types

Each policy is `{name, type, <type>: {...}}`; the settings below stand under the key of the type's name. A name is
unique in the list. `on_error: keep` makes a policy of the list keep the traces on which it fails; by default (`skip`)
it then has no vote. Where a setting holds policies, they are written the same way, without `on_error`; their names may
be left out. Types of plugins: `tailsampler policies list`, `tailsampler policies describe TYPE`.
"""


_SEVERAL: dict[Any, str] = {list: "[]", tuple: "[]", dict: ".*"}
"""What stands behind a key for each of its items."""


def configuration_page() -> str:
    """The whole page."""
    sections = (_policy_type(name, policy) for name, policy in built_in().items())
    return "\n".join([HEAD, "## config.yaml\n", _table(Config), POLICIES, _table(TailSampling), TYPES, *sections])


def _policy_type(name: str, policy: type[Policy]) -> str:
    parts = [f"### {name}", getdoc(policy) or ""]
    if policy.Config.model_fields:
        about = getdoc(policy.Config) if policy.Config.__doc__ else None
        parts += [about or "", _table(policy.Config).rstrip("\n")]
    else:
        parts.append(NO_SETTINGS)
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(model: type[BaseModel]) -> str:
    lines = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *_rows(model, "")]) + "\n"


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = _section(field.annotation)
        if inner is None:
            kind, meaning = field_in_words(name, field), _text(field.description)
            yield f"| `{prefix}{name}` | {kind} | {_default(field)} | {meaning} |"
            continue
        several = _SEVERAL.get(get_origin(field.annotation), "")
        kind, default = (field_in_words(name, field), _default(field)) if several else ("", "")
        yield f"| **`{prefix}{name}`** | {kind} | {default} | {_text(field.description or inner.__doc__)} |"
        yield from _rows(inner, f"{prefix}{name}{several}.")


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model whose keys stand below a setting; of a list or a mapping those of its items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {Union, types.UnionType, *_SEVERAL}:
        return next((found for arg in get_args(annotation) if (found := _section(arg))), None)
    return None


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
