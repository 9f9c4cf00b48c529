"""ledgerctl import, imports list, imports show: files of transfers, and their receipts."""

from __future__ import annotations

from typing import Annotated

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import ROWS_MAX, Context, Group
from ledgerctl.errors import Exit, ImportNotFound

COLUMNS = (
    "import_id", "status", "rows", "posted", "replayed", "rejected", "totals", "file", "sha256", "rejects_file",
    "actor", "started_at", "finished_at",
)  # fmt: skip

TABLE = ("import_id", "status", "rows", "posted", "replayed", "rejected", "totals", "file", "started_at")
imports = typer.Typer(cls=Group, help="Look at receipts of imports.")


def register(root: typer.Typer) -> None:
    root.command("import", epilog=output.exits(Exit.USAGE, Exit.REFUSED, Exit.TRY_AGAIN))(import_)
    root.add_typer(imports, name="imports")


def import_(
    context: Context,
    file: Annotated[str, typer.Argument(help="A CSV file, or - for standard input.")],
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="FIELD=COLUMN|TEMPLATE", help="For example to=bank:{bank}:{account}. Repeatable."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="For example currency=CZK. Repeatable.")
    ] = None,
    delimiter: Annotated[str, typer.Option(help="One character; \\t for a tab.")] = ",",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Do it all, show the result, and undo it.")] = False,
) -> None:
    """Post every transfer of a CSV file, or none. The same file is always safe to import again.

    The fields are from, to, amount, currency, and optionally idempotency_key (or key), description, reference and
    effective_at; each is read from the column of its name unless --map or --set say otherwise. Without a key, a row's
    key derives from the file's content and the row's number.
    """
    from ledgerctl.cli import files
    from ledgerctl.cli.progress import bar
    from ledgerctl.formats import objects, transfer_csv
    from ledgerctl.services import importing

    context.obj.prepare(COLUMNS)
    books = context.obj.books
    source, columns, constants, character = files.opened(
        file, map_, set_, delimiter, transfer_csv.FIELDS, transfer_csv.ALIASES
    )
    with bar(context.obj, "import") as progress:
        result = importing.run(
            books, transfer_csv.TransferFile(source, columns, constants, character), progress, dry_run=dry_run
        )

    answer = objects.receipt(result.receipt)
    if dry_run:
        answer["dry_run"] = True
    if result.tally.rejected:
        context.obj.changes = False
        files.report(context.obj, result.tally.rejects)
    elif result.tally.replayed and not result.tally.posted:
        context.obj.note(f"every row was posted before; nothing {'would be' if dry_run else 'was'} posted now")
    context.obj.show(answer, COLUMNS, head=_summary(answer), narrow=TABLE)
    if result.tally.rejected:
        raise files.rejection(
            file, result.tally.rejects, result.tally.rejected, result.tally.rows, "nothing was posted"
        )


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
    from ledgerctl.db import reports
    from ledgerctl.formats import objects

    rows = context.obj.read(reports.imports, int(import_id)) if import_id.isdecimal() and len(import_id) < 19 else []
    if not rows:
        raise ImportNotFound(import_id=import_id)
    answer = objects.receipt(rows[0])
    context.obj.show(answer, COLUMNS, head=_summary(answer), narrow=TABLE)


def _summary(answer: dict[str, object]) -> str:
    return (
        f"{answer['status']}: {answer['posted']} posted, {answer['replayed']} replayed, {answer['rejected']} rejected"
    )
