"""Post every row of a file in one transaction, or none.

While the server takes in one batch of rows, the next is read and decided, so that both have work all the time.

A file none of whose sampled keys is used is taken for new: its keys are then not looked up, which would take a seventh
of the time (docs/performance.md). The index refuses the rows that are posted all the same, and the keys of refused rows
are looked up; if one of them is used, or stands twice in the file, everything is undone and done again with every key
looked up first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import NamedTuple

from ledgerctl.core.decision import Decision, Facts, decide
from ledgerctl.core.model import Account, Earlier, Known, Stands
from ledgerctl.core.repeats import Replays
from ledgerctl.core.rows import Chunk
from ledgerctl.db import imports, journal
from ledgerctl.db.connection import Connection
from ledgerctl.db.journal import Held
from ledgerctl.db.worker import Worker
from ledgerctl.services.balance_changes import Change, changing
from ledgerctl.services.import_job import Ended, Job, Stopped, conflicts, explained, settled
from ledgerctl.services.import_receipts import close, refuse
from ledgerctl.services.tally import Tally
from ledgerctl.tracing import span

CHUNK = 500
"""So many rows are read, decided and written out at a time: all that is made of them stays in the processor's cache."""
BATCH = 16
"""So many chunks go to the server in one statement; the first have fewer, so that it has something to do early."""


class Move(NamedTuple):
    """What an import does to an account: balances in minor units, credits positive."""

    account: Account
    before: int
    after: int


class Copied(NamedTuple):
    """What was posted: the receipt's id, the tally, the accounts as they were locked, and where they stand now."""

    import_id: int
    tally: Tally
    held: Held
    moved: dict[str, Stands]

    @property
    def moves(self) -> list[Move]:
        accounts, before = self.held.accounts, self.held.standings
        return [Move(accounts[code], before[code].balance, stands.balance) for code, stands in self.moved.items()]


def post(job: Job) -> Ended:
    """Post every row, or none."""
    database = job.books.database
    try:
        with changing(job.books) as change:
            try:
                return database.transact_at_length(database.import_limits, _post_all, job, change, look_up=False)
            except journal.KeyInUse:
                return database.transact_at_length(database.import_limits, _post_all, job, change, look_up=True)
    except Stopped as stop:
        return Ended(database.transact(refuse, job, stop.tally, "ROWS_REJECTED"), stop.tally)


def _post_all(conn: Connection, job: Job, change: Change, *, look_up: bool) -> Ended:
    copied = copy_all(conn, job, Tally(), look_up=look_up)
    tally = copied.tally
    if tally.rejected and not job.options.skip_rejects:
        raise Stopped(tally)
    close(conn, job, copied.import_id, tally, tally.activity())
    change.mark(conn, copied.held.writer, copied.held.accounts, copied.moved, copied.held.standings)
    return Ended(copied.import_id, tally)


def copy_all(conn: Connection, job: Job, tally: Tally, *, look_up: bool, rows: int | None = None) -> Copied:
    """Post what can be posted, of the first `rows` or of all.

    Every account is locked once, before the first row, and moved once, after the last. KeyInUse, unless keys are looked
    up; Stopped.
    """
    ledger, survey = job.books.ledger, job.survey
    job.rejects.begin(survey)
    held = journal.lock(conn, ledger, survey.accounts)
    replays = Replays(imports.same_file(conn, ledger, survey.sha256))  # under the locks: it may be running twice
    standings: dict[str, Stands] = dict(held.standings)
    facts = Facts(held.accounts, standings, {}, {}, held.now, *job.decided(conn))
    new = not look_up and not journal.known(conn, ledger, [request.key for request in survey.sample])
    import_id = imports.begin(conn, ledger, job.file.name, survey.sha256, job.books.actor, "running")

    chunks = job.file.chunks(survey, import_id, CHUNK)
    if rows is not None:
        chunks = _first(chunks, rows)
    with Worker(conn) as server:
        run = _Run(conn, job, server, facts, standings, replays, tally)
        if new:
            run.copy_new(chunks)
        else:
            run.copy_looked_up(chunks)
        server.finish()

    moved = {code: stands for code, stands in standings.items() if stands is not held.standings[code]}
    if moved:
        journal.move(conn, ledger, held.accounts, moved, held.now)
    return Copied(import_id, tally, held, moved)


@dataclass(frozen=True, slots=True)
class _Run:
    """One pass over the chunks of a file."""

    conn: Connection
    job: Job
    server: Worker
    facts: Facts
    standings: dict[str, Stands]
    """Those of the facts: where the accounts stand after the rows so far."""
    replays: Replays
    tally: Tally

    def copy_new(self, chunks: Iterator[Chunk]) -> None:
        """Each chunk is read when it is decided, and no key is looked up first. KeyInUse, if one is used."""
        ledger = self.job.books.ledger
        for size, first in zip(_sizes(), chunks, strict=False):
            lines, refused = journal.Lines(ledger), list[str]()
            with span("decide"):
                for chunk in chain([first], islice(chunks, size - 1)):
                    decision = self._decide(chunk, {}, lines)
                    if len(decision.known) < len(chunk.rows):
                        refused += [key for key in chunk.row_keys() if key not in decision.known]
                    if self._too_many():
                        break
            self.server.tell(journal.copy_new, self.conn, lines.rows())
            if refused:
                self.server.tell(journal.require_unused, self.conn, ledger, refused)
            self._go_on()

    def copy_looked_up(self, chunks: Iterator[Chunk]) -> None:
        """Whose keys are used is known before they are decided."""
        ledger = self.job.books.ledger
        earlier: dict[str, Earlier] = {}
        for batch, known in self._looked_up(chunks):
            # The batch before was not yet written when the keys of this one were looked up.
            keys, earlier = {**known, **earlier}, {}
            lines = journal.Lines(ledger)
            with span("decide"):
                for chunk in batch:
                    decision = self._decide(chunk, keys, lines)
                    keys.update(decision.known)
                    earlier.update(decision.known)
                    if self._too_many():
                        break
            self.server.tell(journal.copy, self.conn, lines.rows())
            self._go_on()

    def _looked_up(self, chunks: Iterator[Chunk]) -> Iterator[tuple[list[Chunk], Mapping[str, Known]]]:
        """Keys are asked for one batch ahead, so that the server has rows to copy as soon as it has answered."""
        waiting: tuple[list[Chunk], Future[dict[str, Known]]] | None = None
        for size in _sizes():
            batch = list(islice(chunks, size))
            keys = [key for chunk in batch for key in chunk.row_keys()]
            asked = self.server.ask(journal.known, self.conn, self.job.books.ledger, keys)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            if not batch:
                return
            waiting = batch, asked

    def _decide(self, chunk: Chunk, known: Mapping[str, Earlier], lines: journal.Lines) -> Decision:
        """Decide a chunk, write out what it posts, count it all, and put the rejected rows aside."""
        decision = decide(chunk.requests(), self.facts._replace(known=known))
        lines.add(decision.posted())
        self.standings.update(decision.standings)
        outcomes = self.replays.judged(decision.outcomes)
        if conflicts(outcomes):  # else it would wait for the server without a question
            outcomes = self.server.ask(explained, self.conn, self.job.books.ledger, outcomes).result()
        for bad in self.tally.count(settled(chunk, known), outcomes, self.facts.accounts):
            self.job.rejects.add(bad)
        return decision

    def _too_many(self) -> bool:
        return self.job.options.gives_up(self.tally.rejected)

    def _go_on(self) -> None:
        """Stopped when too many rows are rejected, once it is known that no key of theirs was used."""
        if self._too_many():
            self.server.finish()
            raise Stopped(self.tally)
        self.job.progress(self.tally.rows, self.job.survey.rows, self.tally.rejected)


def _first(chunks: Iterator[Chunk], rows: int) -> Iterator[Chunk]:
    for chunk in chunks:
        yield Chunk(chunk.rows[:rows], chunk.cells[:rows], chunk.lines[:rows])
        rows -= len(chunk.rows)
        if rows <= 0:
            return


def _sizes() -> Iterator[int]:
    return chain(range(2, BATCH, 2), repeat(BATCH))
