"""Reverse all that an import posted, in one transaction: every row or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from uuid import UUID

from ledgerctl import errors
from ledgerctl.core.decision import Facts, decide
from ledgerctl.core.model import Original, Refused, Request, Stands
from ledgerctl.core.requesting import reversal
from ledgerctl.core.volume import Sums, texts
from ledgerctl.db import audit, imports, journal, reports
from ledgerctl.db.connection import Connection
from ledgerctl.db.pipeline import Executor
from ledgerctl.ids import uuid7s
from ledgerctl.services.balance_changes import Change, changing
from ledgerctl.services.books import Books
from ledgerctl.services.import_job import Progress
from ledgerctl.tracing import span

CHUNK = 5_000


class Stuck(NamedTuple):
    """A row that cannot be reversed: its number in the file, its transaction, and why."""

    row: int
    transaction_id: UUID
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Reversal:
    """What was done, or why nothing was. Totals are texts by currency."""

    import_id: int
    reversed: int = 0
    replayed: int = 0
    """Rows that were reversed before, by an earlier call of this or one by one."""
    partial: int = 0
    """Rows left alone, as asked, because they were reversed in part."""
    stuck: list[Stuck] = field(default_factory=list)
    totals: Mapping[str, str] = field(default_factory=dict)


def reversal_key(transaction_id: UUID) -> str:
    """The key under which an import's transaction is reversed, so that it happens once. Frozen."""
    return f"r1:{transaction_id}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What to reverse, and how."""

    import_id: int
    reason: str | None = None
    skip_partial: bool = False
    """Leave rows alone that were reversed in part; else they are in the way."""


def reverse(books: Books, asked: Asked, progress: Progress, *, dry_run: bool = False) -> Reversal:
    """Reverse every transaction of an import; with rows in `stuck`, nothing was changed. ImportNotFound."""
    database = books.database
    if dry_run:
        return database.rehearse(database.import_limits, _reverse, books, asked, progress)
    try:
        with changing(books) as change:
            return database.transact_at_length(database.import_limits, _reverse_all, books, asked, progress, change)
    except _Stop as stop:
        database.transact(_log, books, stop.reversal)
        return stop.reversal


class _Stop(Exception):
    """Carries what was found out of a transaction that must not be committed."""

    def __init__(self, reversal: Reversal) -> None:
        self.reversal = reversal


def _reverse_all(conn: Connection, books: Books, asked: Asked, progress: Progress, change: Change) -> Reversal:
    done = _reverse(conn, books, asked, progress, change)
    if done.stuck:
        raise _Stop(replace(done, reversed=0, totals={}))
    imports.mark_reversed(conn, books.ledger, asked.import_id)
    _log(conn, books, done)
    return done


def _reverse(
    conn: Connection, books: Books, asked: Asked, progress: Progress, change: Change | None = None
) -> Reversal:
    """The last row first: each account then passes through the balances that it had, and none below."""
    ledger, import_id = books.ledger, asked.import_id
    receipts = reports.imports(conn, ledger, import_id)
    if not receipts:
        raise errors.ImportNotFound(import_id=import_id)
    held = journal.lock(conn, ledger, imports.accounts(conn, ledger, import_id))

    standings: dict[str, Stands] = dict(held.standings)
    touched: dict[str, Stands] = {}
    sums: Sums = Counter()
    stuck: list[Stuck] = []
    reversed_, replayed, partial = 0, 0, 0
    for rows in imports.posted_rows(conn, ledger, import_id, CHUNK):
        originals = journal.originals(conn, ledger, list(rows))
        before = [original.id for original in originals.values() if original.reversed_by is not None]
        wholly = imports.reversed_wholly(conn, ledger, before) if before else set()
        replayed += len(wholly)
        left = {original for original in before if asked.skip_partial and original not in wholly}
        partial += len(left)
        wanted = [transaction for transaction in rows if transaction not in wholly and transaction not in left]
        requests = _requests([originals[transaction] for transaction in wanted], asked.reason)

        with span("decide"):
            decision = decide(requests, Facts(held.accounts, standings, {}, originals, held.now))
        posted = decision.posted()
        stuck += [
            _stuck(rows[transaction], transaction, outcome)
            for transaction, outcome in zip(wanted, decision.outcomes, strict=True)
            if isinstance(outcome, Refused)
        ]
        for entry in (entry for outcome in posted for entry in outcome.entries if entry.amount > 0):
            sums[entry.account.currency, entry.account.exponent] += entry.amount
        journal.copy(conn, journal.rows(ledger, posted))
        standings.update(decision.standings)
        touched.update(decision.standings)
        reversed_ += len(posted)
        progress(reversed_ + replayed + partial + len(stuck), receipts[0]["posted"], len(stuck))

    if touched:
        journal.move(conn, ledger, held.accounts, touched, held.now)
    if change is not None:
        change.mark(conn, held.writer, held.accounts, touched, held.standings)
    return Reversal(import_id, reversed_, replayed, partial, stuck, texts(sums))


def _requests(originals: Sequence[Original], reason: str | None) -> list[Request]:
    return [
        reversal(new_id, reversal_key(original.id), original, None, reason)
        for original, new_id in zip(originals, uuid7s(len(originals)), strict=True)
    ]


def _stuck(row: int, transaction: UUID, refused: Refused) -> Stuck:
    error = errors.by_code(refused.reason)(**refused.details)
    if isinstance(error, errors.AlreadyReversed):
        error = errors.ReversedInPart(**refused.details)
    return Stuck(row, transaction, error.code, str(error))


def _log(conn: Executor, books: Books, done: Reversal) -> None:
    counts = {"reversed": done.reversed, "replayed": done.replayed, "partial": done.partial}
    detail = {**counts, "stuck": len(done.stuck)}
    outcome = "refused" if done.stuck else "posted"
    if outcome == "posted" and done.reversed:
        detail |= audit.activity(done.reversed, 2 * done.reversed, done.totals)
    line = audit.Line("import reverse", str(done.import_id), outcome, detail)
    audit.log(conn, books.ledger, books.actor, books.request_id, [line])
