"""How far the books are verified: for each account the entry up to which they are, and its balance there.

It is safe to go on from a checkpoint: an entry's seq is given under the account's lock, so that no entry below a
committed one is still on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from psycopg.rows import class_row

from ledgerctl.db.connection import Connection

MOVED = """
    SELECT a.id AS account_id, coalesce(c.seq, 0) AS seq, coalesce(c.balance, 0) AS balance, c.seq IS NULL AS is_new,
           a.seq - coalesce(c.seq, 0) AS entries
    FROM (SELECT id, seq, balance FROM accounts WHERE ledger_id = %(ledger)s) a
    LEFT JOIN (SELECT account_id, seq, balance FROM reconciliation_checkpoints WHERE ledger_id = %(ledger)s) c
              ON c.account_id = a.id
    WHERE (a.seq, a.balance) IS DISTINCT FROM (c.seq, c.balance)
    ORDER BY a.id
"""
ADVANCE = """
    INSERT INTO reconciliation_checkpoints (ledger_id, account_id, seq, balance)
    SELECT a.ledger_id, a.id, a.seq, a.balance
    FROM unnest(%(accounts)s::bigint[]) AS moved(id)
    JOIN accounts a ON a.ledger_id = %(ledger)s AND a.id = moved.id
    ON CONFLICT (ledger_id, account_id)
    DO UPDATE SET seq = excluded.seq, balance = excluded.balance, verified_at = clock_timestamp()
"""


class Moved(NamedTuple):
    """An account that does not stand where it was verified to: its last verified entry, and the balance after it."""

    account_id: int
    seq: int
    balance: Decimal
    is_new: bool
    """It was never verified."""
    entries: int
    """So many are new, if it says so truly."""


def moved(conn: Connection, ledger: int) -> list[Moved]:
    """The accounts with something to verify. Looks at every account, and at no entry."""
    return conn.cursor(row_factory=class_row(Moved)).execute(MOVED, {"ledger": ledger}).fetchall()


def advance(conn: Connection, ledger: int, accounts: Sequence[Moved]) -> None:
    """They are verified as they stand in this transaction's snapshot."""
    conn.execute(ADVANCE, {"ledger": ledger, "accounts": [one.account_id for one in accounts]})
