"""Runs of reconciliation, kept with what they found; and that only one of the same thing runs at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import class_row

from ledgerctl.core.findings import Finding
from ledgerctl.db.connection import Connection
from ledgerctl.db.locks import Holder
from ledgerctl.errors import AlreadyRunning

# A lock of the transaction, which a pooler cannot leave behind.
LOCK = "SELECT pg_try_advisory_xact_lock(%s, %s)"
RUNNING = """
    SELECT NULL AS account, s.pid, s.application_name AS application, s.state,
           extract(epoch FROM clock_timestamp() - s.xact_start)::float AS seconds
    FROM pg_locks l
    JOIN pg_stat_activity s ON s.pid = l.pid
    JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.locktype = 'advisory' AND l.classid = %s AND l.objid = %s AND l.granted
"""
CLOCK = "SELECT clock_timestamp()"
NEW_ID = "SELECT nextval(pg_get_serial_sequence('reconciliations', 'id'))"
RECORD = """
    INSERT INTO reconciliations (ledger_id, id, mode, status, checked, findings, actor, started_at, account_id, detail)
    OVERRIDING SYSTEM VALUE
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_BOOKS = 1919248227  # "reco" in ASCII
_ACCOUNT = 1650552427  # "bank"


class Lock(NamedTuple):
    """Of what may be reconciled by one at a time only."""

    space: int
    id: int


class Run(NamedTuple):
    """`checked` counts what was looked at; `account_id` and `detail` are those of an account against its bank."""

    id: int
    mode: str
    started_at: datetime
    checked: Mapping[str, int]
    findings: Sequence[Finding]
    account_id: int | None = None
    detail: Mapping[str, Any] | None = None


def of_books(ledger: int) -> Lock:
    return Lock(_BOOKS, ledger)


def of_account(account_id: int) -> Lock:
    return Lock(_ACCOUNT, account_id % 2**31)


def begin(conn: Connection, lock: Lock, what: str) -> datetime:
    """The time on the database's clock, and the lock until the transaction ends. AlreadyRunning when another has it."""
    [[mine]] = conn.execute(LOCK, lock).fetchall()
    if not mine:
        holder = conn.cursor(row_factory=class_row(Holder)).execute(RUNNING, lock).fetchone()
        who, details = ("another session", None) if holder is None else (holder.who, holder.details)
        raise AlreadyRunning(what=what, who=who, holder=details)
    [[now]] = conn.execute(CLOCK).fetchall()
    started: datetime = now
    return started


def new_id(conn: Connection) -> int:
    """For a run whose parts name it before it is recorded, with what it found."""
    [[id_]] = conn.execute(NEW_ID).fetchall()
    return int(id_)


def record(conn: Connection, ledger: int, actor: str, run: Run) -> None:
    """Keep the run with its findings."""
    status = "differences" if run.findings else "clean"
    listed = json.dumps([finding._asdict() for finding in run.findings])
    detail = None if run.detail is None else json.dumps(run.detail)
    columns = [ledger, run.id, run.mode, status, json.dumps(run.checked), listed, actor, run.started_at]
    conn.execute(RECORD, [*columns, run.account_id, detail])
