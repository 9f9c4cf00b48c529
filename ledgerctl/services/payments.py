"""Post requests: transfers, journals, reversals. The one posting path, for one request or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from ledgerctl import errors
from ledgerctl.core.decision import Reason, decide
from ledgerctl.core.differences import differences
from ledgerctl.core.model import Outcome, Posted, Refused, Replayed, Request, Transaction, recorded
from ledgerctl.core.requesting import reversal
from ledgerctl.db import audit, journal, reports
from ledgerctl.db.connection import Connection
from ledgerctl.services.books import Books


class Receipt(NamedTuple):
    """What became of one request that was not refused."""

    transaction: Transaction
    replayed: bool


def post(books: Books, requests: Sequence[Request]) -> list[Outcome]:
    """One outcome a request, in order, in one transaction. The same requests may be sent again."""
    return books.database.transact(_post, books, requests)


def post_one(books: Books, request: Request, *, dry_run: bool = False) -> Receipt:
    """Post one request: a refusal, a value in a batch, is an error to whoever asked for one thing."""
    return _one(books, lambda _conn: request, dry_run=dry_run)


def reverse(
    books: Books,
    transaction_id: UUID,
    key: str,
    original: UUID,
    amount: Decimal | None,
    reason: str | None,
    *,
    dry_run: bool = False,
) -> Receipt:
    """Post the opposite of a transaction, whole or by `amount`. TransactionNotFound, and the refusals of posting."""

    def opposite(conn: Connection) -> Request:
        found = journal.originals(conn, books.ledger, [original]).get(original)
        if found is None:
            raise errors.TransactionNotFound(reference=str(original))
        return reversal(transaction_id, key, found, amount, reason)

    return _one(books, opposite, dry_run=dry_run)


def _one(books: Books, ask: Callable[[Connection], Request], *, dry_run: bool) -> Receipt:
    def work(conn: Connection) -> Outcome:
        [outcome] = _post(conn, books, [ask(conn)])
        return outcome

    database = books.database
    outcome = database.rehearse(database.limits, work) if dry_run else database.transact(work)
    if isinstance(outcome, Refused):
        raise _refusal(books, outcome)
    if isinstance(outcome, Replayed):
        transaction = database.read(reports.transaction, books.ledger, outcome.known.id)
        # Our own id means that an earlier attempt of this very call had been committed after all.
        return Receipt(transaction, replayed=outcome.known.id != outcome.request.id)
    return Receipt(recorded(outcome), replayed=False)


def _post(conn: Connection, books: Books, requests: Sequence[Request]) -> list[Outcome]:
    # Run again from the start after a lost race: SQL and pure functions only.
    facts = journal.gather(conn, books.ledger, requests)

    decision = decide(requests, facts)

    journal.write(conn, books.ledger, decision.posted(), decision.standings)
    lines = [_line(outcome) for outcome in decision.outcomes if not isinstance(outcome, Replayed)]
    audit.log(conn, books.ledger, books.actor, books.request_id, lines)
    return decision.outcomes


def _line(outcome: Posted | Refused) -> audit.Line:
    request = outcome.request
    if isinstance(outcome, Posted):
        return audit.Line(request.kind, str(request.id), "posted")
    detail = {"reason": outcome.reason, **outcome.details}
    return audit.Line(request.kind, request.key, "refused", detail)


def _refusal(books: Books, refused: Refused) -> errors.LedgerError:
    details = dict(refused.details)
    if refused.reason == Reason.IDEMPOTENCY_CONFLICT and refused.known is not None:
        stored = books.database.read(reports.transaction, books.ledger, refused.known.id)
        details["fields"] = ", ".join(differences(stored, refused.request))
    return errors.by_code(refused.reason)(**details)
