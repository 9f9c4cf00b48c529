"""ledgerctl doctor: what is wrong, and what mends it."""

from __future__ import annotations

from typing import Annotated

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context
from ledgerctl.errors import Exit, Unhealthy

COLUMNS = ("check", "status", "found", "remedy")


def register(root: typer.Typer) -> None:
    root.command(epilog=output.exits(Exit.DIFFERENCES, Exit.UNAVAILABLE, Exit.BAD_CONFIG))(doctor)


def doctor(
    context: Context,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 6 for a warning, too.")] = False,
) -> None:
    """Examine the configuration, the servers and the books; say what is wrong and what mends it.

    Changes nothing and starts nothing. The checks of the books are quick ones: reconcile sees everything.
    """
    from ledgerctl.cli import monitored, surroundings
    from ledgerctl.services import examining, examining_redis
    from ledgerctl.services.findings import Health

    invocation = context.obj
    settings = invocation.configuration.settings
    around = [*surroundings.examine(invocation.configuration), *monitored.examine(invocation.configuration)]
    of_redis, run_id = examining_redis.examine(settings.redis)
    database = invocation.database if settings.database.url else None
    examined = examining.run(database, settings.ledger.name, settings.redis, run_id)

    findings = [*around, *of_redis, *examined.findings]
    invocation.show([finding._asdict() for finding in findings], COLUMNS)
    if examined.failure is not None:
        raise examined.failure
    count = {health: sum(finding.status is health for finding in findings) for health in Health}
    if count[Health.PROBLEM] or (strict and count[Health.WARNING]):
        raise Unhealthy(problems=count[Health.PROBLEM], warnings=count[Health.WARNING])
