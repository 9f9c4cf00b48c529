"""Post every row of a file in one transaction, or none.

While the server takes in one batch of rows, the next is read and decided, so that both have work all the time.

A file none of whose sampled keys is used is taken for new: its keys are then not looked up. The
index refuses the rows that are posted all the same, and the keys of refused rows are looked up; if one of them is used,
or stands twice in the file, everything is undone and done again with every key looked up first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

from ledgerctl.core.decision import Facts, decide
from ledgerctl.core.model import Account, Chunk, Earlier, Known, Refused, Stands
from ledgerctl.core.repeats import Replays
from ledgerctl.db import imports, journal, reports
from ledgerctl.db.connection import Connection
from ledgerctl.db.worker import Worker
from ledgerctl.services.import_job import Job, Stopped, conflicts, explained
from ledgerctl.services.import_receipts import close, refuse
from ledgerctl.services.tally import Tally

CHUNK = 500
"""So many rows are read, decided and written out at a time: all that is made of them stays in the processor's cache."""
BATCH = 16
"""So many chunks go to the server in one statement; the first have fewer, so that it has something to do early."""


class Move(NamedTuple):
    """What an import does to an account: balances in minor units, credits positive."""

    account: Account
    before: int
    after: int


def post(job: Job) -> tuple[int, Tally]:
    """The number of the receipt, and what became of the rows."""
    database = job.books.database
    try:
        try:
            return database.transact_at_length(database.import_limits, _post_all, job, look_up=False)
        except journal.KeyInUse:
            return database.transact_at_length(database.import_limits, _post_all, job, look_up=True)
    except Stopped as stop:
        return database.transact(refuse, job, stop.tally, "ROWS_REJECTED"), stop.tally


def _post_all(conn: Connection, job: Job, *, look_up: bool) -> tuple[int, Tally]:
    import_id, tally, _ = _copy_all(conn, job, Tally(), look_up=look_up)
    if tally.rejected and not job.options.skip_rejects:
        raise Stopped(tally)
    close(conn, job, import_id, tally)
    return import_id, tally


def rehearse(job: Job) -> tuple[dict[str, Any], Tally, list[Move]]:
    """The receipt that `post` would leave, what would become of the rows, and what they would do, the largest first."""
    database = job.books.database
    try:
        return database.rehearse(database.import_limits, _rehearse, job, look_up=False)
    except journal.KeyInUse:
        return database.rehearse(database.import_limits, _rehearse, job, look_up=True)


def _rehearse(conn: Connection, job: Job, *, look_up: bool) -> tuple[dict[str, Any], Tally, list[Move]]:
    import_id, tally, moves = _copy_all(conn, job, Tally(shown_max=job.survey.rows), look_up=look_up)
    close(conn, job, import_id, tally)
    [receipt] = reports.imports(conn, job.books.ledger, import_id)
    return receipt, tally, sorted(moves, key=_size, reverse=True)


def _size(move: Move) -> float:
    return abs(move.after - move.before) / 10.0**move.account.exponent  # to put them in order, not to count with


def _copy_all(conn: Connection, job: Job, tally: Tally, *, look_up: bool) -> tuple[int, Tally, list[Move]]:
    """Lock every account once, before the first row, and move each once, after the last."""
    ledger, survey = job.books.ledger, job.survey
    job.rejects.begin(survey)
    held = journal.lock(conn, ledger, survey.accounts)
    replays = Replays(imports.same_file(conn, ledger, survey.sha256))  # under the locks: it may be running twice
    decided = job.decided(conn)
    new = not look_up and not journal.known(conn, ledger, [request.key for request in survey.sample])
    import_id = imports.begin(conn, ledger, job.file.name, survey.sha256, job.books.actor, "running")

    standings: dict[str, Stands] = dict(held.standings)
    ahead: dict[str, Earlier] = {}
    with Worker(conn) as server:
        chunks = job.file.chunks(survey, import_id, CHUNK)
        for batch, known in _new(chunks) if new else _looked_up(server, conn, ledger, chunks):
            # The batch before was written after the keys of this one were looked up.
            keys, ahead = {**known, **ahead}, {}
            lines, refused = journal.Lines(ledger), list[str]()
            for chunk in batch:
                decision = decide(chunk.requests(), Facts(held.accounts, standings, keys, {}, held.now, *decided))
                lines.add(decision.posted())
                standings.update(decision.standings)
                if not new:
                    keys.update(decision.known)
                    ahead.update(decision.known)

                outcomes = replays.judged(decision.outcomes)
                refused += [one.request.key for one in outcomes if isinstance(one, Refused) and one.known is None]
                if conflicts(outcomes):  # else it would wait for the server without a question
                    outcomes = server.ask(explained, conn, ledger, outcomes).result()
                for bad in tally.count(chunk, outcomes, held.accounts):
                    job.rejects.add(bad)
                if job.too_many(tally):
                    break
            if new:
                server.tell(journal.copy_new, conn, lines.rows())
                if refused:
                    server.tell(journal.require_unused, conn, ledger, refused)
            else:
                server.tell(journal.copy, conn, lines.rows())
            if job.too_many(tally):
                server.finish()
                raise Stopped(tally)
            job.progress(tally.rows, survey.rows, tally.rejected)
        server.finish()

    touched = {code: stands for code, stands in standings.items() if stands is not held.standings[code]}
    if touched:
        journal.move(conn, ledger, held.accounts, touched, held.now)
    moves = [
        Move(held.accounts[code], held.standings[code].balance, standing.balance) for code, standing in touched.items()
    ]
    return import_id, tally, moves


Batches = Iterator[tuple[Iterable[Chunk], Mapping[str, Known]]]
"""Chunks to be decided and written together, with those of their keys that are used."""


def _sizes() -> Iterator[int]:
    return chain(range(2, BATCH, 2), repeat(BATCH))


def _new(chunks: Iterator[Chunk]) -> Batches:
    """Batches whose chunks are read one by one, as they are decided."""
    for size, first in zip(_sizes(), chunks, strict=False):
        yield chain([first], islice(chunks, size - 1)), {}


def _looked_up(server: Worker, conn: Connection, ledger: int, chunks: Iterator[Chunk]) -> Batches:
    """Keys are asked for one batch ahead, so that the server has the next rows to copy as soon as it has answered."""
    waiting: tuple[list[Chunk], Future[dict[str, Known]]] | None = None
    for size in _sizes():
        batch = list(islice(chunks, size))
        keys = [request.key for chunk in batch for request in chunk.requests()]
        asked = server.ask(journal.known, conn, ledger, keys)
        if waiting is not None:
            yield waiting[0], waiting[1].result()
        if not batch:
            return
        waiting = batch, asked
