"""The root of the command line: what there is, and what its exit codes mean."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from sampler.cli.agent import agent
from sampler.cli.config import config
from sampler.cli.demo import demo
from sampler.cli.estimate import estimate
from sampler.cli.exporter import exporter
from sampler.cli.logs import logs_are_json
from sampler.cli.options import EXIT_FATAL, EXIT_WRONG_INPUT
from sampler.cli.policies import policies
from sampler.cli.rescue import rescue
from sampler.cli.run import run
from sampler.cli.simulate import simulate
from sampler.cli.size import size
from sampler.cli.topics import topics
from sampler.cli.validate import validate
from sampler.cli.version import version
from sampler.cli.worker import worker
from sampler.config.errors import ConfigError
from sampler.supervisor import end_with_parent

EPILOG = "Exit codes: 0 done, 1 failed, 2 wrong input or configuration, 70 fatal internal error (start again)."


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EPILOG)
@click.version_option(package_name="tailsampler", message="%(package)s %(version)s")
def cli() -> None:
    """Tail-based sampling of OpenTelemetry traces on Kafka.

    Spans come in over OTLP or from a Kafka topic, wait until their trace is whole, and leave if a policy keeps it.

    \b
    First steps:
      tailsampler demo                                  see it work, nothing to install
      tailsampler run --policies policies.yaml          agent and worker, broker in memory
      tailsampler run --policies policies.yaml --brokers kafka:9092
    """  # noqa: D301  # click reads the control character as "keep these lines as they are"


for command in (
    run, agent, worker, exporter, demo, simulate, estimate, validate, size, topics, config, policies, rescue, version
):  # fmt: skip
    cli.add_command(command)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    end_with_parent()
    sys.exit(invoke(argv))


def invoke(argv: Sequence[str] | None = None) -> int:  # noqa: PLR0911  # one return for each kind of end
    """The exit code of a command line; expected mistakes are one line on standard error."""
    try:
        code = cli.main(args=argv, prog_name="tailsampler", standalone_mode=False)
    except click.ClickException as error:
        if logs_are_json():
            logging.getLogger("tailsampler").error("%s", error.format_message())
        else:
            error.show()
        return error.exit_code
    except ConfigError as error:
        for problem in error.problems if logs_are_json() else ():
            logging.getLogger("tailsampler").error("%s", problem)
        if not logs_are_json():
            click.echo(str(error), err=True)
        return EXIT_WRONG_INPUT
    except (click.Abort, KeyboardInterrupt):
        return 130
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BrokenPipeError:
        # The reader of our output (head, a pager) has seen enough.
        sys.stderr.close()
        return 0
    except Exception:
        if logs_are_json():
            logging.getLogger("tailsampler").critical("internal error", exc_info=True)
            return EXIT_FATAL
        traceback.print_exc()
        click.echo("tailsampler: internal error; the lines above say where", err=True)
        return EXIT_FATAL
    return code if isinstance(code, int) else 0
