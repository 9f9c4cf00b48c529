"""The roles of the database and what each may do: `sql/roles.sql`."""

from __future__ import annotations

from pathlib import Path

from ledgerctl.db.connection import Connection


def script() -> str:
    """The SQL, for whoever wants to read it first or to run it by other means."""
    return (Path(__file__).parent / "sql" / "roles.sql").read_text(encoding="utf-8")


def apply(conn: Connection) -> None:
    """Within a transaction; it may be run again."""
    conn.execute(script().encode())
