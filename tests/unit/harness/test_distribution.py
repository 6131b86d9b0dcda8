"""Where the jars of Kafka come from, with stand-ins for Java and Maven on the path."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import distribution
from tests.harness.distribution import MissingToolError, cache_folder, java, kafka_jars

JAVA = "#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n"
MAVEN = """#!/bin/sh
echo run >> {count}
for a in "$@"; do case $a in -DoutputDirectory=*) d=${{a#*=}};; esac; done
mkdir -p "$d" && touch "$d/kafka.jar"
exit {status}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search path for stand-ins, in front of nothing but the shell's own tools, and a cache of its own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{tmp_path / 'empty'}")
    monkeypatch.setenv("TAILSAMPLER_CACHE", str(tmp_path / "cache"))
    return folder


def put(folder: Path, name: str, text: str) -> None:
    """An executable stand-in. The tools its script needs are found whatever the search path is."""
    file = folder / name
    file.write_text(text.replace("#!/bin/sh\n", "#!/bin/sh\nPATH=/usr/bin:/bin\n"))
    file.chmod(0o755)


def test_missing_java_is_one_line(path: Path) -> None:
    """Without Java the error is one line that names it and its version."""
    with pytest.raises(MissingToolError, match=r"^Java 17 or later is needed.*there is no `java`$"):
        java()


@pytest.mark.parametrize(
    ("version", "good"), [("11.0.2", False), ("1.8.0_402", False), ("17.0.15", True), ("25", True)]
)
def test_old_java_is_refused(path: Path, version: str, good: bool) -> None:
    """Java below 17 is refused with what was found, 17 and later are taken."""
    put(path, "java", JAVA.format(version=version))
    if good:
        assert java() == str(path / "java")
    else:
        with pytest.raises(MissingToolError, match=version):
            java()


def test_missing_maven_is_one_line(path: Path) -> None:
    """Without Maven, and nothing in the cache, the error is one line that names it."""
    put(path, "java", JAVA.format(version="17.0.1"))
    with pytest.raises(MissingToolError, match=r"^Maven is needed.*there is no `mvn`$"):
        kafka_jars()


def test_jars_are_fetched_once_by_all(path: Path, tmp_path: Path) -> None:
    """Of callers that ask at the same time one fetches, and later ones need no Maven at all."""
    put(path, "java", JAVA.format(version="17.0.1"))
    put(path, "mvn", MAVEN.format(count=tmp_path / "count", status=0))
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: kafka_jars(), range(4)))
    (path / "mvn").unlink()
    assert folders == {kafka_jars()}
    assert (kafka_jars() / "kafka.jar").exists()
    assert (tmp_path / "count").read_text() == "run\n"


def test_half_a_download_is_not_kept(path: Path, tmp_path: Path) -> None:
    """A Maven that fails leaves no folder that the next run would take for the jars."""
    put(path, "java", JAVA.format(version="17.0.1"))
    put(path, "mvn", MAVEN.format(count=tmp_path / "count", status=1))
    with pytest.raises(RuntimeError, match="exit 1"):
        kafka_jars()
    assert [each.suffix for each in (tmp_path / "cache").iterdir()] == [".lock"]


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TAILSAMPLER_CACHE goes before XDG_CACHE_HOME, and that before ~/.cache."""
    monkeypatch.setenv(distribution.CACHE_VARIABLE, str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv(distribution.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "tailsampler"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "tailsampler"
