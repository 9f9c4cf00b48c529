"""Receipts of imports."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ledgerctl.db.connection import Connection

BEGIN = """
    INSERT INTO imports (ledger_id, file, sha256, status, actor) VALUES (%s, %s, %s, 'running', %s) RETURNING id
"""
SAME_FILE = "SELECT id FROM imports WHERE ledger_id = %s AND sha256 = %s"
FINISH = """
    UPDATE imports
    SET status = %s, rows = %s, posted = %s, replayed = %s, rejected = %s, totals = %s,
        finished_at = clock_timestamp()
    WHERE ledger_id = %s AND id = %s
"""


def begin(conn: Connection, ledger: int, file: str, sha256: bytes, actor: str) -> int:
    """The id of a new receipt, for the rows to refer to."""
    [[import_id]] = conn.execute(BEGIN, [ledger, file, sha256, actor]).fetchall()
    return int(import_id)


def same_file(conn: Connection, ledger: int, sha256: bytes) -> set[int | None]:
    """Imports of the very same bytes."""
    return {import_id for (import_id,) in conn.execute(SAME_FILE, [ledger, sha256]).fetchall()}


def finish(
    conn: Connection,
    ledger: int,
    import_id: int,
    status: str,
    *,
    rows: int,
    posted: int,
    replayed: int,
    rejected: int,
    totals: Mapping[str, str],
) -> None:
    """Close the receipt with its counts and control totals."""
    counts = [status, rows, posted, replayed, rejected, json.dumps(totals)]
    conn.execute(FINISH, [*counts, ledger, import_id])
