"""Builds the compiled scanner. Without a C compiler (or on a big-endian machine) the package installs without it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDERS = (Path("sampler/otlp/_compiled"), Path("sampler/engine/_compiled"))
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,  # the readers check every bound themselves, against the end of the message they are in
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "freethreading_compatible": False,
}


def extensions() -> list[Extension]:
    """One optional extension a .pyx file; none where Cython is missing."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    if sys.byteorder != "little":
        return []
    flags = [] if sys.platform == "win32" else ["-O2", *os.environ.get("TAILSAMPLER_CFLAGS", "").split()]
    links = os.environ.get("TAILSAMPLER_LDFLAGS", "").split()
    modules = [
        Extension(
            ".".join(path.with_suffix("").parts),
            [path.as_posix()],
            extra_compile_args=flags,
            extra_link_args=links,
            optional=True,
        )
        for folder in FOLDERS
        for path in sorted(folder.glob("*.pyx"))
    ]
    return list(cythonize(modules, compiler_directives=DIRECTIVES, quiet=True))


class BuildWherePossible(build_ext):
    """Goes on without an extension that cannot be built, whatever the reason: setuptools forgives only some."""

    def build_extension(self, ext: Extension) -> None:
        """Build one extension, or say in a line why not."""
        try:
            super().build_extension(ext)
        except Exception as error:
            print(f"{ext.name} was not compiled: {error}", file=sys.stderr)
            ext.optional = True  # its absence is no error when built files are copied to their place


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildWherePossible})
