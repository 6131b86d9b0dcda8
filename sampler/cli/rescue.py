"""`tailsampler rescue`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 930.0
"""Somewhat longer than a worker takes at most."""


@click.command(short_help="Write traces after all that were dropped a short while ago.")
@click.option(
    "--worker", "workers", metavar="URL", multiple=True, default=("http://localhost:8484",), show_default=True,
    help="Where a worker's /metrics is; name every worker, each knows only its own partitions.",
)  # fmt: skip
@click.option(
    "--where", required=True, metavar="CONDITION",
    help="OTTL condition that a span of the trace must meet; attributes may stand by their bare names.",
)  # fmt: skip
@click.option("--since", metavar="DURATION", help="Only traces decided so long ago or later, such as 3m; without, all.")
@click.option("--dry-run", is_flag=True, help="Only say which traces match.")
@click.option("--token", envvar="TAILSAMPLER_WEB_TOKEN", help="web.token of the workers; best as a variable.")
@click.option("--ca-file", metavar="FILE", help="Certificates to trust, PEM, where the workers' pages are https.")
def rescue(
    workers: tuple[str, ...], where: str, since: str | None, dry_run: bool, token: str | None, ca_file: str | None
) -> int:
    """Write traces whole that were dropped and that workers still keep (`retain_dropped` in the policy file).

    Their ids go to standard output, one a line; counts and what went wrong to standard error. Exit code 1 where a
    worker could not do it, or not all of it.

    \b
    tailsampler rescue --where 'service.name == "checkout"' --since 3m
    """  # noqa: D301  # click reads the control character as "keep these lines as they are"
    wanted: dict[str, Any] = {"where": where, "dry_run": dry_run}
    if since is not None:
        wanted["since"] = since
    failed = False
    for url in workers:
        try:
            answer = _ask(url, wanted, token, ca_file)
        except click.ClickException as error:
            click.echo(f"{url}: {error.message}", err=True)
            failed = True
            continue
        for trace_id in answer["trace_ids"]:
            click.echo(trace_id)
        click.echo(f"{url}: {_told(answer, dry_run)}", err=True)
        failed = failed or bool(answer["lost"] or answer["gone"])
    return int(failed)


def _told(answer: Mapping[str, Any], dry_run: bool) -> str:
    text = f"{answer['looked_at']:,} dropped traces looked at, {answer['matched']:,} match"
    text += ", none written (dry run)" if dry_run else f", {answer['written']:,} written"
    if answer["lost"]:
        text += f"; {answer['lost']:,} could not be written"
    if answer["gone"]:
        text += f"; {answer['gone']:,} partitions went to another worker meanwhile"
    if answer["matched"] > len(answer["trace_ids"]):
        text += f"; only {len(answer['trace_ids']):,} are named"
    return text


def _ask(url: str, wanted: Mapping[str, Any], token: str | None, ca_file: str | None) -> Mapping[str, Any]:
    """The answer of one worker; ClickException with what it, or the way to it, has against the request."""
    import ssl
    import urllib.error
    import urllib.request

    if not url.startswith(("http://", "https://")):
        raise click.ClickException("a worker is named by its URL, such as http://localhost:8484")
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps(wanted).encode()
    request = urllib.request.Request(f"{url.rstrip('/')}/rescue", body, headers)  # noqa: S310  # checked above
    try:
        context = ssl.create_default_context(cafile=ca_file) if url.startswith("https") else None
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as reply:  # noqa: S310
            answer: Mapping[str, Any] = json.load(reply)
            return answer
    except urllib.error.HTTPError as error:
        raise click.ClickException(_reason(error.read()) or f"refused: {error}") from error
    except (OSError, ValueError) as error:
        raise click.ClickException(f"no answer: {error}; is a worker there?") from error


def _reason(body: bytes) -> str | None:
    try:
        reason = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(reason)
