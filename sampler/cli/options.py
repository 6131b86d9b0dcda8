"""Options that several commands share, and what they are turned into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sampler.config.kafka import Kafka
    from sampler.config.models import Config
    from sampler.config.policies import PolicyFile

EXIT_WRONG_INPUT = 2
EXIT_FATAL = 70

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)

config_option = click.option(
    "--config", "config_path", type=FILE, metavar="FILE", envvar="TAILSAMPLER_CONFIG",
    help="Configuration (config.yaml). Without it, the defaults.",
)  # fmt: skip
brokers_option = click.option(
    "--brokers", metavar="HOST:PORT,...", envvar="TAILSAMPLER_BROKERS", help="Kafka brokers; goes before the file's."
)
policies_option = click.option(
    "--policies", "policies_path", type=FILE, metavar="FILE", required=True, envvar="TAILSAMPLER_POLICIES",
    help="Policies (policies.yaml): a Collector's tail_sampling block.",
)  # fmt: skip
plugins_option = click.option(
    "--plugins", metavar="PLUGIN", multiple=True, envvar="TAILSAMPLER_PLUGINS",
    help="Policy types of your own: a folder, a .py file or package.module:Class; may be given several times.",
)  # fmt: skip
web_option = click.option(
    "--web-endpoint", metavar="HOST:PORT",
    help="Where /metrics, /livez, /readyz and /status are; goes before the file's.",
)  # fmt: skip
log_level_option = click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="What to say on standard error."
)


class WrongInputError(click.ClickException):
    """What was asked for cannot be done here, and starting again would not help: a port in use, say."""

    exit_code = EXIT_WRONG_INPUT


def process_options(command: Command) -> Command:
    """The options of everything that runs as a process."""
    for option in (log_level_option, web_option, brokers_option, config_option):
        command = option(command)
    return command


def read_config(
    path: Path | None,
    brokers: str | None = None,
    web_endpoint: str | None = None,
    log_level: str | None = None,
    **more: Any,
) -> Config:
    """The configuration with the command line over it; `more` are values by key with `__` for dots."""
    from sampler.config.load import load_config

    overrides = {"kafka.brokers": brokers, "web.endpoint": web_endpoint, "log.level": log_level}
    overrides.update({name.replace("__", "."): value for name, value in more.items()})
    return load_config(path, overrides)


def read_policies(
    path: Path, plugins: Sequence[str] = (), data_dir: Path | None = None, *, notes: bool = True
) -> PolicyFile:
    """The policies of a file, with plugins beside its own; with `notes` what its reader should know is logged.

    Where the file cannot be used, those that a worker with this data folder has run last; ConfigError without any.
    """
    import logging

    from sampler.config.errors import ConfigError
    from sampler.config.last_good import LastGood
    from sampler.config.policies import load_policies
    from sampler.scan_plan import plan_of

    try:
        policies = load_policies(path, plugins=plugins)
        plan_of(policies)
    except ConfigError as error:
        last = LastGood(data_dir).load(path, plugins, str(error)) if data_dir is not None else None
        if last is None:
            raise
        logging.getLogger("tailsampler").error(
            "the policy file cannot be used: starting on the policies that ran last, kept in %s. Mend it and check it "
            "with 'tailsampler validate':\n%s", data_dir, error,
        )  # fmt: skip
        return last
    for note in policies.notes if notes else ():
        logging.getLogger("tailsampler").warning("%s", note)
    return policies


def prepare_topics(kafka: Kafka, decision_wait_ms: int = 0, tenants: Sequence[str] = ()) -> None:
    """Make missing topics unless that is switched off; ClickException where the product cannot work with them.

    `tenants` are the topics that tenants have for themselves.
    """
    if not kafka.create_topics:
        return
    import logging

    from sampler.cli.topics import unusable
    from sampler.config.security import admin_conf
    from sampler.topic_specs import topic_specs
    from sampler.topics import TopicError, ensure_topics

    log = logging.getLogger("tailsampler")
    try:
        outcome = ensure_topics(admin_conf(kafka), topic_specs(kafka, tenants), decision_wait_ms)
    except TopicError as error:
        raise unusable(kafka, error, "start with --no-create-topics") from error
    for name in outcome.created:
        log.info("created topic %s", name)
    for finding in outcome.findings:
        log.warning("%s", finding)
    if outcome.errors:
        raise click.ClickException(str(outcome.errors[0]))
