"""ledgerctl ledger, currency: further books, and what they count in."""

from __future__ import annotations

from typing import Annotated

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context, Group
from ledgerctl.errors import Exit

ledger = typer.Typer(cls=Group, help="Keep several sets of books in one database.")
currency = typer.Typer(cls=Group, help="Currencies of the ledger: those of ISO 4217, and your own.")


def register(root: typer.Typer) -> None:
    root.add_typer(ledger, name="ledger")
    root.add_typer(currency, name="currency")


@ledger.command("create", epilog=output.exits(Exit.USAGE))
def create_ledger(context: Context, name: Annotated[str, typer.Argument(help="For example eu.")]) -> None:
    """Create a ledger. Creating it again changes nothing."""
    from ledgerctl.core import texts
    from ledgerctl.services import accounts, books

    books.require_schema(context.obj.database)
    created = accounts.create_ledger(
        context.obj.database, texts.account_code(name), context.obj.who, context.obj.request_id
    )
    context.obj.show({"ledger": name, "created": created}, ("ledger", "created"))


@ledger.command("list", epilog=output.exits(Exit.USAGE))
def list_ledgers(context: Context) -> None:
    """List the ledgers of the database."""
    from ledgerctl.core import times
    from ledgerctl.db import reports
    from ledgerctl.services import books

    books.require_schema(context.obj.database)
    rows = context.obj.database.read(reports.ledgers)
    answer = [{"ledger": row["name"], "created_at": times.text(row["created_at"])} for row in rows]
    context.obj.show(answer, ("ledger", "created_at"))


@currency.command("add", epilog=output.exits(Exit.USAGE, Exit.CONFLICT))
def add_currency(
    context: Context,
    code: Annotated[str, typer.Argument(help="For example BTC or POINTS.")],
    exponent: Annotated[int, typer.Option(help="How many decimals it has, 0 to 18. It never changes.")],
) -> None:
    """Add a currency that ISO 4217 does not have."""
    from ledgerctl.services import accounts

    accounts.add_currency(context.obj.books, code, exponent)
    context.obj.show({"code": code, "exponent": exponent}, ("code", "exponent"))


@currency.command("list", epilog=output.exits(Exit.USAGE))
def list_currencies(context: Context) -> None:
    """List the currencies of the ledger with their decimals."""
    from ledgerctl.db import reports

    context.obj.show(context.obj.read(reports.currencies), ("code", "exponent"))
