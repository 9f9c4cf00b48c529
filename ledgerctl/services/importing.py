"""Import a file of transfers: all of it or nothing in one transaction, or in pieces that are committed as they come.

Two passes: the first hashes the file and collects its accounts and what control totals need; the second decides and
copies, some rows at a time, so that memory does not grow with the file.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ledgerctl import errors
from ledgerctl.db import reports
from ledgerctl.db.connection import Connection
from ledgerctl.services import controls, import_at_once, import_in_pieces, import_rehearsal
from ledgerctl.services.books import Books
from ledgerctl.services.import_at_once import Move
from ledgerctl.services.import_job import File, Job, Nowhere, Options, Progress, Rejects
from ledgerctl.services.import_receipts import refuse
from ledgerctl.services.tally import Tally


@dataclass(frozen=True, slots=True)
class Result:
    """The receipt, as `reports.imports` gives it, the rejected rows, and which receipts the same file had before.

    Of a dry run, `moves` are what the import would do to the accounts, the largest first, and `done` the rows that it
    would get through. `error` is what kept the rows behind those that were decided from being read, or, after a dry
    run, what would keep all of them from being posted.
    """

    receipt: dict[str, Any]
    tally: Tally
    earlier: list[dict[str, Any]]
    moves: list[Move] = field(default_factory=list)
    done: int = 0
    error: errors.LedgerError | None = None


def run(
    books: Books, file: File, progress: Progress, rejects: Rejects | None = None, options: Options | None = None
) -> Result:
    """Import a file; what was not posted is in the result. BadFile, FileChanged, ControlTotals, AlreadyPosted.

    The last two are in the result of a dry run, and the others in that of an import in pieces.
    """
    options = options or Options()
    survey = file.survey(amounts=bool(options.expected.totals))
    job = Job(books, file, survey, options, rejects or Nowhere(), progress)

    earlier = books.database.read(reports.imports_of, books.ledger, survey.sha256)
    unwanted = books.database.read(_unwanted, job)
    if unwanted is not None and not options.dry_run:
        books.database.transact(refuse, job, Tally(), unwanted.code)
        raise unwanted

    with _no_collector():
        if options.dry_run:
            would = import_rehearsal.rehearse(job, wanted=unwanted is None)
            return Result(would.receipt, would.tally, earlier, would.moves, would.done, unwanted)
        ended = import_in_pieces.post(job, options.commit_every) if options.commit_every else import_at_once.post(job)
    [receipt] = books.database.read(reports.imports, books.ledger, ended.import_id)
    return Result(receipt, ended.tally, earlier, error=ended.error)


def _unwanted(conn: Connection, job: Job) -> errors.LedgerError | None:
    """Why the file as a whole is not to be posted."""
    ledger, file, survey, options = job.books.ledger, job.file.name, job.survey, job.options
    consequence = "nothing would be posted" if options.dry_run else "nothing was posted"
    found = controls.unexpected(conn, ledger, survey, options.expected)
    if found:
        return errors.ControlTotals(file=file, found="; ".join(found), consequence=consequence)
    overlap = None if options.again else controls.overlap(conn, ledger, survey)
    if overlap is not None:
        percent, import_id = overlap
        return errors.AlreadyPosted(file=file, percent=percent, import_id=import_id, consequence=consequence)
    return None


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
