"""What monitoring asks of the books every few seconds: no table that grows with the postings is read from end to end.

What was posted is counted by following the audit log: `Activity` is what became visible between two snapshots. Only
views without names and texts are read, so the role `ledger_metrics` may ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from psycopg.rows import class_row

from ledgerctl.db.connection import Connection
from ledgerctl.db.quick_checks import IS_OPEN

HERE = """
    SELECT pg_current_snapshot()::text AS snapshot,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_writer,
           coalesce((SELECT max(newest.id)
                     FROM ledgers l
                     CROSS JOIN LATERAL (
                         SELECT id FROM activity WHERE ledger_id = l.id ORDER BY id DESC LIMIT 1
                     ) newest), 0) AS newest
"""
# Whatever was committed between two snapshots, in whichever order its lines were numbered.
ACTIVITY = """
    SELECT l.name AS ledger, a.action, a.outcome, a.reason, a.status_before, count(*) AS lines,
           coalesce(sum(a.transactions), 0)::bigint AS transactions, coalesce(sum(a.entries), 0)::bigint AS entries,
           coalesce(sum(a.rejected), 0)::bigint AS rejected
    FROM ledgers l
    JOIN activity a ON a.ledger_id = l.id AND a.id > %(floor)s
    WHERE NOT pg_visible_in_snapshot(a.xid8, %(since)s::pg_snapshot)
    GROUP BY l.name, a.action, a.outcome, a.reason, a.status_before
"""
VOLUMES = """
    SELECT l.name AS ledger, v.key AS currency, sum(v.value::numeric)::float AS volume
    FROM ledgers l
    JOIN activity a ON a.ledger_id = l.id AND a.id > %(floor)s
    CROSS JOIN LATERAL jsonb_each_text(a.volume) v
    WHERE NOT pg_visible_in_snapshot(a.xid8, %(since)s::pg_snapshot)
    GROUP BY l.name, v.key
"""
REASONS = """
    SELECT l.name AS ledger, r.key AS reason, sum(r.value::bigint)::bigint AS rows
    FROM ledgers l
    JOIN activity a ON a.ledger_id = l.id AND a.id > %(floor)s
    CROSS JOIN LATERAL jsonb_each_text(a.reasons) r
    WHERE NOT pg_visible_in_snapshot(a.xid8, %(since)s::pg_snapshot)
    GROUP BY l.name, r.key
"""
ACCOUNTS = """
    SELECT l.name AS ledger, n.currency, n.status, n.accounts
    FROM account_numbers n
    JOIN ledgers l ON l.id = n.ledger_id
"""
# Of runs, the last and the last that was clean.
LEDGERS = f"""
    SELECT l.name,
           (SELECT count(*) FROM imports i WHERE i.ledger_id = l.id AND {IS_OPEN}) AS imports_open,
           (SELECT extract(epoch FROM r.finished_at)::float FROM reconciliations r
            WHERE r.ledger_id = l.id AND r.account_id IS NULL AND r.status = 'clean' ORDER BY r.id DESC LIMIT 1
           ) AS verified_at_s,
           (SELECT jsonb_array_length(r.findings) FROM reconciliations r
            WHERE r.ledger_id = l.id AND r.account_id IS NULL ORDER BY r.id DESC LIMIT 1
           ) AS findings
    FROM ledgers l
    ORDER BY l.name
"""  # noqa: S608 - of our own words only
BALANCE_EPOCHS = """
    SELECT l.name AS ledger, e.state
    FROM live_epochs e
    JOIN ledgers l ON l.id = e.ledger_id
    WHERE e.purpose = 'balances'
"""
# Of a lock on another's transaction pg_locks does not say in which database it is.
SERVER = """
    SELECT pg_database_size(current_database()) AS size_bytes, count(DISTINCT w.pid) AS waiting,
           coalesce(max(extract(epoch FROM clock_timestamp() - w.waitstart)), 0)::float AS longest_s
    FROM pg_locks w
    JOIN pg_stat_activity s ON s.pid = w.pid AND s.datname = current_database()
    WHERE NOT w.granted
"""


class Place(NamedTuple):
    """A point in the log: what was committed by then, which writer comes next, and the number of the last line."""

    snapshot: str
    next_writer: int
    newest: int


class Activity(NamedTuple):
    """Lines of one kind: how many, and how many transactions and entries were posted in them, or rows rejected."""

    ledger: str
    action: str
    outcome: str
    reason: str | None
    status_before: str | None
    lines: int
    transactions: int
    entries: int
    rejected: int


class Volume(NamedTuple):
    """Debits, in units of the currency: rounded, as every number of Prometheus."""

    ledger: str
    currency: str
    volume: float


class Reasons(NamedTuple):
    """Rows of imports that were rejected, by the code of the error."""

    ledger: str
    reason: str
    rows: int


class Accounts(NamedTuple):
    ledger: str
    currency: str
    status: str
    accounts: int


class Ledger(NamedTuple):
    """Times are seconds since 1970; None when the books were never reconciled."""

    name: str
    imports_open: int
    verified_at_s: float | None
    findings: int | None


class BalanceEpoch(NamedTuple):
    """Of a ledger whose balances were ever kept in Redis: one of `epochs.STATES`."""

    ledger: str
    state: str


class Server(NamedTuple):
    size_bytes: int
    waiting: int
    longest_s: float


def here(conn: Connection) -> Place:
    [found] = conn.cursor(row_factory=class_row(Place)).execute(HERE).fetchall()
    return found


def activity(conn: Connection, since: Place, floor: int) -> Sequence[Activity]:
    """Of the lines behind `floor` those that `since` did not see."""
    asked = {"since": since.snapshot, "floor": floor}
    return conn.cursor(row_factory=class_row(Activity)).execute(ACTIVITY, asked).fetchall()


def volumes(conn: Connection, since: Place, floor: int) -> Sequence[Volume]:
    asked = {"since": since.snapshot, "floor": floor}
    return conn.cursor(row_factory=class_row(Volume)).execute(VOLUMES, asked).fetchall()


def reasons(conn: Connection, since: Place, floor: int) -> Sequence[Reasons]:
    asked = {"since": since.snapshot, "floor": floor}
    return conn.cursor(row_factory=class_row(Reasons)).execute(REASONS, asked).fetchall()


def accounts(conn: Connection) -> Sequence[Accounts]:
    """Reads every account: asked once, and then followed."""
    return conn.cursor(row_factory=class_row(Accounts)).execute(ACCOUNTS).fetchall()


def ledgers(conn: Connection) -> Sequence[Ledger]:
    return conn.cursor(row_factory=class_row(Ledger)).execute(LEDGERS).fetchall()


def balance_epochs(conn: Connection) -> Sequence[BalanceEpoch]:
    return conn.cursor(row_factory=class_row(BalanceEpoch)).execute(BALANCE_EPOCHS).fetchall()


def server(conn: Connection) -> Server:
    [found] = conn.cursor(row_factory=class_row(Server)).execute(SERVER).fetchall()
    return found
