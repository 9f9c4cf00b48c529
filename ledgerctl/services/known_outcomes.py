"""Repeats of what was posted, answered from Redis without a transaction; the database is the record, and decides.

An outcome is kept after its commit, and never changes. It is believed if it was signed in the epoch that the database
named a moment ago: one that began after the last start of the server, so that no outcome outlives a restore.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledgerctl import errors
from ledgerctl.cache import Away
from ledgerctl.cache.keeping import Keeping
from ledgerctl.cache.outcomes import Outcomes
from ledgerctl.cache.server import Server
from ledgerctl.core.model import Request, Transaction
from ledgerctl.db import epochs
from ledgerctl.db.connection import Database
from ledgerctl.services.balance_reads import PERMIT_S, now


class KnownOutcomes:
    """For one thread of a server, which posts much. A single command would wait longer for Redis's library."""

    def __init__(self, database: Database, ledger: int, cache: Server) -> None:
        self._database = database
        self._ledger = ledger
        self._cache = cache
        self._kept: Outcomes | None = None
        self._until = 0.0

    def find(self, requests: Sequence[Request]) -> list[Transaction | None]:
        """What was posted under the key of each, if that is known to be this very request; else ask the database."""
        unknown: list[Transaction | None] = [None] * len(requests)
        kept = self._permitted()
        if kept is None or self._cache.resting:
            return unknown
        try:
            found = kept.find(requests)
        except Away:
            self._cache.counts["outcomes", "fallback"] += len(requests)
            return unknown
        return found if now() < self._until else unknown  # the permit is looked at after the answer

    def keep(self, posted: Sequence[tuple[Request, Transaction]]) -> None:
        """What is committed. Whether Redis takes it makes no difference but to the time that a repeat takes."""
        if self._kept is None or self._cache.resting or not posted:
            return
        try:
            self._kept.keep(posted)
        except Away:
            self._cache.counts["outcomes", "fallback"] += len(posted)

    def _permitted(self) -> Outcomes | None:
        asked = now()
        if asked < self._until:
            return self._kept
        self._until = asked + PERMIT_S
        try:
            epoch = self._database.read(epochs.live, self._ledger, "outcomes")
            if epoch is None or epoch.state != "on":
                epoch = self._database.transact(epochs.outcomes, self._ledger)
        except errors.LedgerError:  # a role that may not begin one; a database that is gone, which posting will tell
            epoch = None
        self._kept = None if epoch is None else Outcomes(Keeping(self._cache, epoch.id, epoch.secret))
        return self._kept
