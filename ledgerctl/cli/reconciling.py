"""ledgerctl reconcile: the books against themselves."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context
from ledgerctl.errors import AlreadyRunning, DifferencesFound, Exit

COLUMNS = ("check", "subject", "expected", "found")


def register(root: typer.Typer) -> None:
    root.command(epilog=output.exits(Exit.DIFFERENCES, Exit.UNAVAILABLE, Exit.TRY_AGAIN))(reconcile)


def reconcile(
    context: Context,
    full: Annotated[bool, typer.Option("--full", help="Go through everything again, not only what is new.")] = False,
    accept: Annotated[
        str, typer.Option(metavar="REASON", help="Check everything and take it as it is, after a repair by hand.")
    ] = "",
    skip_if_locked: Annotated[
        bool, typer.Option("--skip-if-locked", help="Exit 0, not 75, when a run is under way already.")
    ] = False,
) -> None:
    """Check the books against themselves, in one snapshot. Silent in cron when all is well; exit 6 when it is not.

    Every transaction sums to zero; every balance equals its entries; entries follow one another without a gap; limits,
    currencies, orphans, reversals and fingerprints are as they should be. The first run, and one with --full, looks at
    everything, and says whether anything has changed that was verified before; the others look at what is new.
    """
    from ledgerctl.cli.progress import bar
    from ledgerctl.core.texts import plain_text
    from ledgerctl.services import reconciling

    reason = plain_text("reason", accept) if accept else None
    context.obj.prepare(COLUMNS)
    try:
        with bar(context.obj, "reconcile", "findings") as progress:
            result = reconciling.run(context.obj.books, progress, full=full, accept=reason)
    except AlreadyRunning as running:
        if not skip_if_locked:
            raise
        context.obj.note(f"{running}; skipped")
        return

    findings = [finding._asdict() for finding in result.findings]
    answer = {"status": result.status, "mode": result.mode, "checked": result.checked, "findings": findings}
    asked = context.obj.format or context.obj.style.format != "table" or context.obj.out or sys.stdout.isatty()
    if findings or asked:
        counts = ", ".join(f"{count:,} {noun}" for noun, count in result.checked.items())
        context.obj.show(answer, COLUMNS, rows=findings, head=f"{result.status}: {counts} checked ({result.mode})")
    if findings:
        raise DifferencesFound(findings=len(findings))
