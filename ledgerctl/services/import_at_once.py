"""Post every row of a file in one transaction, or none.

While the server takes in one chunk of rows, the next is read and decided, so that both have work all the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from ledgerctl.core.decision import Facts, decide
from ledgerctl.core.model import Account, Chunk, Earlier, Known, Refused, Stands
from ledgerctl.core.repeats import Replays
from ledgerctl.db import imports, journal, reports
from ledgerctl.db.connection import Connection
from ledgerctl.db.worker import Worker
from ledgerctl.services.import_job import Job, Stopped, explained
from ledgerctl.services.import_receipts import close, refuse
from ledgerctl.services.tally import Tally

CHUNK = 8_000
CHUNK_FIRST = 1_000
"""The first rows are few, so that the server has something to do early."""


class Move(NamedTuple):
    """What an import does to an account: balances in minor units, credits positive."""

    account: Account
    before: int
    after: int


def post(job: Job) -> tuple[int, Tally]:
    """The number of the receipt, and what became of the rows."""
    database = job.books.database
    try:
        return database.transact_at_length(database.import_limits, _post_all, job)
    except Stopped as stop:
        return database.transact(refuse, job, stop.tally, "ROWS_REJECTED"), stop.tally


def _post_all(conn: Connection, job: Job) -> tuple[int, Tally]:
    import_id, tally, _ = _copy_all(conn, job, Tally())
    if tally.rejected and not job.options.skip_rejects:
        raise Stopped(tally)
    close(conn, job, import_id, tally)
    return import_id, tally


def rehearse(job: Job) -> tuple[dict[str, Any], Tally, list[Move]]:
    """The receipt that `post` would leave, what would become of the rows, and what they would do, the largest first."""
    database = job.books.database
    return database.rehearse(database.import_limits, _rehearse, job)


def _rehearse(conn: Connection, job: Job) -> tuple[dict[str, Any], Tally, list[Move]]:
    import_id, tally, moves = _copy_all(conn, job, Tally(shown_max=job.survey.rows))
    close(conn, job, import_id, tally)
    [receipt] = reports.imports(conn, job.books.ledger, import_id)
    return receipt, tally, sorted(moves, key=_size, reverse=True)


def _size(move: Move) -> float:
    return abs(move.after - move.before) / 10.0**move.account.exponent  # to put them in order, not to count with


def _copy_all(conn: Connection, job: Job, tally: Tally) -> tuple[int, Tally, list[Move]]:
    """Lock every account once, before the first row, and move each once, after the last."""
    ledger, survey = job.books.ledger, job.survey
    job.rejects.begin(survey)
    held = journal.lock(conn, ledger, survey.accounts)
    replays = Replays(imports.same_file(conn, ledger, survey.sha256))  # under the locks: it may be running twice
    decided = job.decided(conn)
    import_id = imports.begin(conn, ledger, job.file.name, survey.sha256, job.books.actor, "running")

    standings: dict[str, Stands] = dict(held.standings)
    ahead: Mapping[str, Earlier] = {}
    chunks = job.file.chunks(survey, import_id, CHUNK, CHUNK_FIRST)
    with Worker(conn) as server:
        for chunk, known in _with_keys(server, conn, ledger, chunks):
            facts = Facts(held.accounts, standings, {**known, **ahead}, {}, held.now, *decided)
            decision = decide(chunk.requests(), facts)
            ahead = decision.known  # these are written after the keys of the next chunk were looked up
            outcomes = replays.judged(decision.outcomes)
            server.tell(journal.copy, conn, journal.lines(ledger, decision.posted()))

            if Refused in set(map(type, outcomes)):
                outcomes = server.ask(explained, conn, ledger, outcomes).result()
            for bad in tally.count(chunk, outcomes, held.accounts):
                job.rejects.add(bad)
            standings.update(decision.standings)
            job.progress(tally.rows, survey.rows, tally.rejected)
            if job.too_many(tally):
                raise Stopped(tally)
        server.finish()

    touched = {code: stands for code, stands in standings.items() if stands is not held.standings[code]}
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
        asked = server.ask(journal.known, conn, ledger, [request.key for request in chunk.requests()])
        if waiting is not None:
            yield waiting[0], waiting[1].result()
        waiting = chunk, asked
    if waiting is not None:
        yield waiting[0], waiting[1].result()
