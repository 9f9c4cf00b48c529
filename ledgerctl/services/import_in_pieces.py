"""Post a file a piece at a time, each in a transaction of its own that also moves the receipt on.

Locks are short, and what was posted before a crash stays; the same file again goes on from there.
"""

from __future__ import annotations

from typing import NamedTuple

from ledgerctl.core.decision import Facts, decide
from ledgerctl.core.repeats import Replays
from ledgerctl.core.rows import Chunk
from ledgerctl.db import audit, imports, journal
from ledgerctl.db.connection import Connection
from ledgerctl.db.pipeline import Executor
from ledgerctl.errors import BadFile, FileChanged, LedgerError
from ledgerctl.services.balance_changes import Change, changing
from ledgerctl.services.import_job import Ended, Job, Stopped, explained, settled
from ledgerctl.services.import_receipts import close
from ledgerctl.services.tally import Bad, Tally
from ledgerctl.tracing import span

_CHANGED = "import the file as it was, which goes on from there; of the changed file import only what is missing"


class _Piece(NamedTuple):
    """What one transaction did."""

    tally: Tally
    bad: list[Bad]
    replays: Replays


def post(job: Job, rows: int) -> Ended:
    """A transaction for every so many rows, until one of them, or what follows in the file, cannot be posted."""
    database, ledger, survey = job.books.database, job.books.ledger, job.survey
    limits = database.import_limits
    replays = Replays(database.read(imports.same_file, ledger, survey.sha256))
    import_id = database.transact(_begin_pieces, job)
    job.rejects.begin(survey)
    tally, error = Tally(), None
    try:
        for chunk in job.file.chunks(survey, import_id, rows):
            with changing(job.books) as change:
                piece = database.transact_at_length(limits, _post_piece, job, change, import_id, chunk, replays, tally)
            tally, replays = piece.tally, piece.replays
            for bad in piece.bad:
                job.rejects.add(bad)
            job.progress(tally.rows, survey.rows, tally.rejected)
            if job.options.gives_up(tally.rejected):
                break
    except Stopped as stop:
        tally = stop.tally
    except (BadFile, FileChanged) as unreadable:
        error = _after(tally.rows, unreadable)
    database.transact(close, job, import_id, tally, {})
    return Ended(import_id, tally, error)


def _after(rows: int, error: BadFile | FileChanged) -> LedgerError:
    """What became of the file while its rows were posted."""
    done = f"its first {rows:,} rows are done, the others are not" if rows else "nothing was posted"
    if isinstance(error, BadFile):
        hint = f"{done}; with the file as it was, the same command goes on from there"
        return BadFile(**{**error.details, "hint": hint})
    return FileChanged(**{**error.details, "posted": done, "hint": _CHANGED if rows else ""})


def _begin_pieces(conn: Executor, job: Job) -> int:
    books, survey = job.books, job.survey
    import_id = imports.begin(conn, books.ledger, job.file.name, survey.sha256, books.actor, "partial")
    line = audit.Line("import", str(import_id), "started", {"rows": survey.rows, "sha256": survey.sha256.hex()})
    audit.log(conn, books.ledger, books.actor, books.request_id, [line])
    return import_id


def _post_piece(
    conn: Connection, job: Job, change: Change, import_id: int, chunk: Chunk, replays: Replays, before: Tally
) -> _Piece:
    # Run again from the start after a lost race: what came before is copied, not changed.
    ledger, requests = job.books.ledger, chunk.requests()
    replays, tally = replays.copy(), before.copy()
    held = journal.lock(conn, ledger, {leg.account for request in requests for leg in request.legs})
    known = journal.known(conn, ledger, chunk.row_keys())

    facts = Facts(held.accounts, held.standings, known, {}, held.now, *job.decided(conn))
    with span("decide"):
        decision = decide(requests, facts)
    outcomes = explained(conn, ledger, replays.judged(decision.outcomes))
    bad = tally.count(settled(chunk, known), outcomes, held.accounts)
    if bad and not job.options.skip_rejects:
        for one in bad:
            job.rejects.add(one)
        raise Stopped(before.stopped_by(bad))

    journal.copy(conn, journal.rows(ledger, decision.posted()))
    if decision.standings:
        journal.move(conn, ledger, held.accounts, decision.standings, held.now)
    imports.record(conn, ledger, import_id, "partial", tally.counts(), finished=False)
    if posted := tally.activity(before):
        line = audit.Line("import", str(import_id), "posted in part", {"rows": tally.rows, **posted})
        audit.log(conn, ledger, job.books.actor, job.books.request_id, [line])
    change.mark(conn, held.writer, held.accounts, decision.standings, held.standings)
    return _Piece(tally, bad, replays)
