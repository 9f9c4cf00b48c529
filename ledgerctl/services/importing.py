"""Import a file of transfers: all of it or nothing in one transaction, or in pieces that are committed as they come.

Two passes: the first hashes the file and collects its accounts and what control totals need; the second decides and
copies, some rows at a time, so that memory does not grow with the file.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ledgerctl import errors
from ledgerctl.db import reports
from ledgerctl.services import controls, import_at_once, import_in_pieces
from ledgerctl.services.books import Books
from ledgerctl.services.import_at_once import Move
from ledgerctl.services.import_job import File, Job, Nowhere, Options, Progress, Rejects
from ledgerctl.services.import_receipts import refuse
from ledgerctl.services.tally import Tally


@dataclass(frozen=True, slots=True)
class Result:
    """The receipt, as `reports.imports` gives it, the rejected rows, and which receipts the same file had before.

    `moves` are those of a dry run, the largest first."""

    receipt: dict[str, Any]
    tally: Tally
    earlier: list[dict[str, Any]]
    moves: list[Move]


def run(
    books: Books, file: File, progress: Progress, rejects: Rejects | None = None, options: Options | None = None
) -> Result:
    """Import a file; what was not posted is in the result. BadFile, FileChanged, ControlTotals, AlreadyPosted."""
    options = options or Options()
    survey = file.survey(amounts=bool(options.expected.totals))
    job = Job(books, file, survey, options, rejects or Nowhere(), progress)

    earlier = books.database.read(reports.imports_of, books.ledger, survey.sha256)
    try:
        books.database.read(controls.require, books.ledger, file.name, survey, options.expected)
        if not options.again:
            books.database.read(controls.require_new, books.ledger, file.name, survey)
    except errors.LedgerError as refusal:
        if not options.dry_run:
            books.database.transact(refuse, job, Tally(), refusal.code)
        raise

    with _no_collector():
        if options.dry_run:
            receipt, tally, moves = import_at_once.rehearse(job)
            return Result({**receipt, "id": None, "status": "dry-run"}, tally, earlier, moves)
        if options.commit_every:
            import_id, tally = import_in_pieces.post(job, options.commit_every)
        else:
            import_id, tally = import_at_once.post(job)
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
