"""ledgerctl imports list, show, reverse: what was imported, when, by whom, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import ROWS_MAX, Context, Group
from ledgerctl.errors import Exit, ImportNotFound, ImportNotReversible

if TYPE_CHECKING:
    from ledgerctl.services.import_reversal import Reversal

COLUMNS = (
    "import_id", "status", "rows", "posted", "replayed", "rejected", "totals", "file", "sha256", "rejects_file",
    "actor", "started_at", "finished_at", "duration_s", "reversed_at",
)  # fmt: skip
TABLE = ("import_id", "status", "rows", "posted", "replayed", "rejected", "totals", "file", "started_at", "reversed_at")
REVERSED = ("import_id", "status", "reversed", "replayed", "partial", "totals")
STUCK = ("row", "transaction_id", "code", "message")
imports = typer.Typer(cls=Group, help="Look at receipts of imports, and reverse them.")


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


@imports.command(epilog=output.exits(Exit.REFUSED, Exit.NOT_FOUND, Exit.TRY_AGAIN))
def reverse(
    context: Context,
    import_id: Annotated[str, typer.Argument(metavar="ID", help="The number of the receipt.")],
    reason: Annotated[str | None, typer.Option(help="Why; it becomes the description of the reversals.")] = None,
    skip_partial: Annotated[
        bool, typer.Option("--skip-partial", help="Leave rows alone that were reversed in part.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would happen, and undo it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    confirm: Annotated[str, typer.Option(metavar="NAME", help="Name the protected profile.")] = "",
) -> None:
    """Reverse all that an import posted, or nothing: then every row that cannot be reversed is named."""
    from ledgerctl.cli.progress import bar
    from ledgerctl.services import import_reversal

    context.obj.prepare(REVERSED)
    receipt = _found(context, import_id)
    if not dry_run:
        question = f"Reverse the {receipt['posted']:,} transactions of import {import_id} ({receipt['file']})?"
        context.obj.confirm(question, yes=yes, confirm=confirm)
    with bar(context.obj, "reverse") as progress:
        asked = import_reversal.Asked(receipt["id"], reason, skip_partial)
        done = import_reversal.reverse(context.obj.books, asked, progress, dry_run=dry_run)

    if done.stuck:
        context.obj.changes = False
        rows = [{**stuck._asdict(), "transaction_id": str(stuck.transaction_id)} for stuck in done.stuck]
        context.obj.show(rows, STUCK)
        raise ImportNotReversible(import_id=import_id, stuck=len(rows), total=receipt["posted"])
    if done.replayed and not done.reversed:
        context.obj.note("it was reversed before; nothing was posted now")
    if not dry_run:
        context.obj.outcomes.update(posted=done.reversed, replayed=done.replayed)
    context.obj.show(_reversed(done, dry_run=dry_run), REVERSED)


def _reversed(done: Reversal, *, dry_run: bool) -> dict[str, Any]:
    status = "dry-run" if dry_run else "reversed" if done.reversed or not done.replayed else "replayed"
    return {
        "import_id": str(done.import_id),
        "status": status,
        "reversed": done.reversed,
        "replayed": done.replayed,
        "partial": done.partial,
        "totals": dict(done.totals),
    }


def summary(answer: dict[str, Any]) -> str:
    """A receipt in one line."""
    counts = f"{answer['posted']} posted, {answer['replayed']} replayed, {answer['rejected']} rejected"
    return f"{answer['status']}: {counts}{', reversed since' if answer['reversed_at'] else ''}"


def _found(context: Context, import_id: str) -> dict[str, Any]:
    from ledgerctl.db import reports

    rows = context.obj.read(reports.imports, int(import_id)) if import_id.isdecimal() and len(import_id) < 19 else []
    if not rows:
        raise ImportNotFound(import_id=import_id)
    return rows[0]
