"""ledgerctl reconcile: the books against themselves."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context
from ledgerctl.errors import DifferencesFound, Exit

COLUMNS = ("check", "subject", "expected", "found")


def register(root: typer.Typer) -> None:
    root.command(epilog=output.exits(Exit.DIFFERENCES, Exit.UNAVAILABLE))(reconcile)


def reconcile(
    context: Context,
    full: Annotated[bool, typer.Option("--full", help="Check everything again; today the only way.")] = False,  # noqa: ARG001 - the flag stands for a choice that comes with incremental runs
) -> None:
    """Check the books against themselves, in one snapshot. Silent in cron when all is well; exit 6 when it is not.

    Every transaction sums to zero; every balance equals its entries; entries follow one another without a gap; limits,
    currencies, orphans and reversals are as they should be.
    """
    from ledgerctl.cli.progress import bar
    from ledgerctl.services import reconciling

    with bar(context.obj, "reconcile") as progress:
        result = reconciling.run(context.obj.books, progress)

    findings = [finding._asdict() for finding in result.findings]
    answer = {"status": result.status, "checked": result.checked, "findings": findings}
    asked = context.obj.format or context.obj.style.format != "table" or context.obj.out or sys.stdout.isatty()
    if findings or asked:
        counts = ", ".join(f"{count:,} {noun}" for noun, count in result.checked.items())
        context.obj.show(answer, COLUMNS, rows=findings, head=f"{result.status}: {counts} checked")
    if findings:
        raise DifferencesFound(findings=len(findings))
