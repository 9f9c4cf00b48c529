"""What monitoring sees of the books of a database: read in one snapshot, at most every few seconds, and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from ledgerctl import __version__, metrics
from ledgerctl.db import epochs, gauges, migrate, quick_checks
from ledgerctl.db.connection import Connection, Database
from ledgerctl.errors import LedgerError
from ledgerctl.metrics import Samples
from ledgerctl.services.following import Following, News
from ledgerctl.services.observing_redis import Watch

CACHE_S = 3.0
"""However many scrape, and however often, the database is asked no more than once in so many seconds."""


class _Reading(NamedTuple):
    news: News
    ledgers: Sequence[gauges.Ledger]
    balance_epochs: Sequence[gauges.BalanceEpoch]
    server: gauges.Server


@dataclass(slots=True)
class Observatory:
    """For any number of threads. A database that goes away and comes back is read again, without a restart.

    `in_doubt` says how many requests of this machine were cut short, to who can know; `told` hears when the books
    cannot be read; `redis` is there where one is configured.
    """

    database: Database
    in_doubt: Callable[[], int] | None
    told: Callable[[str], None]
    redis: Watch | None = None
    _following: Following = field(default_factory=Following)
    _lock: Lock = field(default_factory=Lock)
    _kept: Samples = field(default_factory=dict)
    _kept_until: float = 0.0
    _problem: str = ""

    def begin(self, patient: Database) -> None:
        """The first look, which counts the accounts: it may take as long as this connection lets it."""
        with self._lock:
            self._keep(self._look(patient))

    def samples(self) -> Samples:
        """All that is declared as of the books. That they cannot be read is a value of its own, and no error."""
        with self._lock:
            if time.monotonic() >= self._kept_until:
                self._keep(self._look(self.database))
            return self._kept

    def trouble(self) -> str:
        """What is not as it is meant to be: the books, the schema of this program, Redis. Empty when all is there."""
        why = self.trouble_of_books()
        if why or self.redis is None:
            return why
        with self._lock:
            return self.redis.trouble()

    def trouble_of_books(self) -> str:
        """Why nothing can be posted or read. Empty when it can."""
        with self._lock:
            try:
                self.database.look(_require_schema)
            except LedgerError as error:
                return str(error)
        return ""

    def _keep(self, samples: Samples) -> None:
        self._kept, self._kept_until = samples, time.monotonic() + CACHE_S

    def _look(self, database: Database) -> Samples:
        here: Samples = {
            **({} if self.in_doubt is None else {(metrics.IN_DOUBT, ()): self.in_doubt()}),
            (metrics.BUILD, (__version__, migrate.HEAD)): 1,
            **({} if self.redis is None else self.redis.samples()),
        }
        started = time.perf_counter()
        try:
            reading = database.look(self._read)
        except LedgerError as error:
            self._say(f"the books cannot be read: {error}")
            return {**self._following.totals, **here, (metrics.DATABASE_UP, ()): 0}
        self._say("")
        self._following.take(reading.news, [ledger.name for ledger in reading.ledgers])
        seconds = time.perf_counter() - started
        return {
            **self._following.totals,
            **self._following.accounts,
            **_of_ledgers(reading.ledgers),
            **_of_balances(reading.balance_epochs),
            **_of_server(reading.server),
            **here,
            (metrics.DATABASE_UP, ()): 1,
            (metrics.READ_DURATION, ()): seconds,
        }

    def _read(self, conn: Connection) -> _Reading:
        _require_schema(conn)
        news, ledgers = self._following.read(conn), gauges.ledgers(conn)
        return _Reading(news, ledgers, gauges.balance_epochs(conn), gauges.server(conn))

    def _say(self, problem: str) -> None:
        """When it changes, not at every scrape."""
        if problem != self._problem:
            self.told(problem or "the books can be read again")
            self._problem = problem


def _require_schema(conn: Connection) -> None:
    migrate.require(quick_checks.revision(conn))


def _of_ledgers(ledgers: Sequence[gauges.Ledger]) -> Samples:
    """Of books that were never reconciled, nothing is told of when and what that found."""
    found = [
        sample
        for name, imports_open, verified_at_s, findings in ledgers
        for sample in (
            ((metrics.IMPORTS_OPEN, (name,)), imports_open),
            ((metrics.BOOKS_VERIFIED, (name,)), verified_at_s),
            ((metrics.BOOKS_FINDINGS, (name,)), findings),
        )
    ]
    return {place: value for place, value in found if value is not None}


def _of_balances(found: Sequence[gauges.BalanceEpoch]) -> Samples:
    return {(metrics.BALANCE_CACHE, (ledger, state)): state == now for ledger, now in found for state in epochs.STATES}


def _of_server(server: gauges.Server) -> Samples:
    return {
        (metrics.DATABASE_SIZE, ()): server.size_bytes,
        (metrics.LOCK_WAITERS, ()): server.waiting,
        (metrics.LONGEST_LOCK_WAIT, ()): server.longest_s,
    }
