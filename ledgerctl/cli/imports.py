"""ledgerctl imports list, imports show: what was imported, when, by whom, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import ROWS_MAX, Context, Group
from ledgerctl.errors import Exit, ImportNotFound

COLUMNS = (
    "import_id", "status", "rows", "posted", "replayed", "rejected", "totals", "file", "sha256", "rejects_file",
    "actor", "started_at", "finished_at", "duration_s",
)  # fmt: skip
TABLE = ("import_id", "status", "rows", "posted", "replayed", "rejected", "totals", "file", "started_at")
imports = typer.Typer(cls=Group, help="Look at receipts of imports.")


def register(root: typer.Typer) -> None:
    root.add_typer(imports, name="imports")


@imports.command("list", epilog=output.exits(Exit.USAGE))
def list_(
    context: Context,
    limit: Annotated[int, typer.Option(min=1, max=ROWS_MAX, help="So many at most, the newest first.")] = 50,
) -> None:
    """List receipts, the newest first."""
    from ledgerctl.db import reports
    from ledgerctl.formats import objects

    rows = context.obj.read(reports.imports, limit=limit)
    context.obj.show([objects.receipt(row) for row in rows], COLUMNS, narrow=TABLE)


@imports.command(epilog=output.exits(Exit.NOT_FOUND))
def show(
    context: Context, import_id: Annotated[str, typer.Argument(metavar="ID", help="The number of the receipt.")]
) -> None:
    """Show one receipt."""
    from ledgerctl.formats import objects

    answer = objects.receipt(_found(context, import_id))
    context.obj.show(answer, COLUMNS, head=summary(answer), narrow=TABLE)


def summary(answer: dict[str, Any]) -> str:
    """A receipt in one line."""
    return (
        f"{answer['status']}: {answer['posted']} posted, {answer['replayed']} replayed, {answer['rejected']} rejected"
    )


def _found(context: Context, import_id: str) -> dict[str, Any]:
    from ledgerctl.db import reports

    rows = context.obj.read(reports.imports, int(import_id)) if import_id.isdecimal() and len(import_id) < 19 else []
    if not rows:
        raise ImportNotFound(import_id=import_id)
    return rows[0]
