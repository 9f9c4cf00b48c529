"""Import a file of transfers: all of it or nothing in one transaction, or in pieces that are committed as they come.

Two passes: the first hashes the file and collects its accounts and what control totals need; the second decides and
copies, a chunk at a time, so that memory does not grow with the file. While the server takes in one chunk, the next is
read and decided.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ledgerctl import errors
from ledgerctl.core.decision import Decision, Facts, Reason, decide
from ledgerctl.core.differences import differences
from ledgerctl.core.model import Account, Chunk, Earlier, Known, Outcome, Posted, Refused, Request, Stands, Survey
from ledgerctl.core.repeats import Replays
from ledgerctl.db import audit, imports, journal, reports
from ledgerctl.db.connection import Connection, Limits
from ledgerctl.db.worker import Worker
from ledgerctl.services import controls
from ledgerctl.services.books import Books
from ledgerctl.services.controls import Expected
from ledgerctl.services.tally import Bad, Tally

CHUNK = 10_000
CHUNK_FIRST = 1_000
"""The first rows are few, so that the server has something to do early."""
PIECE_MAX = 25_000
"""So many rows may be committed at once at most: they are held in memory."""

Progress = Callable[[int, int, int], None]
"""Told the rows done, the rows there are, and the rows rejected so far."""


class File(Protocol):
    """Rows that can be read twice; see `formats.transfer_csv`."""

    @property
    def name(self) -> str: ...
    def survey(self, *, amounts: bool = False) -> Survey: ...
    def chunks(self, survey: Survey, import_id: int, size: int, first: int | None = None) -> Iterator[Chunk]: ...


class Rejects(Protocol):
    """Where rejected rows go; see `formats.rejects`."""

    @property
    def name(self) -> str | None: ...
    def begin(self, survey: Survey) -> None: ...
    def add(self, bad: Bad) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    """How to import. Without any, every row is posted or none."""

    dry_run: bool = False
    skip_rejects: bool = False
    """Post what can be posted."""
    rejects_max: int | None = None
    """Give up when more rows than these are rejected."""
    commit_every: int | None = None
    """Commit each time so many rows are decided."""
    again: bool = False
    """Post rows even though most of them seem to have been posted before, under other keys, and decide once more on
    those that an earlier import of the file left out."""
    expected: Expected = field(default_factory=Expected)


class Move(NamedTuple):
    """What an import does to an account: balances in minor units, credits positive."""

    account: Account
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Result:
    """The receipt, as `reports.imports` gives it, the rejected rows, and which receipts the same file had before.

    `moves` are those of a dry run, the largest first."""

    receipt: dict[str, Any]
    tally: Tally
    earlier: list[dict[str, Any]]
    moves: list[Move]


class _Stop(Exception):
    """Carries the tally out of a transaction that must not be committed."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally


@dataclass(frozen=True, slots=True)
class _Import:
    """What stays the same from the first row of an import to its last."""

    books: Books
    file: File
    survey: Survey
    options: Options
    rejects: Rejects
    progress: Progress
    limits: Limits


def run(
    books: Books, file: File, progress: Progress, rejects: Rejects | None = None, options: Options | None = None
) -> Result:
    """Import a file; what was not posted is in the result. BadFile, FileChanged, ControlTotals, AlreadyPosted."""
    options = options or Options()
    survey = file.survey(amounts=bool(options.expected.totals))
    settings = books.database.settings
    limit_ms = settings.import_timeout_s * 1000
    limits = Limits(lock_ms=limit_ms, statement_ms=limit_ms, idle_ms=max(settings.idle_timeout_ms, 60_000))
    task = _Import(books, file, survey, options, rejects or _Nowhere(), progress, limits)

    earlier = books.database.read(reports.imports_of, books.ledger, survey.sha256)
    try:
        books.database.read(controls.require, books.ledger, file.name, survey, options.expected)
        if not options.again:
            books.database.read(controls.require_new, books.ledger, file.name, survey)
    except errors.LedgerError as refusal:
        if not options.dry_run:
            books.database.transact(_record_refusal, task, Tally(), refusal.code)
        raise

    with _no_collector():
        if options.dry_run:
            tally, receipt, moves = books.database.rehearse(limits, _rehearse, task)
            return Result({**receipt, "id": None, "status": "dry-run"}, tally, earlier, moves)
        import_id, tally = _in_pieces(task) if options.commit_every else _at_once(task)
    [receipt] = books.database.read(reports.imports, books.ledger, import_id)
    return Result(receipt, tally, earlier, [])


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


class _Nowhere:
    """For whoever wants no file of the rejected rows."""

    name = None

    def begin(self, survey: Survey) -> None: ...
    def add(self, bad: Bad) -> None: ...


# -- all in one transaction ------------------------------------------------------------------------------------------


def _at_once(task: _Import) -> tuple[int, Tally]:
    database = task.books.database
    try:
        return database.transact_at_length(task.limits, _post_all, task)
    except _Stop as stop:
        return database.transact(_record_refusal, task, stop.tally, "ROWS_REJECTED"), stop.tally


def _post_all(conn: Connection, task: _Import) -> tuple[int, Tally]:
    import_id, tally, _ = _copy_all(conn, task, Tally())
    if tally.rejected and not task.options.skip_rejects:
        raise _Stop(tally)
    _close(conn, task, import_id, tally)
    return import_id, tally


def _rehearse(conn: Connection, task: _Import) -> tuple[Tally, dict[str, Any], list[Move]]:
    import_id, tally, moves = _copy_all(conn, task, Tally(shown_max=task.survey.rows))
    _close(conn, task, import_id, tally)
    [receipt] = reports.imports(conn, task.books.ledger, import_id)
    return tally, receipt, sorted(moves, key=_size, reverse=True)


def _size(move: Move) -> float:
    return abs(move.after - move.before) / 10.0**move.account.exponent  # to put them in order, not to count with


def _copy_all(conn: Connection, task: _Import, tally: Tally) -> tuple[int, Tally, list[Move]]:
    """Lock every account once, before the first row, and move each once, after the last."""
    ledger, survey = task.books.ledger, task.survey
    task.rejects.begin(survey)
    held = journal.lock(conn, ledger, survey.accounts)
    replays = Replays(imports.same_file(conn, ledger, survey.sha256))  # under the locks: it may be running twice
    decided = _decided(conn, task)
    import_id = imports.begin(conn, ledger, task.file.name, survey.sha256, task.books.actor, "running")

    standings: dict[str, Stands] = dict(held.standings)
    touched: dict[str, Stands] = {}
    ahead: Mapping[str, Earlier] = {}
    chunks = task.file.chunks(survey, import_id, CHUNK, CHUNK_FIRST)  # before the thread: it may fork
    with Worker(conn) as server:
        for chunk, known in _with_keys(server, conn, ledger, chunks):
            facts = Facts(held.accounts, standings, {**known, **ahead}, {}, held.now, *decided)
            decision = decide(_requests(chunk), facts)
            ahead = decision.known  # these are written after the keys of the next chunk were looked up
            outcomes = replays.judged(decision.outcomes)
            server.tell(journal.copy, conn, journal.lines(ledger, _posted(decision)))

            if Refused in set(map(type, outcomes)):
                outcomes = server.ask(_explained, conn, ledger, outcomes).result()
            for bad in tally.count(chunk, outcomes, held.accounts):
                task.rejects.add(bad)
            standings.update(decision.standings)
            touched.update(decision.standings)
            task.progress(tally.rows, survey.rows, tally.rejected)
            if _too_many(task, tally):
                raise _Stop(tally)
        server.finish()

    if touched:
        journal.move(conn, ledger, held.accounts, touched, held.now)
    moves = [
        Move(held.accounts[code], held.standings[code].balance, standing.balance) for code, standing in touched.items()
    ]
    return import_id, tally, moves


def _with_keys(
    server: Worker, conn: Connection, ledger: int, chunks: Iterator[Chunk]
) -> Iterator[tuple[Chunk, dict[str, Known]]]:
    """Each chunk with those of its keys that are used. They are asked for one chunk ahead, so that the server has the
    next rows to copy as soon as it has answered."""
    waiting: tuple[Chunk, Future[dict[str, Known]]] | None = None
    for chunk in chunks:
        asked = server.ask(journal.known, conn, ledger, [request.key for request in _requests(chunk)])
        if waiting is not None:
            yield waiting[0], waiting[1].result()
        waiting = chunk, asked
    if waiting is not None:
        yield waiting[0], waiting[1].result()


# -- in pieces -------------------------------------------------------------------------------------------------------


class _Piece(NamedTuple):
    """What one transaction did."""

    tally: Tally
    bad: list[Bad]
    replays: Replays


def _in_pieces(task: _Import) -> tuple[int, Tally]:
    """A transaction for every so many rows, each with its progress on the receipt, until one cannot be posted."""
    database, ledger, survey = task.books.database, task.books.ledger, task.survey
    replays = Replays(database.read(imports.same_file, ledger, survey.sha256))
    import_id = database.transact(_begin_pieces, task)
    task.rejects.begin(survey)
    tally = Tally()
    for chunk in task.file.chunks(survey, import_id, min(task.options.commit_every or 0, PIECE_MAX)):
        try:
            piece = database.transact_at_length(task.limits, _post_piece, task, import_id, chunk, replays, tally)
        except _Stop as stop:
            tally = stop.tally
            break
        tally, replays = piece.tally, piece.replays
        for bad in piece.bad:
            task.rejects.add(bad)
        task.progress(tally.rows, survey.rows, tally.rejected)
        if _too_many(task, tally):
            break
    database.transact(_close, task, import_id, tally)
    return import_id, tally


def _begin_pieces(conn: Connection, task: _Import) -> int:
    books, survey = task.books, task.survey
    import_id = imports.begin(conn, books.ledger, task.file.name, survey.sha256, books.actor, "partial")
    line = audit.Line("import", str(import_id), "started", {"rows": survey.rows, "sha256": survey.sha256.hex()})
    audit.log(conn, books.ledger, books.actor, books.request_id, [line])
    return import_id


def _post_piece(
    conn: Connection, task: _Import, import_id: int, chunk: Chunk, replays: Replays, before: Tally
) -> _Piece:
    # Run again from the start after a lost race: what came before is copied, not changed.
    ledger, requests = task.books.ledger, _requests(chunk)
    replays, tally = replays.copy(), before.copy()
    held = journal.lock(conn, ledger, {leg.account for request in requests for leg in request.legs})
    known = journal.known(conn, ledger, [request.key for request in requests])

    decision = decide(requests, Facts(held.accounts, held.standings, known, {}, held.now, *_decided(conn, task)))
    outcomes = _explained(conn, ledger, replays.judged(decision.outcomes))
    bad = tally.count(chunk, outcomes, held.accounts)
    if bad and not task.options.skip_rejects:
        for one in bad:
            task.rejects.add(one)
        raise _Stop(before.stopped_by(bad))

    journal.copy(conn, journal.lines(ledger, _posted(decision)))
    if decision.standings:
        journal.move(conn, ledger, held.accounts, decision.standings, held.now)
    imports.record(conn, ledger, import_id, "partial", tally.counts(), finished=False)
    return _Piece(tally, bad, replays)


# -- both ------------------------------------------------------------------------------------------------------------


def _requests(chunk: Chunk) -> list[Request]:
    return [row for row in chunk.rows if isinstance(row, Request)]


def _posted(decision: Decision) -> list[Posted]:
    return [outcome for outcome in decision.outcomes if isinstance(outcome, Posted)]


def _decided(conn: Connection, task: _Import) -> tuple[int, int]:
    """Asked under the locks: somebody else may be importing the same file. See `Facts`."""
    return (0, 0) if task.options.again else imports.decided(conn, task.books.ledger, task.survey.sha256)


def _too_many(task: _Import, tally: Tally) -> bool:
    return task.options.rejects_max is not None and tally.rejected > task.options.rejects_max


def _explained(conn: Connection, ledger: int, outcomes: list[Outcome]) -> list[Outcome]:
    """A conflict names the fields that differ from what was posted under its key."""
    conflicts = [
        outcome.known.id
        for outcome in outcomes
        if isinstance(outcome, Refused) and outcome.reason == Reason.IDEMPOTENCY_CONFLICT and outcome.known is not None
    ]
    if not conflicts:
        return outcomes
    stored = reports.transactions(conn, ledger, conflicts)
    return [
        outcome._replace(
            details={**outcome.details, "fields": ", ".join(differences(stored[outcome.known.id], outcome.request))}
        )
        if isinstance(outcome, Refused) and outcome.known is not None and outcome.known.id in stored
        else outcome
        for outcome in outcomes
    ]


def _close(conn: Connection, task: _Import, import_id: int, tally: Tally) -> None:
    """Write the receipt's last word, and the line of the audit log."""
    status = _status(task, tally)
    rejects_file = task.rejects.name if tally.rejected else None
    counts = tally.counts()._replace(rows=task.survey.rows)
    imports.record(conn, task.books.ledger, import_id, status, counts, rejects_file=rejects_file, finished=True)
    outcome = {"complete": "posted", "partial": "posted in part", "refused": "refused"}[status]
    _log(conn, task, import_id, outcome, tally, {})


def _status(task: _Import, tally: Tally) -> str:
    if not tally.rejected and tally.rows == task.survey.rows:
        return "complete"
    return "partial" if tally.posted or tally.replayed else "refused"


def _record_refusal(conn: Connection, task: _Import, tally: Tally, reason: str) -> int:
    """After the rollback: a receipt and an audit row that say what was tried."""
    books, survey = task.books, task.survey
    import_id = imports.begin(conn, books.ledger, task.file.name, survey.sha256, books.actor, "refused")
    counts = tally.counts()._replace(rows=survey.rows, decided=0, posted=0)
    rejects_file = task.rejects.name if tally.rejected else None
    imports.record(conn, books.ledger, import_id, "refused", counts, rejects_file=rejects_file, finished=True)
    _log(conn, task, import_id, "refused", tally, {"reason": reason})
    return import_id


def _log(
    conn: Connection, task: _Import, import_id: int, outcome: str, tally: Tally, more: Mapping[str, object]
) -> None:
    detail = {"rows": task.survey.rows, "posted": tally.posted, "replayed": tally.replayed, "rejected": tally.rejected}
    line = audit.Line("import", str(import_id), outcome, {**detail, "sha256": task.survey.sha256.hex(), **more})
    audit.log(conn, task.books.ledger, task.books.actor, task.books.request_id, [line])
