"""The roles of the database and what each may do: `sql/roles.sql`."""

from __future__ import annotations

from pathlib import Path

from ledgerctl.db.connection import Connection

MAY = {
    "ledger_owner": "owns the tables; nobody logs in as it",
    "ledger_migrator": "becomes the owner to change the schema",
    "ledger_app": "posts and reads; deletes nothing, and changes only balances, states and receipts",
    "ledger_ro": "reads the books",
    "ledger_auditor": "reads who did what, not what people wrote about payments",
    "ledger_metrics": "reads receipts and results of checks",
}


def script() -> str:
    """The SQL, for whoever wants to read it first or to run it by other means."""
    return (Path(__file__).parent / "sql" / "roles.sql").read_text(encoding="utf-8")


def apply(conn: Connection) -> None:
    """Within a transaction; it may be run again."""
    conn.execute(script().encode())
