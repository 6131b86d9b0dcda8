"""`python -m tests.fuzz [TARGET ...]`: fuzz parsers, or all, with atheris (libFuzzer), each in a process of its own.

The same seed and number of runs give the same inputs. A line for each target is on standard output; exit status 1 where
something was found: it is on standard error, and its input in the folder that `--found` names.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

INSTRUMENTED = [
    "policies.ottl", "sampler.agent.body", "sampler.config", "sampler.engine.checkpoint",
    "sampler.engine.decision_record", "sampler.otlp", "sampler.stream.rescue_http", "sampler.stream.rescue_where",
    "sampler.web.actions",
]  # fmt: skip
"""Modules whose branches guide the fuzzer. Of compiled code only the answers do."""
LONGEST_S = 60
"""An input that takes longer is a finding."""


def main() -> int:
    """Run targets one after the other."""
    import atheris

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the parsers of outside bytes.")
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--runs", type=int, help="inputs to try; without, as many as take about a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", default=".", help="folder for inputs that break something")
    options = parser.parse_args()
    # Instrumented are modules when they are first loaded.
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from tests.fuzz.targets import TARGETS, prepare
    prepare()
    failed = 0
    for name in options.targets or TARGETS:
        child = os.fork()
        if child == 0:
            _fuzz(name, options)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        failed += status != 0
        print(f"{name}: {'nothing found' if status == 0 else f'found something, status {status}'}", flush=True)
    return int(failed > 0)


def _fuzz(name: str, options: argparse.Namespace) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris

    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    corpus = tempfile.mkdtemp(dir=options.found)
    for number, seed in enumerate(target.seeds()):
        target.run(seed)
        (Path(corpus) / str(number)).write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0], corpus, f"-runs={options.runs or target.runs}", f"-seed={options.seed}",
            f"-max_len={target.max_length}", f"-artifact_prefix={options.found}/{name}-", f"-timeout={LONGEST_S}",
            "-rss_limit_mb=2048", "-len_control=0",
        ],
        target.run,
    )  # fmt: skip
    atheris.Fuzz()
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
