"""`novacron-analytics source`: the monitoring server that samples come from."""

import json
import sys
import textwrap
import time
from pathlib import Path

import click

from portal.options import home_option, json_option, settings_for
from portal.quarantine import quarantine_lines
from portal.result_formats import aligned
from resources.errors import InvalidInput
from resources.partition import check_tenant


@click.group("source")
def command() -> None:
    """Try the monitoring server that samples come from."""


@command.command("check")
@click.option(
    "--tenant", "tenants", multiple=True, help="Tenant to look at; may be given again (default: the first 10)."
)
@home_option
@json_option
def check(home: Path | None, as_json: bool, tenants: tuple[str, ...]) -> None:
    """Try the connection: version, read method, metrics, tenants, intervals, coverage, clock.

    Of each tenant: the days with samples, the newest sample, and of its newest hours how many series of CPU
    use there are, how many VMs the inventory knows the size of ("sized"), seconds between samples, and the
    share of samples that arrived.

    Nothing is written. The exit code is 0 if everything is well, 3 if the server answers but something
    will go wrong, 1 if it cannot be read.
    """
    from resources.monitoring.server.check import check_source
    from resources.sources import open_server, open_sources

    settings = settings_for(home)
    if not settings.is_live:
        raise InvalidInput(
            f"source = {settings.source} is no server. Set ANALYTICS_SOURCE=prometheus and ANALYTICS_PROMETHEUS_URL, "
            "or ANALYTICS_SOURCE=victoriametrics and ANALYTICS_VICTORIAMETRICS_URL."
        )
    wanted = [check_tenant(tenant) for tenant in tenants]
    sources = open_sources(settings)
    found = check_source(
        open_server(settings), lambda: int(time.time() * 1000), settings.minimum_coverage, wanted, sources.sizes
    )
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        click.echo(f"{found.kind} {_printable(found.version)} at {found.url}")
        click.echo(f"read by        {found.read_method}")
        for way, why in found.passed_over.items():
            click.echo(f"  not {way}: {why}")
        click.echo(f"clock          {found.clock_skew_seconds:+.3f} s off this machine's")
        named = [("found", found.metrics_found), ("missing", found.metrics_missing)]
        named += [("of other exporters", others)] if (others := found.metrics_of_others) else []
        for number, (what, names) in enumerate(named):
            click.echo(_named("" if number else "metrics", f"{len(names)} {what}: {', '.join(names) or 'none'}"))
        header = ("tenant", "first day", "last day", "newest sample", "series", "sized", "interval", "coverage")
        rows = [
            (
                tenant.tenant,
                tenant.first_day,
                tenant.last_day,
                tenant.newest_sample,
                tenant.series,
                tenant.sized,
                "" if tenant.interval_seconds is None else f"{tenant.interval_seconds} s",
                "" if tenant.coverage is None else f"{tenant.coverage:.1%}",
            )
            for tenant in found.tenants
        ]
        if rows:
            click.echo(aligned(header, rows, numbers=("series", "sized", "interval", "coverage")), nl=False)
        if found.tenants_unchecked:
            click.echo(f"{len(found.tenants_unchecked)} more tenant(s) not looked at: name them with --tenant.")
        for line in quarantine_lines(found.quarantine):
            click.echo(f"quarantine     {line}")
        for note in found.notes:
            click.echo(_named("note", note))
        for problem in found.problems:
            click.echo(f"problem        {problem}", err=True)
    if found.problems:
        sys.exit(3)


def _named(name: str, text: str) -> str:
    """Return `text` under `name`, in lines of a terminal's width."""
    return textwrap.fill(text, 110, initial_indent=f"{name:15}", subsequent_indent=" " * 15, break_long_words=False)


def _printable(text: str) -> str:
    """Return a server's word without what a terminal would obey, and no more than a version's length of it."""
    return "".join(character for character in text[:80] if character.isprintable())
