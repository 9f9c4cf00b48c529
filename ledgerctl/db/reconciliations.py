"""Runs of reconciliation, kept with what they found; and that only one runs at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg.rows import class_row

from ledgerctl.db.checks import Finding
from ledgerctl.db.connection import Connection
from ledgerctl.db.locks import Holder

# A lock of the transaction, which a pooler cannot leave behind. 1919248227 is "reco" in ASCII.
LOCK = "SELECT pg_try_advisory_xact_lock(1919248227, %s)"
RUNNING = """
    SELECT NULL AS account, s.pid, s.application_name AS application, s.state,
           extract(epoch FROM clock_timestamp() - s.xact_start)::float AS seconds
    FROM pg_locks l
    JOIN pg_stat_activity s ON s.pid = l.pid
    JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.locktype = 'advisory' AND l.classid = 1919248227 AND l.objid = %s AND l.granted
"""
CLOCK = "SELECT clock_timestamp()"
RECORD = """
    INSERT INTO reconciliations (ledger_id, mode, status, checked, findings, actor, started_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    RETURNING id
"""


def begin(conn: Connection, ledger: int) -> datetime | None:
    """The time on the database's clock, and the lock until the transaction ends; None when another run holds it."""
    [[mine]] = conn.execute(LOCK, [ledger]).fetchall()
    if not mine:
        return None
    [[now]] = conn.execute(CLOCK).fetchall()
    started: datetime = now
    return started


def running(conn: Connection, ledger: int) -> Holder | None:
    """Who reconciles this ledger just now."""
    return conn.cursor(row_factory=class_row(Holder)).execute(RUNNING, [ledger]).fetchone()


def record(
    conn: Connection,
    ledger: int,
    actor: str,
    mode: str,
    started_at: datetime,
    checked: Mapping[str, int],
    findings: Sequence[Finding],
) -> int:
    """Keep the run with its findings; its id."""
    status = "differences" if findings else "clean"
    listed = json.dumps([finding._asdict() for finding in findings])
    columns = [ledger, mode, status, json.dumps(checked), listed, actor, started_at]
    [[run_id]] = conn.execute(RECORD, columns).fetchall()
    return int(run_id)
