"""ledgerctl resolve: what became of requests that were cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context
from ledgerctl.errors import BadUsage, Exit, IdempotencyConflict, LedgerError, LedgerNotFound, Unsettled

if TYPE_CHECKING:
    from ledgerctl.cli.invocation import Invocation
    from ledgerctl.pending import Pending
    from ledgerctl.services.books import Books

COLUMNS = ("idempotency_key", "status", "transaction_id", "kind", "request", "ledger", "written_at", "actor", "place")
TABLE = ("idempotency_key", "status", "transaction_id", "request", "ledger", "written_at")
LEFT = ("not posted", "refused", "in progress", "elsewhere")
"""With these, the request stays where it is."""


def register(root: typer.Typer) -> None:
    root.command(epilog=output.exits(Exit.TRY_AGAIN, Exit.OUTCOME_UNKNOWN))(resolve)


def resolve(
    context: Context,
    post: Annotated[bool, typer.Option("--post", help="Post what was not posted, under its own key.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Forget what was not posted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    confirm: Annotated[str, typer.Option(metavar="NAME", help="Name the protected profile.")] = "",
) -> None:
    """Tell what became of transfers, posts and reversals that were killed or lost the database, and settle them.

    Each was kept with its key before it was sent. What was posted is told and forgotten. What was not stays, since
    somebody may have sent it again by other means: --post posts it now, --drop forgets it.
    """
    from ledgerctl import pending

    if post and drop:
        raise BadUsage(detail="either --post or --drop")
    context.obj.prepare(COLUMNS)
    found = pending.left(context.obj.configuration.state_directory)
    context.obj.changes = bool(found)
    if found and (post or drop):
        verb = "Post" if post else "Forget"
        context.obj.confirm(f"{verb} what was not posted of {len(found)} requests?", yes=yes, confirm=confirm)

    answers = [_settle(context.obj, one, post=post, drop=drop) for one in found]

    if not answers:
        context.obj.note("every request has a known outcome")
    context.obj.show(answers, COLUMNS, narrow=TABLE)
    left = [answer for answer in answers if answer["status"] in LEFT]
    if left:
        raise Unsettled(left=len(left), total=len(answers))


def _settle(invocation: Invocation, one: Pending, *, post: bool, drop: bool) -> dict[str, Any]:
    from ledgerctl import pending
    from ledgerctl.services import payments

    books = None if one.alive else _books(invocation, one)
    if books is None:
        return _answer(one, "in progress" if one.alive else "elsewhere")
    status, transaction_id = "not posted", None
    try:
        found = payments.settled(books, one.request)
        if found is not None:
            status, transaction_id = "posted", str(found.id)
        elif post:
            status, transaction_id = "posted now", str(payments.post_one(books, one.request).transaction.id)
        elif drop:
            status = "dropped"
    except IdempotencyConflict as error:  # this one will never be posted
        status, transaction_id = "key in use", error.details["transaction_id"]
        invocation.note(f"{one.request.key}: {error}")
    except LedgerError as error:
        if error.exit_code not in (Exit.REFUSED, Exit.CONFLICT, Exit.NOT_FOUND):
            raise
        status = "refused"  # today; another day there may be funds
        invocation.note(f"{one.request.key}: {error}")
    if status not in LEFT and one.path is not None:
        pending.forget(one.path)
    return _answer(one, status, transaction_id)


def _books(invocation: Invocation, one: Pending) -> Books | None:
    """The ledger that the request was for, if it is in this database."""
    from ledgerctl.cli.sending import born
    from ledgerctl.services.books import open_books

    try:
        books = open_books(invocation.database, one.ledger, invocation.who, invocation.request_id, invocation.cache)
    except LedgerNotFound:
        return None
    return books if born(books) == one.ledger_created_at else None


def _answer(one: Pending, status: str, transaction_id: str | None = None) -> dict[str, Any]:
    request = one.request
    legs = [f"{leg.side} {leg.account} {leg.amount:f} {leg.currency or ''}".rstrip() for leg in request.legs]
    return {
        "idempotency_key": request.key,
        "status": status,
        "transaction_id": transaction_id,
        "kind": request.kind.value,
        "request": ", ".join(legs),
        "ledger": one.ledger,
        "written_at": one.written_at,
        "actor": one.actor,
        "place": one.place,
    }
