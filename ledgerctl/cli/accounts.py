"""ledgerctl account: create, list, show, freeze, unfreeze, close, import."""

from __future__ import annotations

from typing import Annotated

import typer

from ledgerctl.cli import options, output
from ledgerctl.cli.completion import remember_accounts
from ledgerctl.cli.invocation import ROWS_MAX, Context, Group
from ledgerctl.errors import Exit

COLUMNS = (
    "code", "name", "type", "currency", "status", "balance", "min_balance", "max_balance", "seq", "created_at",
    "metadata",
)  # fmt: skip

TABLE = ("code", "name", "type", "currency", "status", "balance", "min_balance", "max_balance", "seq")

app = typer.Typer(cls=Group, help="Create accounts and look after them.")


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="account")


@app.command(epilog=output.exits(Exit.USAGE, Exit.CONFLICT))
def create(
    context: Context,
    code: Annotated[str, typer.Argument(help="For example customers:alice; ':' separates levels.")],
    currency: Annotated[str, typer.Option(help="For example EUR. It never changes.")],
    type_: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="asset, liability, equity, income or expense.")
    ] = "liability",
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    min_balance: Annotated[
        str,
        typer.Option(metavar="X|none", help="Refuse what goes below; by default 0 for assets and liabilities."),
    ] = "",
    max_balance: Annotated[str, typer.Option(metavar="X|none", help="Refuse what goes above.")] = "none",
    metadata: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")] = None,
) -> None:
    """Create an account. Creating it again with the same attributes changes nothing."""
    from ledgerctl.cli.pairs import pairs
    from ledgerctl.db import accounts as tables
    from ledgerctl.db import reports
    from ledgerctl.formats import account_csv, objects
    from ledgerctl.services import accounts

    context.obj.prepare(COLUMNS)
    books = context.obj.books
    given = {
        "code": code, "currency": currency, "type": type_, "name": name,
        "min_balance": min_balance, "max_balance": max_balance,
    }  # fmt: skip
    exponents = context.obj.read(tables.exponents)
    new = account_csv.new_account(given, exponents, pairs(metadata, "--metadata"))
    if not accounts.create(books, [new]).created:
        context.obj.note(f"account '{code}' was there already")
    remember_accounts(context.obj.configuration.profile, [code])

    context.obj.show(objects.account(context.obj.read(reports.require_account, code)), COLUMNS, narrow=TABLE)


@app.command("list", epilog=output.exits(Exit.USAGE))
def list_(
    context: Context,
    prefix: Annotated[str, typer.Argument(help="A branch, for example customers.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=ROWS_MAX, help="So many at most.")] = 50,
    after: Annotated[str, typer.Option(metavar="CODE", help="Go on after this account.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Every one there is.")] = False,
) -> None:
    """List accounts by code."""
    from ledgerctl.db import reports
    from ledgerctl.formats import objects

    prefix = prefix.rstrip(":")
    rows = context.obj.read(reports.accounts, prefix, after, None if all_ else limit)
    if len(rows) == limit and not all_:
        total = context.obj.read(reports.count_accounts, prefix)
        if total > limit:
            context.obj.note(f"{limit} of {total:,}; --all, or --after {rows[-1]['code']}")

    remember_accounts(context.obj.configuration.profile, [row["code"] for row in rows])
    context.obj.show([objects.account(row) for row in rows], COLUMNS, narrow=TABLE)


@app.command(epilog=output.exits(Exit.NOT_FOUND))
def show(context: Context, code: Annotated[str, typer.Argument(help="The account.")]) -> None:
    """Show one account."""
    from ledgerctl.db import reports
    from ledgerctl.formats import objects

    context.obj.show(objects.account(context.obj.read(reports.require_account, code)), COLUMNS, narrow=TABLE)


@app.command(epilog=output.exits(Exit.REFUSED, Exit.NOT_FOUND))
def freeze(context: Context, code: Annotated[str, typer.Argument(help="The account.")]) -> None:
    """Refuse every posting to the account until it is unfrozen."""
    from ledgerctl.services import accounts

    context.obj.prepare(COLUMNS)
    accounts.freeze(context.obj.books, code)
    show(context, code)


@app.command(epilog=output.exits(Exit.REFUSED, Exit.NOT_FOUND))
def unfreeze(context: Context, code: Annotated[str, typer.Argument(help="The account.")]) -> None:
    """Let a frozen account be posted to again."""
    from ledgerctl.services import accounts

    context.obj.prepare(COLUMNS)
    accounts.unfreeze(context.obj.books, code)
    show(context, code)


@app.command(epilog=output.exits(Exit.USAGE, Exit.REFUSED, Exit.NOT_FOUND))
def close(
    context: Context,
    code: Annotated[str, typer.Argument(help="The account.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    confirm: Annotated[str, typer.Option(metavar="NAME", help="Name the protected profile.")] = "",
) -> None:
    """Close an account for good. Its balance must be zero."""
    from ledgerctl.services import accounts

    books = context.obj.books
    context.obj.confirm(f"Close account '{code}' for good?", yes=yes, confirm=confirm)
    accounts.close(books, code)
    show(context, code)


@app.command("import", epilog=output.exits(Exit.USAGE, Exit.REFUSED, Exit.CONFLICT))
def import_(
    context: Context,
    file: Annotated[str, typer.Argument(help="A CSV file, or - for standard input.")],
    map_: options.Map = None,
    set_: options.Set = None,
    map_name: options.MapName = "",
    delimiter: options.Delimiter = None,
    decimal: options.Decimal = None,
    encoding: options.Encoding = None,
    date_format: options.DateFormat = None,
    skip_lines: options.SkipLines = None,
) -> None:
    """Create accounts from a CSV file with code,currency and optionally type,name,min_balance,max_balance.

    All of them or none. Accounts that are there already with the same attributes stay as they are, and rows of the
    file that name the same account alike count once.
    """
    from ledgerctl.cli import files
    from ledgerctl.db import accounts as tables
    from ledgerctl.formats import account_csv
    from ledgerctl.services import accounts

    books = context.obj.books
    given = options.Given(map_, set_, map_name, delimiter, decimal, encoding, date_format, skip_lines)
    source, columns, constants, dialect = files.opened(context.obj, file, given, account_csv.FIELDS, {})
    exponents = context.obj.read(tables.exponents)
    new, rejects, rows = account_csv.read(source, columns, constants, dialect, exponents)
    if rejects:
        files.report(context.obj, rejects)
        raise files.rejection(file, rejects, len(rejects), rows, "no account was created")
    done = accounts.create(books, new)
    remember_accounts(context.obj.configuration.profile, [account.code for account in new])

    answer = {"file": file, "rows": rows, "created": done.created, "unchanged": done.unchanged}
    context.obj.show(answer, tuple(answer))
