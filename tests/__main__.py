"""`python -m tests`: all tests, those on a real Kafka, which mostly wait, beside the others.

Arguments go to both runs of pytest. The output of the second one follows that of the first when both have ended; the
exit status is that of the worse one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

ON_KAFKA = ("tests/integration", "tests/faults")
KAFKA_CACHE = ".pytest_cache/kafka"
"""Two runs at once must not write one memory of what failed."""
NO_TESTS = 5


def main(arguments: Sequence[str]) -> int:
    """Run both halves."""
    pytest = [sys.executable, "-m", "pytest", *arguments]
    with tempfile.TemporaryFile() as output:
        others = subprocess.Popen(
            [*pytest, *(f"--ignore={folder}" for folder in ON_KAFKA)], stdout=output, stderr=subprocess.STDOUT
        )
        try:
            on_kafka = subprocess.run([*pytest, "-o", f"cache_dir={KAFKA_CACHE}", *ON_KAFKA], check=False)
            others.wait()
        finally:
            others.kill()
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout.buffer)
            sys.stdout.flush()
    return max(0 if status == NO_TESTS else abs(status) for status in (on_kafka.returncode, others.returncode))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
