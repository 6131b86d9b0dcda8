"""The plain manifests under deploy/kubernetes, made from the chart: `python -m tests.harness.manifests` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.harness.helm import render_text
from tests.harness.process import REPOSITORY

PLAIN = REPOSITORY / "deploy/kubernetes"
VALUES = PLAIN / "values.yaml"
HEAD = "# Rendered from deploy/helm/tailsampler with deploy/kubernetes/values.yaml: `make manifests` writes it anew.\n"
# They say that Helm manages the object, which it does not here.
HELMS_OWN = re.compile(r"^ *(?:app\.kubernetes\.io/managed-by|helm\.sh/chart): .*\n", re.MULTILINE)
SOURCE = re.compile(r"^# Source: tailsampler/templates/(\S+)\n", re.MULTILINE)


def plain_manifests() -> dict[Path, str]:
    """The plain manifests by the path they belong to: one file for each template, and one that names them all."""
    parts: dict[str, list[str]] = {}
    for document in render_text([VALUES]).split("\n---\n"):
        found = SOURCE.search(document)
        if found is None:
            continue
        body = HELMS_OWN.sub("", document[found.end() :])
        lines = [line.rstrip() for line in body.splitlines() if line.strip() and line != "---"]
        parts.setdefault(found[1], []).append("\n".join(lines) + "\n")
    written = {PLAIN / name: HEAD + "---\n" + "---\n".join(bodies) for name, bodies in parts.items()}
    listed = "".join(f"  - {name}\n" for name in sorted(parts))
    kinds = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: tracing\nresources:\n"
    written[PLAIN / "kustomization.yaml"] = HEAD + kinds + listed
    return written


def stray() -> list[Path]:
    """Files where only made ones belong that nothing makes any more."""
    return [path for path in PLAIN.glob("*.yaml") if path not in plain_manifests() and path != VALUES]


def write() -> None:
    """Write every manifest, and remove those that nothing makes."""
    for path, text in plain_manifests().items():
        path.write_text(text, encoding="utf-8")
    for path in stray():
        path.unlink()


if __name__ == "__main__":
    write()
