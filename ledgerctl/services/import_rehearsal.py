"""A dry run: every row is decided as an import at once decides it, and all is undone.

Then it is asked how far an import with the same options would get: one that would end in a later piece is rehearsed
once more, up to there, so that the receipt and the balances shown are those that it would leave.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from ledgerctl.db import journal, reports
from ledgerctl.db.connection import Connection
from ledgerctl.services.import_at_once import Move, copy_all
from ledgerctl.services.import_job import Job, Nowhere, Options
from ledgerctl.services.import_receipts import close
from ledgerctl.services.tally import Tally


class Rehearsed(NamedTuple):
    """What an import would do. The tally is of all rows of the file, `done` those that it would get through."""

    receipt: dict[str, Any]
    tally: Tally
    moves: list[Move]
    """The largest first."""
    done: int


def rehearse(job: Job, *, wanted: bool) -> Rehearsed:
    """`wanted` is False for a file of which nothing would be posted whatever its rows are."""
    # Every refusal is found, also those behind the row where the import would give up.
    unlimited = replace(job, options=replace(job.options, rejects_max=None))
    receipt, tally, moves = _rehearsed(unlimited, job.survey.rows)
    done = _done(job.options, tally, job.survey.rows) if wanted else 0
    if done == 0:
        receipt, moves = {**receipt, "posted": 0}, []
        if job.options.commit_every and wanted:  # its first piece ends it, and counts for nothing
            receipt |= {"replayed": 0, "totals": {}}
    elif done < job.survey.rows:
        silent = replace(unlimited, rejects=Nowhere(), progress=lambda *_: None)
        ended, _, moves = _rehearsed(silent, done)
        receipt = {**ended, "rejected": tally.rejected}
    return Rehearsed({**receipt, "id": None, "status": "dry-run"}, tally, sorted(moves, key=_size, reverse=True), done)


def _done(options: Options, tally: Tally, rows: int) -> int:
    """So many rows an import gets through before rejected ones end it."""
    size, rejects = options.commit_every, tally.rejects
    if rejects and not options.skip_rejects:  # the piece with the first of them is not posted
        return (rejects[0].row - 1) // size * size if size else 0
    if options.rejects_max is not None and options.gives_up(tally.rejected):  # the piece with one too many is the last
        pieces = -(-rejects[options.rejects_max].row // size) if size else 0
        return min(pieces * (size or 0), rows)
    return rows


def _rehearsed(job: Job, rows: int) -> tuple[dict[str, Any], Tally, list[Move]]:
    database = job.books.database
    try:
        return database.rehearse(database.import_limits, _rehearse, job, rows, look_up=False)
    except journal.KeyInUse:
        return database.rehearse(database.import_limits, _rehearse, job, rows, look_up=True)


def _rehearse(conn: Connection, job: Job, rows: int, *, look_up: bool) -> tuple[dict[str, Any], Tally, list[Move]]:
    everything = Tally(shown_max=job.survey.rows)
    copied = copy_all(conn, job, everything, look_up=look_up, rows=rows)
    close(conn, job, copied.import_id, copied.tally, copied.tally.activity())
    [receipt] = reports.imports(conn, job.books.ledger, copied.import_id)
    return receipt, copied.tally, copied.moves


def _size(move: Move) -> float:
    return abs(move.after - move.before) / 10.0**move.account.exponent  # to put them in order, not to count with
