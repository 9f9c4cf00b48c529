"""Balances read from Redis where that may be believed, from the database where not.

Who reads is permitted to by the database, for PERMIT_S at a time: so whoever cannot reach Redis need only close the
epoch and wait for so long. docs/caching.md has the argument.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from ledgerctl import errors
from ledgerctl.cache import Away
from ledgerctl.cache.balances import Balances
from ledgerctl.cache.keeping import Keeping
from ledgerctl.cache.server import Server
from ledgerctl.core import money
from ledgerctl.core.model import Balance
from ledgerctl.db import epochs
from ledgerctl.db.epochs import Epoch
from ledgerctl.services import balance_changes
from ledgerctl.services.books import Books

PERMIT_S = 1.0
"""For so long after the database was asked, balances may be read by the epoch that it named."""
REST_S = 30.0
"""An epoch that was closed is not followed by another before."""
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps."""


class _Permit(NamedTuple):
    epoch: Epoch
    until: float


class Reader:
    """Reads balances, from Redis where it may. For one thread that reads many."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._permit: _Permit | None = None
        self._ask_again = 0.0
        self._closing: tuple[UUID, float] | None = None
        """Which epoch is closing, and since when we know."""

    def balance(self, code: str) -> Balance:
        """What the account holds, no older than what anybody was told before this was asked. AccountNotFound."""
        cache = self._books.cache
        permit = None if cache is None else self._permitted(cache)
        if cache is None or permit is None:
            return _balance_of(self._read(code, None))
        try:
            return self._found(cache, permit, code)
        except Away:
            cache.counts["balances", "fallback"] += 1
            return _balance_of(self._read(code, None))

    def _found(self, cache: Server, permit: _Permit, code: str) -> Balance:
        if cache.resting:
            raise Away("it is left alone for a while")
        found = cache.instance()
        if found.unfit or found.run_id != permit.epoch.instance:
            raise Away("another one, or not fit any more")
        kept = Balances(Keeping(cache, permit.epoch.id, permit.epoch.secret))
        held = kept.find(code)
        if held.balance is not None and now() < permit.until:  # the permit is looked at after the answer
            cache.counts["balances", "hit"] += 1
            return held.balance
        cache.counts["balances", "miss"] += 1
        read = self._read(code, held.writer)
        balance = _balance_of(read)
        if held.replaced is not None and read.ended:
            with suppress(Away):
                kept.put(balance, held.replaced)
        return balance

    def _read(self, code: str, writer: int | None) -> epochs.Read:
        read = self._books.database.read(epochs.balance, self._books.ledger, code, writer)
        if read is None:
            raise errors.AccountNotFound(account=code)
        return read

    def _permitted(self, cache: Server) -> _Permit | None:
        """Permission to read by an epoch, if there is one; the database is asked once in PERMIT_S."""
        asked = now()
        if asked < self._ask_again:
            return self._permit
        self._ask_again = asked + PERMIT_S
        epoch = self._live()
        if epoch is None or epoch.state != "on":
            try:
                epoch = self._begun(cache, epoch, asked)
            except errors.BadConfig:
                raise
            except (Away, errors.LedgerError):  # a Redis that is gone, a role that only reads
                epoch = None
        self._permit = _Permit(epoch, asked + PERMIT_S) if epoch is not None and epoch.state == "on" else None
        return self._permit

    def _begun(self, cache: Server, epoch: Epoch | None, asked: float) -> Epoch | None:
        """The epoch a step or more further on its way; each step is safe by itself, whoever makes it."""
        database, ledger = self._books.database, self._books.ledger
        if epoch is not None and epoch.state == "closing":
            if self._closing is None or self._closing[0] != epoch.id:
                self._closing = epoch.id, asked
            if asked - self._closing[1] < balance_changes.WAIT_S:
                return None
            database.transact(epochs.end, ledger, epoch.id)
            epoch = self._live()
        if epoch is None or epoch.state == "off":
            instance = cache.instance()
            if instance.unfit or database.transact(epochs.arm, ledger, instance.run_id, REST_S) is None:
                return None
            epoch = self._live()
        if epoch is not None and epoch.state == "arming":
            database.transact(epochs.wait, ledger, epoch.id)
        if epoch is not None:
            database.transact(epochs.open_, ledger, epoch.id)
        return self._live()

    def _live(self) -> Epoch | None:
        return self._books.database.read(epochs.live, self._books.ledger, "balances")


def now() -> float:
    """Seconds that also pass while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


def _balance_of(read: epochs.Read) -> Balance:
    return Balance(
        read.code, read.type, read.currency, read.exponent, money.minor(read.balance, read.exponent), read.seq
    )
