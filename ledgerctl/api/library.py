"""The books that are open: for each thread its own connection, and for each ledger those who post to it."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from ledgerctl.cache.limits import Inside, Limiter
from ledgerctl.cache.server import Server
from ledgerctl.config import Configuration
from ledgerctl.db.connection import Database
from ledgerctl.errors import LedgerError
from ledgerctl.services.balance_reads import Reader
from ledgerctl.services.books import Books, open_books
from ledgerctl.services.gathering import Gatherer
from ledgerctl.services.known_outcomes import KnownOutcomes


class _Shelf:
    """The books of one thread. Threads of the server end when they have nothing to do, and their connections with
    them."""

    def __init__(self, close: Callable[[Database], None]) -> None:
        self.books: dict[str, Books] = {}
        self.readers: dict[str, Reader] = {}
        self._close = close

    def __del__(self) -> None:
        for books in self.books.values():
            self._close(books.database)


class Library:
    """For any number of threads."""

    def __init__(self, configuration: Configuration, application: str) -> None:
        self._configuration = configuration
        self._application = application
        self._own = threading.local()
        self._databases: dict[int, Database] = {}
        self._gatherers: dict[str, Gatherer] = {}
        self._lock = threading.RLock()  # the collector of garbage may close a shelf wherever a thread is
        self._counts: dict[int, Counter[tuple[str, str]]] = {}
        """What each connection to Redis has counted; under 0, those that are gone."""
        self._inside = Inside()

    @property
    def shares_limits(self) -> bool:
        """Whether limits are counted in Redis, which has to be waited for."""
        return bool(self._configuration.settings.redis.url)

    def books(self, ledger: str) -> Books:
        """Of this thread. LedgerNotFound, WrongSchema, DatabaseUnavailable."""
        if not hasattr(self._own, "shelf"):
            self._own.shelf = _Shelf(self._close)
        opened: dict[str, Books] = self._own.shelf.books
        if ledger not in opened:
            opened[ledger] = self._opened(ledger)
        return opened[ledger]

    def reader(self, ledger: str) -> Reader:
        """Of this thread: balances, from Redis where that is asked for."""
        books = self.books(ledger)
        readers: dict[str, Reader] = self._own.shelf.readers
        if ledger not in readers:
            wanted = self._configuration.settings.redis.balances
            readers[ledger] = Reader(books if wanted else replace(books, cache=None))
        return readers[ledger]

    def gatherer(self, ledger: str) -> Gatherer:
        """Who posts to the ledger, for all threads."""
        self.books(ledger)  # LedgerNotFound before any thread is begun
        with self._lock:
            if ledger not in self._gatherers:
                self._gatherers[ledger] = Gatherer(lambda: self._opened(ledger))
            return self._gatherers[ledger]

    def known_gatherer(self, ledger: str) -> Gatherer | None:
        """If it is there already: finding out takes no time."""
        return self._gatherers.get(ledger)

    def limiter(self) -> Limiter:
        """Of this thread."""
        if not hasattr(self._own, "limiter"):
            self._own.limiter = Limiter(self._redis(), self._inside)
        limiter: Limiter = self._own.limiter
        return limiter

    def database(self) -> Database:
        """Another connection, which starts no server."""
        made = Database.of(self._configuration, self._application, _unheard).attached()
        with self._lock:
            self._databases[id(made)] = made
        return made

    def close(self) -> None:
        """What was taken is posted and answered before."""
        for gatherer in self._gatherers.values():
            gatherer.close()
        for database in list(self._databases.values()):
            self._close(database)

    def _close(self, database: Database) -> None:
        with self._lock:
            self._databases.pop(id(database), None)
        database.close()

    def _opened(self, ledger: str) -> Books:
        database, cache = self.database(), self._redis()
        try:
            books = open_books(database, ledger, "api", "api", cache)
        except LedgerError:
            self._close(database)
            raise
        if cache is None:
            return books
        return replace(books, outcomes=KnownOutcomes(database, books.ledger, cache))

    def asked_of_redis(self) -> Counter[tuple[str, str]]:
        """What came of it, by all threads so far: (balances, hit), (outcomes, miss), (limits, allowed), ..."""
        with self._lock:
            return sum((counts.copy() for counts in self._counts.values()), Counter())

    def _redis(self) -> Server | None:
        redis = self._configuration.settings.redis
        if not redis.url:
            return None
        server = Server(redis.url, redis.timeout_ms / 1000)
        with self._lock:
            self._counts[id(server.counts)] = server.counts
        weakref.finalize(server, self._count_gone, server.counts)
        return server

    def _count_gone(self, counts: Counter[tuple[str, str]]) -> None:
        with self._lock:
            del self._counts[id(counts)]
            self._counts.setdefault(0, Counter()).update(counts)


def _unheard(_sentence: str) -> None:
    """What an operator would be told while he waits, nobody waits for here."""
