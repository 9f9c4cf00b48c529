"""One request on its way: in a file before it is sent, and out of it when its outcome is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ledgerctl.cli import output

if TYPE_CHECKING:
    from ledgerctl.cli.invocation import Invocation
    from ledgerctl.core.model import Request
    from ledgerctl.services.books import Books
    from ledgerctl.services.payments import Receipt


def send(invocation: Invocation, request: Request, show: Callable[[Receipt], None], *, dry_run: bool = False) -> None:
    """Post a request and show its receipt. See `payments.post_one` and, for what is cut short, `pending.kept`."""
    from ledgerctl import pending
    from ledgerctl.core import times
    from ledgerctl.services import payments

    books = invocation.books
    if dry_run:
        show(payments.post_one(books, request, dry_run=True))
        return
    directory = invocation.configuration.state_directory
    _remind(invocation, pending.lost(directory))
    now = times.text(datetime.now(UTC).replace(microsecond=0))
    about = pending.Pending(request, books.name, born(books), books.database.place, books.actor, now)
    unseen = None
    with pending.kept(directory, about, lambda: books.database.in_doubt):
        receipt = payments.post_one(books, request)
        try:
            show(receipt)  # until it is seen, the outcome is not known
        except output.AnswerLost as lost:
            unseen = lost  # the exit code tells it
    if unseen is not None:
        raise unseen


def _remind(invocation: Invocation, lost: int) -> None:
    if lost:
        have = "request has" if lost == 1 else "requests have"
        invocation.note(f"{lost} earlier {have} no known outcome: ledgerctl resolve")


def born(books: Books) -> str:
    """What tells a ledger from its namesakes."""
    from ledgerctl.core import times

    return "" if books.created_at is None else times.text(books.created_at)
