"""ledgerctl transfer, post, reverse, transaction show: one transaction at a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ledgerctl import tracing
from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context, Group
from ledgerctl.cli.sending import send
from ledgerctl.errors import BadUsage, Exit, TransactionNotFound

if TYPE_CHECKING:
    from ledgerctl.core.model import Transaction
    from ledgerctl.services.payments import Receipt

ENTRY_COLUMNS = ("account", "debit", "credit", "currency", "balance")
POSTED_FIELDS = ("transaction_id", "status", "kind", "idempotency_key", "posted_at", *ENTRY_COLUMNS)
KEY_HELP = "Repeating a request with its key changes nothing. Made and shown when not given."
transactions = typer.Typer(cls=Group, help="Look at transactions.")


class AmountCommand(TyperCommand):
    """Takes `-5` for the amount it is meant to be, which is refused as one, and not for an unknown option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from ledgerctl.core import money

        for before, arg in zip(["", *args], args, strict=False):
            if re.match(r"-[0-9.]", arg) and not re.fullmatch(r"-i|--[a-z-]+", before):
                money.parse(arg)
        return super().parse_args(ctx, args)


def register(root: typer.Typer) -> None:
    root.command(cls=AmountCommand, epilog=output.exits(Exit.USAGE, Exit.REFUSED, Exit.NOT_FOUND, Exit.CONFLICT))(
        transfer
    )
    root.command(epilog=output.exits(Exit.USAGE, Exit.REFUSED, Exit.NOT_FOUND, Exit.CONFLICT))(post)
    root.command(epilog=output.exits(Exit.USAGE, Exit.REFUSED, Exit.NOT_FOUND, Exit.CONFLICT))(reverse)
    root.add_typer(transactions, name="transaction")


def transfer(
    context: Context,
    source: Annotated[str, typer.Argument(metavar="FROM", help="The account to debit.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The account to credit.")],
    amount: Annotated[str, typer.Argument(help="For example 12.50; '12.50 EUR' in one word is fine too.")],
    currency: Annotated[str, typer.Argument(help="For example EUR; by default the account's.")] = "",
    key: Annotated[str | None, typer.Option("--idempotency-key", "-i", metavar="KEY", help=KEY_HELP)] = None,
    description: Annotated[str | None, typer.Option(help="Text for people.")] = None,
    reference: Annotated[str | None, typer.Option(help="An identifier from elsewhere.")] = None,
    effective_at: Annotated[str | None, typer.Option(metavar="TIME", help="When it took effect, if not now.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would happen, and undo it.")] = False,
) -> None:
    """Move money from FROM to TO. Repeating it with the same key changes nothing."""
    from ledgerctl.cli.pairs import pairs
    from ledgerctl.core import money, requesting, texts
    from ledgerctl.ids import uuid7

    context.obj.prepare(POSTED_FIELDS)
    value, named = money.parse_with_currency(amount)
    if named and currency and named != currency:
        raise BadUsage(detail=f"the amount says {named} and the argument {currency}")
    request = requesting.transfer(
        uuid7(),
        context.obj.key(key),
        texts.account_code(source),
        texts.account_code(target),
        value,
        money.currency_code(named or currency) if named or currency else None,
        description=description,
        reference=reference,
        effective_at=effective_at,
        metadata=pairs(metadata, "--metadata"),
    )

    send(context.obj, request, lambda receipt: _show(context, receipt, dry_run=dry_run), dry_run=dry_run)


def post(
    context: Context,
    file: Annotated[str, typer.Argument(help="A JSON file, or - for standard input.")],
    key: Annotated[str | None, typer.Option("--idempotency-key", "-i", metavar="KEY", help=KEY_HELP)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would happen, and undo it.")] = False,
) -> None:
    """Post a transaction of any number of debits and credits, such as a payment with its fee.

    The file holds {"entries": [{"account", "debit" or "credit", "currency"}, ...]} and optionally idempotency_key,
    description, reference, effective_at and metadata.
    """
    from ledgerctl.cli import files
    from ledgerctl.formats import journal_json
    from ledgerctl.ids import uuid7

    def chosen(named: str | None) -> str:
        if named is not None and key is not None and named != key:
            raise BadUsage(detail=f"the file has the key '{named}' and the option says '{key}'")
        return context.obj.key(key if named is None else named)

    context.obj.prepare(POSTED_FIELDS)

    request = journal_json.read(file, files.content(file, journal_json.SIZE_MAX), uuid7(), chosen)

    send(context.obj, request, lambda receipt: _show(context, receipt, dry_run=dry_run), dry_run=dry_run)


def reverse(
    context: Context,
    transaction: Annotated[str, typer.Argument(metavar="ID|KEY", help="The transaction to reverse.")],
    key: Annotated[str | None, typer.Option("--idempotency-key", "-i", metavar="KEY", help=KEY_HELP)] = None,
    amount: Annotated[
        str | None, typer.Option(metavar="X", help="Reverse this much of it, once; two-entry ones only.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it becomes the description.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would happen, and undo it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    confirm: Annotated[str, typer.Option(metavar="NAME", help="Name the protected profile.")] = "",
) -> None:
    """Post the opposite of a transaction, linked to it. Each can be reversed once, whole or in part."""
    from ledgerctl.core import money
    from ledgerctl.ids import uuid7
    from ledgerctl.services import payments

    context.obj.prepare(POSTED_FIELDS)
    value = None if amount is None else money.parse(amount)
    original = _found(context, transaction)
    if not dry_run:
        moved = ", ".join(
            f"{line.account} {money.text(line.amount, line.exponent)} {line.currency}" for line in original.lines
        )
        question = f"Reverse {original.kind} {original.id} ({moved}){f' by {amount}' if amount else ''}?"
        context.obj.confirm(question, yes=yes, confirm=confirm)
    request = payments.reversing(context.obj.books, uuid7(), context.obj.key(key), original.id, value, reason)

    send(context.obj, request, lambda receipt: _show(context, receipt, dry_run=dry_run), dry_run=dry_run)


@transactions.command(epilog=output.exits(Exit.NOT_FOUND))
def show(
    context: Context, transaction: Annotated[str, typer.Argument(metavar="ID|KEY", help="Its id or its key.")]
) -> None:
    """Show a transaction with its entries, by its id or its idempotency key."""
    from ledgerctl.formats import objects

    shape = objects.transaction(_found(context, transaction))

    told = {name: value for name, value in shape.items() if name not in ("entries", "transaction_id") and value}
    width = max(map(len, told))
    lines = [
        f"{name.replace('_', ' ').ljust(width)}  {output.plain(output.text(value))}" for name, value in told.items()
    ]
    head = "\n".join([f"transaction {shape['transaction_id']}", *lines, ""])
    context.obj.show(shape, ENTRY_COLUMNS, rows=shape["entries"], head=head)


def _found(context: Context, reference: str) -> Transaction:
    """By its id, or else by its key, which may look like an id."""
    from uuid import UUID

    from ledgerctl.db import reports

    try:
        return context.obj.read(reports.transaction, UUID(reference))
    except (ValueError, TransactionNotFound):
        return context.obj.read(reports.transaction, reference)


def _show(context: Context, receipt: Receipt, *, dry_run: bool) -> None:
    from ledgerctl.formats import objects

    status = receipt.status
    if not dry_run:
        context.obj.ended(status)
    shape = objects.posted(receipt.transaction, status)
    if receipt.replayed:
        context.obj.note(f"this key was posted before; nothing {'would be' if dry_run else 'was'} posted now")
    tracing.tell(outcome="dry run" if dry_run else status)
    if dry_run:
        shape["dry_run"] = True
    head = f"{'dry run: would be ' if dry_run else ''}{status} {shape['transaction_id']}"
    context.obj.show(shape, ENTRY_COLUMNS, rows=shape["entries"], head=head)
