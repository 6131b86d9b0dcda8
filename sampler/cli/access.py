"""Before a process begins: whether Kafka lets it in and allows what it does, and whether its secrets can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sampler.cli.options import WrongInputError

if TYPE_CHECKING:
    from sampler.acls import Process
    from sampler.config.kafka import Kafka
    from sampler.config.models import Config
    from sampler.topics.access import Need


def check_login(kafka: Kafka) -> None:
    """As `check_kafka`, for commands: whether Kafka lets us in, not what it allows."""
    _check(kafka, ())


def check_kafka(config: Config, process: Process, tenants: Sequence[str] = ()) -> None:
    """Return where nothing speaks against starting, also where Kafka cannot be reached now.

    WrongInputError, which ends with exit code 2, where Kafka refuses the credentials or an ACL is missing, ConfigError
    where a file of the configuration cannot be used; ClickException, exit code 1, where a broker hangs up.
    """
    import logging

    from sampler.acls import needs_of
    from sampler.config.exposure import exposures

    for exposure in exposures(config, agent=process == "agent"):
        logging.getLogger("tailsampler").warning("%s", exposure)
    _check(config.kafka, needs_of(process, config, tenants))


def _check(kafka: Kafka, needs: Sequence[Need]) -> None:
    from sampler.config.security import admin_conf, usable_files
    from sampler.topics.access import AccessError, ForbiddenError, LoginRefusedError, check_access

    usable_files(kafka)
    try:
        check_access(admin_conf(kafka), needs)
    except (LoginRefusedError, ForbiddenError) as error:
        raise WrongInputError(str(error)) from error
    except AccessError as error:
        raise click.ClickException(str(error)) from error
