"""What a check looks at: everything in a ledger, or what was written since the accounts' checkpoints.

Either is a WITH clause that a query begins with:

    some_accounts, some_entries    with the seq and the balance that are verified before them
    some_transactions              each with itself as one value, `record`
    legs                           the entries of these transactions, whosever they are
    named                          the accounts of all these
    originals                      what of these transactions is reversed by one of them
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
        SELECT t.*, t AS record FROM transactions t WHERE t.ledger_id = %(ledger)s
    ), legs AS NOT MATERIALIZED (
        SELECT * FROM transaction_entries WHERE ledger_id = %(ledger)s
    ), named AS NOT MATERIALIZED (
        SELECT * FROM accounts WHERE ledger_id = %(ledger)s
    ), originals AS NOT MATERIALIZED (
        SELECT * FROM transactions WHERE ledger_id = %(ledger)s
    )
"""
# Each look into a table is a LATERAL one by key, which leaves the planner no choice; `ledger_id + 0` as in ADR 3.
SINCE = """
    WITH moved AS (
        SELECT * FROM unnest(%(accounts)s::bigint[], %(seqs)s::bigint[], %(balances)s::numeric[])
                      AS m(account_id, seq, balance)
    ), some_accounts AS (
        SELECT a.*, m.seq AS seq_before, m.balance AS balance_before
        FROM moved m
        CROSS JOIN LATERAL (SELECT * FROM accounts WHERE ledger_id = %(ledger)s AND id = m.account_id OFFSET 0) a
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
        CROSS JOIN LATERAL (SELECT x.*, x AS record FROM transactions x
                            WHERE x.ledger_id = %(ledger)s AND x.id = n.id
                            OFFSET 0) t
    ), legs AS (
        SELECT e.*
        FROM new_ids n
        CROSS JOIN LATERAL (SELECT * FROM transaction_entries
                            WHERE ledger_id + 0 = %(ledger)s AND transaction_id = n.id
                            OFFSET 0) e
    ), named AS (
        SELECT a.*
        FROM (SELECT account_id FROM legs UNION SELECT account_id FROM some_entries) l
        CROSS JOIN LATERAL (SELECT * FROM accounts WHERE ledger_id = %(ledger)s AND id = l.account_id OFFSET 0) a
    ), originals AS (
        SELECT o.*
        FROM some_transactions r
        CROSS JOIN LATERAL (SELECT * FROM transactions WHERE ledger_id = %(ledger)s AND id = r.reverses OFFSET 0) o
    )
"""

# What is joined is joined as a whole, even if the planner believes that it is next to nothing.
_PLANS = """
    SELECT set_config('enable_nestloop', 'off', true), set_config('enable_seqscan', %s, true),
           set_config('work_mem', '64MB', true)
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
        conn.execute(_PLANS, ["on" if self.whole else "off"])


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
