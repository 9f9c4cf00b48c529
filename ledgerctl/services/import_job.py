"""What an import is asked to do, what it holds from the first row to the last, and what both ways to post share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from uuid import UUID

from ledgerctl.core.decision import Reason
from ledgerctl.core.differences import differences
from ledgerctl.core.model import Earlier, Outcome, Refused, Request
from ledgerctl.core.rows import Chunk, Rejected, Survey
from ledgerctl.db import imports, reports
from ledgerctl.db.connection import Connection
from ledgerctl.errors import LedgerError
from ledgerctl.services.books import Books
from ledgerctl.services.controls import Expected
from ledgerctl.services.tally import Bad, Tally

Progress = Callable[[int, int, int], None]
"""Told the rows done, the rows there are, and the rows rejected so far."""


class File(Protocol):
    """Rows that can be read twice; see `formats.transfer_csv`."""

    @property
    def name(self) -> str: ...
    def survey(self, *, amounts: bool = False) -> Survey: ...
    def chunks(self, survey: Survey, import_id: int, size: int) -> Iterator[Chunk]: ...


class Rejects(Protocol):
    """Where rejected rows go; see `formats.rejects`."""

    @property
    def name(self) -> str | None: ...
    def begin(self, survey: Survey) -> None: ...
    def add(self, bad: Bad) -> None: ...


class Nowhere:
    """For whoever wants no file of the rejected rows."""

    name = None

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
    """Commit each time so many rows are decided; so many are held in memory."""
    again: bool = False
    """Post rows even though most of them seem to have been posted before, under other keys, and decide once more on
    those that an earlier import of the file left out."""
    expected: Expected = field(default_factory=Expected)

    def gives_up(self, rejected: int) -> bool:
        """Whether so many rejected rows end the import."""
        return self.rejects_max is not None and rejected > self.rejects_max


@dataclass(frozen=True, slots=True)
class Job:
    """What stays the same from the first row of an import to its last."""

    books: Books
    file: File
    survey: Survey
    options: Options
    rejects: Rejects
    progress: Progress

    def decided(self, conn: Connection) -> tuple[int, int]:
        """Asked under the locks: somebody else may be importing the same file. See `Facts`."""
        return (0, 0) if self.options.again else imports.decided(conn, self.books.ledger, self.survey.sha256)


class Ended(NamedTuple):
    """The number of the receipt, what became of the rows, and the error that kept the others from being read."""

    import_id: int
    tally: Tally
    error: LedgerError | None = None


class Stopped(Exception):
    """Carries the tally out of a transaction that must not be committed."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally


def conflicts(outcomes: list[Outcome]) -> list[UUID]:
    """What was posted under the keys that were used for something else."""
    return [
        outcome.known.id
        for outcome in outcomes
        if isinstance(outcome, Refused) and outcome.reason == Reason.IDEMPOTENCY_CONFLICT and outcome.known is not None
    ]


def explained(conn: Connection, ledger: int, outcomes: list[Outcome]) -> list[Outcome]:
    """A conflict names the fields that differ from what was posted under its key."""
    ids = conflicts(outcomes)
    if not ids:
        return outcomes
    stored = reports.transactions(conn, ledger, ids)
    return [
        outcome._replace(
            details={**outcome.details, "fields": ", ".join(differences(stored[outcome.known.id], outcome.request))}
        )
        if isinstance(outcome, Refused) and outcome.known is not None and outcome.known.id in stored
        else outcome
        for outcome in outcomes
    ]


def settled(chunk: Chunk, known: Mapping[str, Earlier]) -> Chunk:
    """The chunk; a row that cannot be read, but whose key is used, says so: under another it may be posted twice."""
    if not any(isinstance(row, Rejected) and row.key in known for row in chunk.rows):
        return chunk
    return chunk._replace(rows=[_settled(row, known) for row in chunk.rows])


def _settled(row: Request | Rejected, known: Mapping[str, Earlier]) -> Request | Rejected:
    if isinstance(row, Request) or row.key is None or row.key not in known:
        return row
    return row._replace(
        message=f"{row.message}; transaction {known[row.key].id} was posted under its key",
        hint="if that is this row, mended, nothing is left to do; with another key it would be posted twice",
    )
