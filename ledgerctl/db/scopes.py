"""What a check looks at: everything in a ledger, or what was written since the accounts' checkpoints.

Either is a WITH clause that a query begins with. It gives `some_accounts` and `some_entries`, with the balance and seq
that are verified before them; `some_transactions`; and `legs`, the entries of these transactions, whosever they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledgerctl.db.checkpoints import Moved
from ledgerctl.db.connection import Connection

WHOLE = """
    WITH some_accounts AS NOT MATERIALIZED (
        SELECT a.*, 0::bigint AS seq_before, 0::numeric AS balance_before FROM accounts a
        WHERE a.ledger_id = %(ledger)s
    ), some_entries AS NOT MATERIALIZED (
        SELECT e.*, 0::numeric AS balance_before FROM transaction_entries e WHERE e.ledger_id = %(ledger)s
    ), some_transactions AS NOT MATERIALIZED (
        SELECT * FROM transactions WHERE ledger_id = %(ledger)s
    ), legs AS NOT MATERIALIZED (
        SELECT * FROM transaction_entries WHERE ledger_id = %(ledger)s
    )
"""
# OFFSET 0 and `ledger_id + 0` hold each look to an index (ADR 3).
SINCE = """
    WITH moved AS (
        SELECT * FROM unnest(%(accounts)s::bigint[], %(seqs)s::bigint[], %(balances)s::numeric[])
                      AS m(account_id, seq, balance)
    ), some_accounts AS (
        SELECT a.*, m.seq AS seq_before, m.balance AS balance_before
        FROM moved m JOIN accounts a ON a.ledger_id = %(ledger)s AND a.id = m.account_id
    ), some_entries AS (
        SELECT e.*, m.balance AS balance_before
        FROM moved m
        CROSS JOIN LATERAL (SELECT * FROM transaction_entries
                            WHERE ledger_id = %(ledger)s AND account_id = m.account_id AND seq > m.seq
                            OFFSET 0) e
    ), new_ids AS (
        SELECT DISTINCT transaction_id AS id FROM some_entries
    ), some_transactions AS (
        SELECT t.*
        FROM new_ids n
        CROSS JOIN LATERAL (SELECT * FROM transactions WHERE ledger_id = %(ledger)s AND id = n.id OFFSET 0) t
    ), legs AS (
        SELECT e.*
        FROM new_ids n
        CROSS JOIN LATERAL (SELECT * FROM transaction_entries
                            WHERE ledger_id + 0 = %(ledger)s AND transaction_id = n.id
                            OFFSET 0) e
    )
"""

# Read as a whole, tables are joined so, even if the planner believes that they are empty; what is new is looked up.
_PLANS = """
    SELECT set_config('enable_nestloop', %s, true), set_config('enable_seqscan', %s, true),
           set_config('work_mem', '64MB', true), set_config('timezone', 'UTC', true)
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """`tables` goes before a query, `parameters` with it."""

    ledger: int
    tables: str
    parameters: Mapping[str, Any]
    whole: bool

    def settle(self, conn: Connection) -> None:
        """From here on the transaction's plans are those for this scope."""
        nested, scanned = ("off", "on") if self.whole else ("on", "off")
        conn.execute(_PLANS, [nested, scanned])


def everything(ledger: int) -> Scope:
    return Scope(ledger, WHOLE, {"ledger": ledger}, whole=True)


def since(ledger: int, moved: Sequence[Moved]) -> Scope:
    """What these accounts have that is not verified yet."""
    columns = {
        "accounts": [one.account_id for one in moved],
        "seqs": [one.seq for one in moved],
        "balances": [one.balance for one in moved],
    }
    return Scope(ledger, SINCE, {"ledger": ledger, **columns}, whole=False)
