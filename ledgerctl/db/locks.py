"""Who holds the lock that somebody waited for in vain."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import class_row

from ledgerctl.db.pipeline import Executor

if TYPE_CHECKING:
    from ledgerctl.db.connection import Connection

# A session may have ended its transaction meanwhile: idle, it holds nothing. Of another role's, an ordinary role sees
# neither the state nor since when.

# Whoever has locked a row stands in it as xmax, and holds a lock on that transaction's own number.
OF_ROW = """
    SELECT a.code AS account, l.pid, s.application_name AS application, s.state,
           extract(epoch FROM clock_timestamp() - s.xact_start)::float AS seconds
    FROM accounts a
    JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = a.xmax AND l.granted
                       AND l.mode = 'ExclusiveLock'
    JOIN pg_stat_activity s ON s.pid = l.pid
    WHERE a.ctid = %s::tid AND (s.xact_start IS NOT NULL OR s.state IS NULL)
"""
# Those that nobody's transaction holds for longer than so many seconds are left out: they are free in a moment.
HELD = """
    SELECT a.code
    FROM (SELECT code, xmax FROM accounts WHERE ledger_id + 0 = %s AND code = ANY(%s) OFFSET 0) a
    JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = a.xmax AND l.granted
                       AND l.mode = 'ExclusiveLock'
    LEFT JOIN pg_stat_activity s ON s.pid = l.pid
    WHERE coalesce(s.xact_start < clock_timestamp() - make_interval(secs => %s), true)
"""
# Where no row is known, the oldest transaction that has written to the accounts is the likeliest.
OF_TABLE = """
    SELECT NULL AS account, l.pid, s.application_name AS application, s.state,
           extract(epoch FROM clock_timestamp() - s.xact_start)::float AS seconds
    FROM pg_locks l
    JOIN pg_stat_activity s ON s.pid = l.pid
    JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.relation = 'accounts'::regclass
      AND l.mode IN ('RowShareLock', 'RowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') AND l.granted
      AND l.pid <> pg_backend_pid() AND (s.xact_start IS NOT NULL OR s.state IS NULL)
      AND s.wait_event_type IS DISTINCT FROM 'Lock'
    ORDER BY s.xact_start
    LIMIT 1
"""
# Whoever waits for a row holds, or waits for, a lock on its place. He may wait behind others who wait: who keeps all of
# them is the one at the head of the queue.
BLOCKING = """
    WITH RECURSIVE queue(pid) AS (
        SELECT unnest(pg_blocking_pids(%(pid)s))
        UNION
        SELECT unnest(pg_blocking_pids(q.pid)) FROM queue q
    )
    SELECT (SELECT a.code
            FROM pg_locks w
            JOIN accounts a ON a.ctid = format('(%%s,%%s)', w.page, w.tuple)::tid
            WHERE w.pid = %(pid)s AND w.locktype = 'tuple' AND w.relation = 'accounts'::regclass
            LIMIT 1) AS account,
           s.pid, s.application_name AS application, s.state,
           extract(epoch FROM clock_timestamp() - s.xact_start)::float AS seconds
    FROM queue q
    JOIN pg_stat_activity s ON s.pid = q.pid
    ORDER BY cardinality(pg_blocking_pids(s.pid)), s.pid
    LIMIT 1
"""
_PLACE = re.compile(r"\(\d+,\d+\)")


class Holder(NamedTuple):
    """A session: the account that it has locked, if that is known, and for how many seconds its transaction is open."""

    account: str | None
    pid: int
    application: str
    state: str | None
    seconds: float | None

    @property
    def words(self) -> str:
        """For example: account 'a' is locked by process 7 (ledgerctl import 99@host), idle in transaction, for 12 s."""
        what = "the accounts are" if self.account is None else f"account '{self.account}' is"
        return f"{what} locked by {self.who}"

    @property
    def who(self) -> str:
        """For example: process 7 (ledgerctl import 99@host), idle in transaction, for 12 s."""
        state = "" if self.state is None else f", {self.state}"
        since = "" if self.seconds is None else f", for {self.seconds:.0f} s"
        return f"process {self.pid} ({self.application or 'unnamed'}){state}{since}"

    @property
    def details(self) -> dict[str, Any]:
        """Its fields by name, for an error's details."""
        return {**self._asdict(), "seconds": None if self.seconds is None else round(self.seconds, 1)}


class Wait(NamedTuple):
    """A lock that was waited for: who held it when that had taken a while, and how long it took in the end."""

    holder: Holder
    waited_s: float

    @property
    def words(self) -> str:
        """For example: waited 1.2 s: account 'a' was locked by process 7 (ledgerctl import 99@host)."""
        what = "the accounts were" if self.holder.account is None else f"account '{self.holder.account}' was"
        by = f"process {self.holder.pid} ({self.holder.application or 'unnamed'})"
        return f"waited {self.waited_s:.1f} s: {what} locked by {by}"

    @property
    def details(self) -> dict[str, Any]:
        """For an answer in JSON."""
        holder = {"pid": self.holder.pid, "application": self.holder.application}
        return {"account": self.holder.account, "waited_s": round(self.waited_s, 3), "holder": holder}


def merged(waits: Iterable[Wait]) -> list[Wait]:
    """One for each account and holder, with the time of all: whoever waits long is sent back to wait again."""
    found: dict[tuple[str | None, int], Wait] = {}
    for wait in waits:
        place = wait.holder.account, wait.holder.pid
        before = found[place].waited_s if place in found else 0.0
        found[place] = Wait(wait.holder, before + wait.waited_s)
    return list(found.values())


def blocking(conn: Connection, pid: int) -> Holder | None:
    """Who keeps the session of that process waiting, if anybody does."""
    return conn.cursor(row_factory=class_row(Holder)).execute(BLOCKING, {"pid": pid}).fetchone()


def held(conn: Executor, ledger: int, codes: Iterable[str], longer_s: float) -> set[str]:
    """Which of the accounts are locked by a transaction that is open for longer, as far as can be seen."""
    return {code for (code,) in conn.execute(HELD, [ledger, list(codes), longer_s]).fetchall()}


def holder(conn: Connection, context: str) -> Holder | None:
    """Who holds the row that the server's words about a failed wait name, or else the likeliest session."""
    cursor = conn.cursor(row_factory=class_row(Holder))
    place = _PLACE.search(context) if "accounts" in context else None
    found = cursor.execute(OF_ROW, [place[0]]).fetchone() if place is not None else None
    return found or cursor.execute(OF_TABLE).fetchone()
