"""The site of docs/."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.harness.process import REPOSITORY

CONFIG = REPOSITORY / "mkdocs.yml"


def build(site: Path, config: Path = CONFIG) -> tuple[int, str]:
    """Exit status and words of the builder; it must not be quiet, or its warnings would not count."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config), "--site-dir", str(site)],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_site_builds_without_a_broken_link(tmp_path: Path) -> None:
    """Every link and anchor leads somewhere, every page is in the navigation (mkdocs.yml), none is missing."""
    code, said = build(tmp_path / "site")
    assert code == 0, said
    assert (tmp_path / "site/quickstart/index.html").is_file()
    assert not (tmp_path / "site/examples/plugin/src").exists()


def test_the_builder_sees_what_is_broken(tmp_path: Path) -> None:
    """With the same settings a link, an anchor and a page outside of the navigation are each a mistake."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("[a](nowhere.md) [b](#nothing)\n")
    (docs / "alone.md").write_text("# Alone\n")
    settings = {"INHERIT": str(CONFIG), "docs_dir": str(docs), "nav": ["index.md"]}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    code, said = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert code != 0
    assert all(word in said for word in ("nowhere.md", "#nothing", "alone.md"))
