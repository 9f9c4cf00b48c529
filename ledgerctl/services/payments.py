"""Post requests: transfers, journals, reversals. The one posting path, for one request or many."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from ledgerctl import errors
from ledgerctl.core.decision import Facts, Reason, decide
from ledgerctl.core.differences import differences
from ledgerctl.core.model import Earlier, Outcome, Posted, Refused, Replayed, Request, Stands, Transaction, recorded
from ledgerctl.core.requesting import reversal
from ledgerctl.core.volume import volume
from ledgerctl.db import audit, journal, reports
from ledgerctl.db.connection import Connection
from ledgerctl.services.balance_changes import Change, changing
from ledgerctl.services.books import Books
from ledgerctl.tracing import span


class Receipt(NamedTuple):
    """What became of one request that was not refused."""

    transaction: Transaction
    replayed: bool


def post(books: Books, requests: Sequence[Request]) -> list[Outcome]:
    """One outcome a request, in order, in one transaction. The same requests may be sent again."""
    with changing(books) as change:
        return books.database.transact(_post, books, requests, change)


def post_one(books: Books, request: Request, *, dry_run: bool = False) -> Receipt:
    """Post one request: a refusal, a value in a batch, is an error to whoever asked for one thing."""
    if not dry_run and books.outcomes is not None and (known := books.outcomes.find(request)) is not None:
        return Receipt(known, replayed=known.id != request.id)

    def work(conn: Connection, change: Change | None = None) -> tuple[Outcome, Transaction | None]:
        [outcome] = _post(conn, books, [request], change)
        return outcome, _stored(conn, books, outcome)

    database = books.database
    if dry_run:
        outcome, stored = database.rehearse(database.limits, work)
    else:
        with changing(books) as change:
            outcome, stored = database.transact(work, change)
    if isinstance(outcome, Refused):
        raise _refusal(outcome, stored)
    # Our own id means that an earlier attempt of this very call had been committed after all.
    done = recorded(outcome) if isinstance(outcome, Posted) else stored
    assert done is not None  # noqa: S101 - a replay names what it repeats
    if not dry_run and books.outcomes is not None:
        books.outcomes.keep(request, done)
    return Receipt(done, replayed=done.id != request.id)


def reversing(
    books: Books, transaction_id: UUID, key: str, original: UUID, amount: Decimal | None, reason: str | None
) -> Request:
    """The request to post the opposite of a transaction, whole or by `amount`. TransactionNotFound."""
    found = books.database.read(journal.originals, books.ledger, [original]).get(original)
    if found is None:
        raise errors.TransactionNotFound(reference=str(original))
    return reversal(transaction_id, key, found, amount, reason)


def settled(books: Books, request: Request) -> Transaction | None:
    """What was posted under the key of a request that was sent once, or None when nothing was, and nothing will be.

    Asked under the locks of its accounts: a transaction that is still on its way holds them until it ends.
    IdempotencyConflict when the key was used for something else.
    """

    def ask(conn: Connection, change: Change) -> tuple[Earlier, Transaction] | None:
        facts, writer = journal.gather(conn, books.ledger, [request])
        known = facts.known.get(request.key)
        if known is None:
            return None
        change.mark(conn, writer, facts.accounts, {}, facts.standings)
        return known, reports.transaction(conn, books.ledger, known.id)

    with changing(books) as change:
        found = books.database.transact(ask, change)
    if found is None:
        return None
    known, stored = found
    if known.fingerprint != request.fingerprint:
        details = {"key": request.key, "transaction_id": str(known.id)}
        raise errors.IdempotencyConflict(**details, fields=", ".join(differences(stored, request)))
    return stored


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
    return post_one(books, reversing(books, transaction_id, key, original, amount, reason), dry_run=dry_run)


def _post(conn: Connection, books: Books, requests: Sequence[Request], change: Change | None) -> list[Outcome]:
    # Run again from the start after a lost race: SQL and pure functions only, and marks, which say nothing new.
    facts, writer = journal.gather(conn, books.ledger, requests)

    with span("decide"):
        decision = decide(requests, facts)

    journal.write(conn, books.ledger, decision.posted(), decision.standings)
    lines = [_line(outcome) for outcome in decision.outcomes if not isinstance(outcome, Replayed)]
    audit.log(conn, books.ledger, books.actor, books.request_id, lines)
    if change is not None:
        change.mark(conn, writer, facts.accounts, decision.standings, _repeated(decision.outcomes, facts))
    return decision.outcomes


def _repeated(outcomes: Sequence[Outcome], facts: Facts) -> dict[str, Stands]:
    """Where the accounts of replays stand, which are about to be told of again; one may have another code by now."""
    replays = [outcome.request for outcome in outcomes if isinstance(outcome, Replayed)]
    named = {leg.account for request in replays for leg in request.legs}
    return {code: facts.standings[code] for code in named & facts.standings.keys()}


def _line(outcome: Posted | Refused) -> audit.Line:
    request = outcome.request
    if isinstance(outcome, Posted):
        posted = audit.activity(1, len(outcome.entries), volume(outcome.entries))
        return audit.Line(request.kind, str(request.id), "posted", posted)
    detail = {"reason": outcome.reason, **outcome.details}
    return audit.Line(request.kind, request.key, "refused", detail)


def _stored(conn: Connection, books: Books, outcome: Outcome) -> Transaction | None:
    """What was posted under the key before, if anything was.

    Read in the transaction that found the key: if a read of its own failed, what is posted would be told as a failure.
    """
    known = None if isinstance(outcome, Posted) else outcome.known
    return None if known is None else reports.transaction(conn, books.ledger, known.id)


def _refusal(refused: Refused, stored: Transaction | None) -> errors.LedgerError:
    details = dict(refused.details)
    if refused.reason == Reason.IDEMPOTENCY_CONFLICT and stored is not None:
        details["fields"] = ", ".join(differences(stored, refused.request))
    return errors.by_code(refused.reason)(**details)
