"""Counting what is posted by following the audit log, from when the program that counts was started.

Lines become visible in another order than they are numbered in: what is new is what one snapshot sees and the one
before did not (pg_visible_in_snapshot). A transaction takes the numbers of its lines shortly before its end, so only
lines that were numbered in the last `SETTLED_S` seconds have to be looked at again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledgerctl import metrics
from ledgerctl.core.decision import Reason
from ledgerctl.core.model import Kind, Status
from ledgerctl.db import gauges
from ledgerctl.db.connection import Connection
from ledgerctl.db.gauges import Place
from ledgerctl.errors import AlreadyPosted, ControlTotals, codes
from ledgerctl.metrics import Metric, Samples

SETTLED_S = 30.0

_POSTS = {**{kind.value: kind for kind in Kind}, "import": Kind.TRANSFER, "import reverse": Kind.REVERSAL}
"""Actions of the audit log, and what they post."""
_BECOMES = {
    "account create": Status.ACTIVE,
    "account unfreeze": Status.ACTIVE,
    "account freeze": Status.FROZEN,
    "account close": Status.CLOSED,
}
_OTHER = "OTHER"
"""Stands for a reason that this program does not know: a newer one wrote it."""


class News(NamedTuple):
    """What one look at the database found to be new. `accounts` are None when their changes are followed, too."""

    place: Place
    accounts: Sequence[gauges.Accounts] | None
    activity: Sequence[gauges.Activity]
    volumes: Sequence[gauges.Volume]
    reasons: Sequence[gauges.Reasons]


class _Mark(NamedTuple):
    at: float
    newest: int


@dataclass(slots=True)
class Following:
    """Totals so far, and how far the log has been followed. `read` and `take` in turn, by one thread at a time."""

    _totals: dict[tuple[Metric, tuple[str, ...]], float] = field(default_factory=dict)
    _accounts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _ledgers: set[str] = field(default_factory=set)
    _since: Place | None = None
    _marks: list[_Mark] = field(default_factory=list)

    @property
    def totals(self) -> Samples:
        """What only grows; it is there whether the database is or not."""
        return {place: round(number, 9) for place, number in self._totals.items()}  # sums of floats end in noise

    @property
    def accounts(self) -> Samples:
        return {(metrics.ACCOUNTS, key): count for key, count in self._accounts.items()}

    def read(self, conn: Connection) -> News:
        """Accounts are counted when there is nothing to follow: at the start, and in a database that went back."""
        place = gauges.here(conn)
        since = self._since
        if since is None or since.next_writer > place.next_writer:
            return News(place, gauges.accounts(conn), (), (), ())
        floor = self._floor()
        activity, volumes = gauges.activity(conn, since, floor), gauges.volumes(conn, since, floor)
        return News(place, None, activity, volumes, gauges.reasons(conn, since, floor))

    def take(self, news: News, ledgers: Iterable[str]) -> None:
        """Count what `read` found, once its snapshot is known to have been read to the end."""
        self._open(ledgers)
        if news.accounts is not None:
            self._marks.clear()
            self._accounts = Counter(dict.fromkeys(self._accounts, 0))
            for one in news.accounts:
                self._accounts[one.ledger, one.status] += one.accounts
                self._add(metrics.VOLUME, one.ledger, one.currency, number=0)
        for row in news.activity:
            self._count(row)
        for ledger, currency, volume in news.volumes:
            self._add(metrics.VOLUME, ledger, currency, number=volume)
        for ledger, reason, rows in news.reasons:
            self._refuse(ledger, reason, rows)
        self._since = news.place
        self._marks.append(_Mark(time.monotonic(), news.place.newest))

    def _floor(self) -> int:
        """Lines up to this number have been counted."""
        settled = time.monotonic() - SETTLED_S
        while len(self._marks) > 1 and self._marks[1].at <= settled:
            del self._marks[0]
        return self._marks[0].newest

    def _open(self, ledgers: Iterable[str]) -> None:
        """What may come stands at 0 first: a series that begins at 5 shows no growth."""
        for ledger in set(ledgers) - self._ledgers:
            self._ledgers.add(ledger)
            for status in Status:
                self._accounts[ledger, status.value] += 0
            for reason in (*Reason, AlreadyPosted.code, ControlTotals.code):
                self._add(metrics.REFUSALS, ledger, str(reason), number=0)
            for kind in Kind:
                self._add(metrics.ENTRIES, ledger, kind.value, number=0)
                self._add(metrics.TRANSACTIONS, ledger, kind.value, "posted", number=0)
                self._add(metrics.TRANSACTIONS, ledger, kind.value, "refused", number=0)

    def _count(self, row: gauges.Activity) -> None:
        ledger, refused = row.ledger, row.lines if row.outcome == "refused" else 0
        if (kind := _POSTS.get(row.action)) is not None:
            self._add(metrics.TRANSACTIONS, ledger, kind.value, "posted", number=row.transactions)
            # What a file had refused is its rows, and of a single request the line itself.
            self._add(metrics.TRANSACTIONS, ledger, kind.value, "refused", number=row.rejected or refused)
            self._add(metrics.ENTRIES, ledger, kind.value, number=row.entries)
        if row.reason is not None and not row.rejected:  # else each row has its own
            self._refuse(ledger, row.reason, refused)
        if row.outcome == "done" and row.action in _BECOMES:
            self._accounts[ledger, _BECOMES[row.action].value] += row.lines
            if row.status_before is not None:
                self._accounts[ledger, row.status_before] -= row.lines

    def _refuse(self, ledger: str, reason: str, number: int) -> None:
        self._add(metrics.REFUSALS, ledger, reason if reason in codes() else _OTHER, number=number)

    def _add(self, metric: Metric, *labels: str, number: float) -> None:
        self._totals[metric, labels] = self._totals.get((metric, labels), 0) + number
