"""The jars of Apache Kafka, fetched once from Maven Central and kept outside the tree."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
JAVA_AT_LEAST = 17
CACHE_VARIABLE = "TAILSAMPLER_CACHE"
"""Environment variable that names the folder of the cache; `~/.cache/tailsampler` (XDG) without it."""

MAVEN_TIMEOUT_S = 600


class MissingToolError(RuntimeError):
    """Java or Maven is not on this machine, or not in a version that will do."""


def cache_folder() -> Path:
    """Where jars are kept between runs."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tailsampler"


def java() -> str:
    """The `java` command; MissingToolError unless it is of version 17 or later."""
    command = shutil.which("java")
    if command is None:
        raise MissingToolError("Java 17 or later is needed for the real Kafka of the tests, and there is no `java`")
    told = subprocess.run([command, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < JAVA_AT_LEAST:
        found = told.splitlines()[0] if told else "nothing"
        raise MissingToolError(f"Java 17 or later is needed for the real Kafka of the tests; {command} is: {found}")
    return command


def kafka_jars() -> Path:
    """The folder of the jars that `pom.xml` names, fetched by Maven the first time.

    The folder's name carries the content of the pom, so that a change of it fetches anew. Processes that ask at the
    same time wait for one of them. RuntimeError with Maven's own words where the download fails.
    """
    pom = POM.read_bytes()
    version = re.search(rb"<kafka.version>([^<]+)<", pom)
    assert version is not None, f"{POM} names no kafka.version"
    cache = cache_folder()
    ready = cache / f"kafka-{version[1].decode()}-{hashlib.sha256(pom).hexdigest()[:8]}"
    if ready.is_dir():
        return ready
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{ready.name}.lock"):
        if not ready.is_dir():
            _fetch(ready)
    return ready


def _fetch(ready: Path) -> None:
    """Let Maven fill a folder beside `ready`, then give it that name: half a download is never taken for a whole."""
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingToolError("Maven is needed to fetch the Kafka of the tests the first time, and there is no `mvn`")
    java()
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=ready.parent) as scratch:
        jars = Path(scratch) / "jars"
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        done = subprocess.run(
            [maven, "-q", "-B", "-f", str(POM), *goal],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MAVEN_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"Maven could not fetch Kafka (exit {done.returncode}):\n{done.stdout[-2000:]}")
        jars.rename(ready)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock among processes; the system gives it back even if this one is killed."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
