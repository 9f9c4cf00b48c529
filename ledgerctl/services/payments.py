"""Post requests: transfers, journals, reversals. The one posting path, for one request or many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from ledgerctl.db.audit import By
from ledgerctl.db.pipeline import Executor
from ledgerctl.services.balance_changes import Change, changing
from ledgerctl.services.books import Books
from ledgerctl.tracing import span

_OURS: Mapping[UUID, By] = {}
"""The books say who asked."""


class Receipt(NamedTuple):
    """What became of one request that was not refused."""

    transaction: Transaction
    replayed: bool

    @property
    def status(self) -> str:
        """As every door says it."""
        return "replayed" if self.replayed else "posted"


def post(books: Books, requests: Sequence[Request]) -> list[Outcome]:
    """One outcome a request, in order, in one transaction. The same requests may be sent again."""
    with changing(books) as change:
        return books.database.transact(_post, books, requests, change)


def post_one(books: Books, request: Request, *, dry_run: bool = False) -> Receipt:
    """Post one request: a refusal, a value in a batch, is an error to whoever asked for one thing."""
    if dry_run:
        [told] = books.database.rehearse(books.database.limits, _told, books, [request], None)
        answer = _answer(told)
    else:
        [answer] = post_each(books, [request])
    if isinstance(answer, errors.LedgerError):
        raise answer
    return answer


def post_each(
    books: Books, requests: Sequence[Request], by: Mapping[UUID, By] = _OURS
) -> list[Receipt | errors.LedgerError]:
    """Requests of several callers in one transaction: for each, in order, its receipt, or why it was refused.

    What is raised is of all of them: nothing is posted then, or it is not known. `by` says for the audit log who asked,
    by the request's id.
    """
    recalled = [None] * len(requests) if books.outcomes is None else books.outcomes.find(requests)
    asked = [request for request, found in zip(requests, recalled, strict=True) if found is None]
    told: list[_Told] = []
    if asked:
        with changing(books) as change:
            told = books.database.transact(_told, books, asked, change, by)
    if books.outcomes is not None:
        books.outcomes.keep(list(_in_the_books(told)))
    rest = iter(told)
    return [
        _answer(next(rest)) if found is None else _receipt(request, found)
        for request, found in zip(requests, recalled, strict=True)
    ]


def post_all(books: Books, requests: Sequence[Request]) -> list[Receipt]:
    """Every one of the requests, or none: the first refusal is raised, with its `number` in the list from 1."""

    def work(conn: Executor, change: Change) -> list[_Told]:
        told = _told(conn, books, requests, change)
        if any(isinstance(one.outcome, Refused) for one in told):
            raise _Stop(told)
        return told

    try:
        with changing(books) as change:
            told = books.database.transact(work, change)
    except _Stop as stop:
        undone = [_undone(one) for one in stop.told]
        lines = [_line(one.outcome, _OURS) for one in undone if isinstance(one.outcome, Refused)]
        books.database.transact(audit.log, books.ledger, books.actor, books.request_id, lines)
        answers = [(number, _answer(one)) for number, one in enumerate(undone, 1)]
        number, refusal = next((n, answer) for n, answer in answers if isinstance(answer, errors.LedgerError))
        refusal.details["number"] = number
        raise refusal from None
    return [answer for answer in map(_answer, told) if isinstance(answer, Receipt)]


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

    def ask(conn: Executor, change: Change) -> tuple[Earlier, Transaction] | None:
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


def _post(
    conn: Executor,
    books: Books,
    requests: Sequence[Request],
    change: Change | None,
    by: Mapping[UUID, By] = _OURS,
) -> list[Outcome]:
    # Run again from the start after a lost race: SQL and pure functions only, and marks, which say nothing new.
    facts, writer = journal.gather(conn, books.ledger, requests)

    with span("decide"):
        decision = decide(requests, facts)

    journal.write(conn, books.ledger, decision.posted(), decision.standings)
    lines = [_line(outcome, by) for outcome in decision.outcomes if not isinstance(outcome, Replayed)]
    audit.log(conn, books.ledger, books.actor, books.request_id, lines)
    if change is not None:
        change.mark(conn, writer, facts.accounts, decision.standings, _repeated(decision.outcomes, facts))
    return decision.outcomes


def _repeated(outcomes: Sequence[Outcome], facts: Facts) -> dict[str, Stands]:
    """Where the accounts of replays stand, which are about to be told of again; one may have another code by now."""
    replays = [outcome.request for outcome in outcomes if isinstance(outcome, Replayed)]
    named = {leg.account for request in replays for leg in request.legs}
    return {code: facts.standings[code] for code in named & facts.standings.keys()}


def _line(outcome: Posted | Refused, by: Mapping[UUID, By]) -> audit.Line:
    request = outcome.request
    asked = by.get(request.id)
    if isinstance(outcome, Posted):
        posted = audit.activity(1, len(outcome.entries), volume(outcome.entries))
        return audit.Line(request.kind, str(request.id), "posted", posted, asked)
    detail = {"reason": outcome.reason, **outcome.details}
    return audit.Line(request.kind, request.key, "refused", detail, asked)


class _Told(NamedTuple):
    outcome: Outcome
    transaction: Transaction | None
    """What the books have under the key; None when that is nothing."""


class _Stop(Exception):
    """Carries what was refused out of a transaction that must not be committed."""

    def __init__(self, told: list[_Told]) -> None:
        self.told = told


def _told(
    conn: Executor,
    books: Books,
    requests: Sequence[Request],
    change: Change | None,
    by: Mapping[UUID, By] = _OURS,
) -> list[_Told]:
    """What was posted before is read in the transaction that found it: if a read of its own failed, it would be told
    as a failure."""
    outcomes = _post(conn, books, requests, change, by)
    before = {outcome.known.id for outcome in outcomes if not isinstance(outcome, Posted) and outcome.known is not None}
    stored = reports.transactions(conn, books.ledger, list(before)) if before else {}
    return [_Told(outcome, _transaction(outcome, stored)) for outcome in outcomes]


def _undone(told: _Told) -> _Told:
    """Of a list that is not posted: a key that an earlier request of it had is used by no transaction."""
    outcome = told.outcome
    if not isinstance(outcome, Refused) or not isinstance(outcome.known, Request):
        return told
    details = {"key": outcome.request.key}
    return _Told(outcome._replace(reason=Reason.DUPLICATE_KEY, details=details, known=None), None)


def _transaction(outcome: Outcome, stored: Mapping[UUID, Transaction]) -> Transaction | None:
    if isinstance(outcome, Posted):
        return recorded(outcome)
    return None if outcome.known is None else stored[outcome.known.id]


def _in_the_books(told: Iterable[_Told]) -> Iterator[tuple[Request, Transaction]]:
    for outcome, transaction in told:
        if transaction is not None and not isinstance(outcome, Refused):
            yield outcome.request, transaction


def _answer(told: _Told) -> Receipt | errors.LedgerError:
    outcome, transaction = told
    if isinstance(outcome, Refused):
        return _refusal(outcome, transaction)
    assert transaction is not None  # noqa: S101 - a replay names what it repeats
    return _receipt(outcome.request, transaction)


def _receipt(request: Request, transaction: Transaction) -> Receipt:
    """Our own id means that an earlier attempt of this very call had been committed after all."""
    return Receipt(transaction, replayed=transaction.id != request.id)


def _refusal(refused: Refused, stored: Transaction | None) -> errors.LedgerError:
    details = dict(refused.details)
    if refused.reason == Reason.IDEMPOTENCY_CONFLICT and stored is not None:
        details["fields"] = ", ".join(differences(stored, refused.request))
    return errors.by_code(refused.reason)(**details)
