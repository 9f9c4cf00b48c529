"""Balances in Redis, never older than what anybody was told: what who posts does for it.

He marks the accounts before the commit, and puts their new balances in the place of the marks before anybody is told.
Where Redis does not confirm both, the epoch is closed in the database, and nobody is told until nobody can read by it
any more (`balance_reads.PERMIT_S`). docs/caching.md has the argument.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from ledgerctl import errors
from ledgerctl.cache import Away
from ledgerctl.core.model import Account, Balance, Stands
from ledgerctl.db import epochs
from ledgerctl.db.epochs import Epoch, Writer
from ledgerctl.db.pipeline import Executor
from ledgerctl.services.books import Books

if TYPE_CHECKING:
    from ledgerctl.cache.balances import Balances

WAIT_S = 1.25
"""For so long, from its commit, nobody is told of what Redis did not confirm: permits have run out, slow clocks too."""
ACCOUNTS_MAX = 10_000
"""Who changes more accounts at once closes the epoch: that takes a moment, and marking them one by one would not."""
_NONE: Mapping[str, Stands] = {}


class Change:
    """The balances that one transaction changes, on their way into Redis."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._writer = Writer(0, None)
        self._balances: list[Balance] = []
        self._confirmed = True

    def mark(
        self,
        conn: Executor,
        writer: Writer,
        accounts: Mapping[str, Account],
        moved: Mapping[str, Stands],
        repeated: Mapping[str, Stands] = _NONE,
    ) -> None:
        """The last thing before the commit, under the accounts' locks.

        `repeated` are accounts that stay where they are: what was posted to them before is about to be told again.
        """
        self._writer, epoch = writer, writer.epoch
        if epoch is None or epoch.state == "off":
            return
        self._balances = [_balance(accounts[code], stands) for code, stands in {**repeated, **moved}.items()]
        self._confirmed = epoch.state != "closing"
        if not self._confirmed or not moved:
            return
        try:
            self._kept(epoch).mark(list(moved), writer.transaction)
        except Away as away:
            # In the same transaction: what is committed is then never without the word that nobody may read.
            epochs.close(conn, self._books.ledger, epoch.id, self._reason(away))
            self._confirmed = False

    def settle(self) -> None:
        """After the commit, before anybody is told of it. OutcomeUnknown when it cannot be told safely."""
        epoch = self._writer.epoch
        if epoch is None or epoch.state == "off" or not self._balances:
            return
        if self._confirmed:
            try:
                self._kept(epoch).settle(self._balances, self._writer.transaction)
            except Away as away:
                self._closed(epoch, self._reason(away))
            else:
                return
        self._wait(epoch)

    def _kept(self, epoch: Epoch) -> Balances:
        """Away, unless it is the Redis of the epoch that is asked."""
        cache = self._books.cache
        if cache is None:
            raise Away("a command without [redis] url posted")
        if len(self._balances) > ACCOUNTS_MAX:
            raise Away(f"{len(self._balances):,} accounts were changed at once")
        found = cache.instance()
        if found.unfit or found.run_id != epoch.instance:
            raise Away(found.unfit or "it was started anew, or is another one")
        from ledgerctl.cache.balances import Balances
        from ledgerctl.cache.keeping import Keeping

        return Balances(Keeping(cache, epoch.id, epoch.secret))

    def _reason(self, away: Away) -> str:
        return f"{away} ({self._books.database.application})"

    def _closed(self, epoch: Epoch, reason: str) -> None:
        with closing(self._books.database.attached()) as other:  # ours remembers whether its commit is in doubt
            try:
                other.transact(epochs.close, self._books.ledger, epoch.id, reason)
            except errors.LedgerError as error:
                raise errors.OutcomeUnknown(
                    detail=f"neither Redis nor the database answers any more: {error}"
                ) from error

    def _wait(self, epoch: Epoch) -> None:
        told = f"Redis did not confirm: waiting {WAIT_S} s, until nobody reads balances from it, to tell the outcome"
        self._books.database.told(told)
        time.sleep(WAIT_S)
        with suppress(errors.LedgerError), closing(self._books.database.attached()) as other:
            other.transact(epochs.end, self._books.ledger, epoch.id)


@contextmanager
def changing(books: Books) -> Iterator[Change]:
    """Around a transaction that changes balances, which is to `mark` them; it is over when the balances are settled."""
    change = Change(books)
    yield change
    try:
        change.settle()
    except (KeyboardInterrupt, SystemExit) as stop:
        raise errors.OutcomeUnknown(detail="interrupted before the outcome could be told") from stop


def _balance(account: Account, stands: Stands) -> Balance:
    return Balance(
        account.code, account.type, account.currency, account.exponent, account.normal * stands.balance, stands.seq
    )
