"""The policy file that a worker has last run, kept in its data folder: a start on a file with mistakes goes on with it.

Without it a worker that is moved or restarted while the file is wrong would not come back, though those that run do.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sampler.config.collector import split_selector
from sampler.config.document import parse_document
from sampler.config.errors import ConfigError
from sampler.config.policies import PolicyFile, policies_of

logger = logging.getLogger(__name__)

FILE = "policies.last.json"


class LastGood:
    """The last policy file that could be used, as it stood, without the values of its variables."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE

    def keep(self, policies: PolicyFile) -> None:
        """Keep the file that these came from, if it still says the same; a disk that is full costs no more than that.

        What came from the kept file itself, or from a pipe, is left as it is.
        """
        file, wanted = split_selector(policies.path)
        if policies.problem or not file.is_file():
            return
        # Not worth an end: the file may vanish, change or be no text at any moment.
        with suppress(ConfigError, OSError, UnicodeDecodeError):
            text = file.read_text(encoding="utf-8")
            document = parse_document(text, str(file), os.environ, lenient=True)
            if policies_of(document, wanted, policies.given_plugins).identity == policies.identity:
                self._write(json.dumps({"path": policies.path, "text": text}))

    def load(self, path: Path | str, plugins: Sequence[str], problem: str) -> PolicyFile | None:
        """The policies kept of this file, with what is wrong with the file now; None where there are none to use."""
        file, wanted = split_selector(path)
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept["path"] != str(path):
                return None
            document = parse_document(kept["text"], str(file), os.environ, lenient=True)
            found = policies_of(document, wanted, plugins)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        except ConfigError as error:
            logger.warning("the policies kept in %s cannot be used any more either: %s", self._path, error)
            return None
        return replace(found, path=str(path), problem=problem)

    def _write(self, text: str) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self._path)
