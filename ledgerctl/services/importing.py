"""Import a file of transfers: all of it or nothing, in one transaction.

Two passes: the first hashes the file and collects its accounts, which are then locked once; the second decides and
copies, a chunk at a time, so that memory does not grow with the file. Balances are written once, at the end.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from ledgerctl import errors
from ledgerctl.core import money
from ledgerctl.core.decision import Facts, Reason, decide, repeated_in_file
from ledgerctl.core.differences import differences
from ledgerctl.core.model import Account, Outcome, Posted, Refused, Rejected, Replayed, Request, Standing, Survey
from ledgerctl.db import audit, imports, journal, reports
from ledgerctl.db.connection import Connection, Limits
from ledgerctl.services.books import Books

CHUNK = 5_000
SHOWN_MAX = 100
"""So many rejected rows are kept to be shown; all are counted."""

Progress = Callable[[int, int, int], None]
"""Told the rows done, the rows there are, and the rows rejected so far."""


class File(Protocol):
    """Rows that can be read twice; see `formats.transfer_csv`."""

    @property
    def name(self) -> str: ...
    def survey(self) -> Survey: ...
    def requests(self, survey: Survey, import_id: int) -> Iterator[Request | Rejected]: ...


@dataclass(slots=True)
class Tally:
    """What became of the rows so far. Totals are in minor units by (currency, exponent)."""

    rows: int = 0
    posted: int = 0
    replayed: int = 0
    rejected: int = 0
    totals: dict[tuple[str, int], int] = field(default_factory=dict)
    rejects: list[Rejected] = field(default_factory=list)

    def add_total(self, account: Account, units: int) -> None:
        place = (account.currency, account.exponent)
        self.totals[place] = self.totals.get(place, 0) + units

    def reject(self, rejected: Rejected) -> None:
        self.rejected += 1
        if len(self.rejects) < SHOWN_MAX:
            self.rejects.append(rejected)

    def totals_text(self) -> dict[str, str]:
        return {currency: money.text(units, exponent) for (currency, exponent), units in sorted(self.totals.items())}


class _RowsRejected(Exception):
    """Carries the tally out of a transaction that must not be committed."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally


@dataclass(frozen=True, slots=True)
class Result:
    """The receipt, as `reports.imports` gives it, and the rejected rows."""

    receipt: dict[str, Any]
    tally: Tally


def run(books: Books, file: File, progress: Progress, *, dry_run: bool = False) -> Result:
    """Post every row or none: with rows that cannot be posted the result is `refused`. BadFile, FileChanged."""
    survey = file.survey()
    settings = books.database.settings
    limit_ms = settings.import_timeout_s * 1000
    limits = Limits(lock_ms=limit_ms, statement_ms=limit_ms, idle_ms=max(settings.idle_timeout_ms, 60_000))

    if dry_run:
        with _no_collector():
            tally, receipt = books.database.rehearse(limits, _rehearse, books, file, survey, progress)
        return Result({**receipt, "id": None, "status": "dry-run"}, tally)
    try:
        with _no_collector():
            import_id, tally = books.database.transact_at_length(limits, _post_all, books, file, survey, progress)
    except _RowsRejected as end:
        tally = end.tally
        import_id = books.database.transact(_record_refusal, books, file, survey, tally)
    [receipt] = books.database.read(reports.imports, books.ledger, import_id)
    return Result(receipt, tally)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Millions of small values without a cycle among them: looking for cycles would cost as much as deciding."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _rehearse(
    conn: Connection, books: Books, file: File, survey: Survey, progress: Progress
) -> tuple[Tally, dict[str, Any]]:
    import_id, tally = _copy_all(conn, books, file, survey, progress)
    _finish(conn, books, import_id, "complete", survey, tally)
    [receipt] = reports.imports(conn, books.ledger, import_id)
    return tally, receipt


def _post_all(conn: Connection, books: Books, file: File, survey: Survey, progress: Progress) -> tuple[int, Tally]:
    import_id, tally = _copy_all(conn, books, file, survey, progress)
    if tally.rejected:
        raise _RowsRejected(tally)
    _finish(conn, books, import_id, "complete", survey, tally)
    return import_id, tally


def _copy_all(conn: Connection, books: Books, file: File, survey: Survey, progress: Progress) -> tuple[int, Tally]:
    held = journal.lock(conn, books.ledger, survey.accounts)
    same_file = imports.same_file(conn, books.ledger, survey.sha256)  # under the locks: it may be running twice
    import_id = imports.begin(conn, books.ledger, file.name, survey.sha256, books.actor)

    standings = held.standings
    touched: dict[str, Standing] = {}
    seen: set[str] = set()
    tally = Tally()
    for chunk in _chunks(file.requests(survey, import_id)):
        requests = [row for row in chunk if isinstance(row, Request)]
        known = journal.known(conn, books.ledger, [request.key for request in requests])

        decision = decide(requests, Facts(held.accounts, standings, known, {}, held.now))
        outcomes = iter([_once_in_file(outcome, same_file, seen) for outcome in decision.outcomes])

        for row in chunk:
            outcome = row if isinstance(row, Rejected) else next(outcomes)
            _count(tally, _explained(conn, books, outcome), held.accounts)
        journal.copy(conn, books.ledger, [outcome for outcome in decision.outcomes if isinstance(outcome, Posted)])
        standings.update(decision.standings)
        touched.update(decision.standings)
        progress(tally.rows, survey.rows, tally.rejected)

    if touched:
        journal.move(conn, books.ledger, held.accounts, touched, held.now)
    return import_id, tally


def _chunks(rows: Iterator[Request | Rejected]) -> Iterator[list[Request | Rejected]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _once_in_file(outcome: Outcome, same_file: set[int | None], seen: set[str]) -> Outcome:
    if isinstance(outcome, Replayed) and repeated_in_file(outcome, same_file, seen):
        return Refused(outcome.request, Reason.DUPLICATE_KEY, {"key": outcome.request.key}, outcome.known)
    return outcome


def _explained(conn: Connection, books: Books, outcome: Outcome | Rejected) -> Outcome | Rejected:
    """A conflict names the fields that differ from what was posted under its key."""
    if not isinstance(outcome, Refused) or outcome.reason != Reason.IDEMPOTENCY_CONFLICT or outcome.known is None:
        return outcome
    stored = reports.transaction(conn, books.ledger, outcome.known.id)
    fields = ", ".join(differences(stored, outcome.request))
    return outcome._replace(details={**outcome.details, "fields": fields})


def _count(tally: Tally, row: Outcome | Rejected, accounts: dict[str, Account]) -> None:
    tally.rows += 1
    if isinstance(row, Rejected):
        tally.reject(row)
        return
    request = row.request
    if isinstance(row, Refused):
        error = errors.by_code(row.reason)(**row.details)
        tally.reject(Rejected(request.import_row or 0, _field(row), error.code, str(error)))
        return
    tally.posted += isinstance(row, Posted)
    tally.replayed += isinstance(row, Replayed)
    leg = request.legs[0]
    account = accounts.get(leg.account)
    if account is not None:  # else the file changed since the survey, which its end will show
        tally.add_total(account, money.minor(leg.amount, account.exponent))


def _field(refused: Refused) -> str:
    """The field of the row that the refusal is about."""
    of_reason = {
        Reason.DUPLICATE_KEY: "idempotency_key",
        Reason.IDEMPOTENCY_CONFLICT: "idempotency_key",
        Reason.CURRENCY_MISMATCH: "currency",
        Reason.TOO_MANY_DECIMALS: "amount",
        Reason.AMOUNT_TOO_LARGE: "amount",
    }
    side = "to" if refused.details.get("account") == refused.request.legs[1].account else "from"
    return of_reason.get(Reason(refused.reason), side)


def _finish(conn: Connection, books: Books, import_id: int, status: str, survey: Survey, tally: Tally) -> None:
    imports.finish(
        conn,
        books.ledger,
        import_id,
        status,
        rows=survey.rows,
        posted=tally.posted if status == "complete" else 0,
        replayed=tally.replayed,
        rejected=tally.rejected,
        totals=tally.totals_text(),
    )
    detail = {"rows": survey.rows, "posted": tally.posted, "replayed": tally.replayed, "rejected": tally.rejected}
    outcome = "posted" if status == "complete" else "refused"
    line = audit.Line("import", str(import_id), outcome, {**detail, "sha256": survey.sha256.hex()})
    audit.log(conn, books.ledger, books.actor, books.request_id, [line])


def _record_refusal(conn: Connection, books: Books, file: File, survey: Survey, tally: Tally) -> int:
    """After the rollback: a receipt and an audit row that say what was tried."""
    import_id = imports.begin(conn, books.ledger, file.name, survey.sha256, books.actor)
    _finish(conn, books, import_id, "refused", survey, tally)
    return import_id
