"""The books against themselves: one named query for each thing that must hold, each finding located.

Every query returns (subject, expected, found) and nothing when all is well. They trust no trigger and no constraint:
they read the tables as they are. They are asked of a scope, which is the whole ledger or what is new in it.
"""

from __future__ import annotations

from typing import NamedTuple

from psycopg.rows import class_row

from ledgerctl.core.findings import Finding
from ledgerctl.db.connection import Connection
from ledgerctl.db.scopes import Scope

FINDINGS_MAX = 1000
"""Of one check; a ledger that is damaged everywhere needs no longer list."""

CHECKS = {
    # A transaction's entries sum to zero in every currency.
    "zero-sum": """
        SELECT 'transaction ' || e.transaction_id || ' ' || a.currency AS subject, '0' AS expected,
               sum(e.amount)::text AS found
        FROM legs e
        JOIN named a ON a.id = e.account_id
        GROUP BY e.transaction_id, a.currency
        HAVING sum(e.amount) <> 0
        ORDER BY e.transaction_id
    """,
    # An account's balance is the sum of its entries.
    "balance": """
        SELECT 'account ' || a.code AS subject, (a.balance_before + coalesce(e.total, 0))::text AS expected,
               a.balance::text AS found
        FROM some_accounts a
        LEFT JOIN (SELECT account_id, sum(amount) AS total FROM some_entries GROUP BY account_id) e
                  ON e.account_id = a.id
        WHERE a.balance IS DISTINCT FROM a.balance_before + coalesce(e.total, 0)
        ORDER BY a.code
    """,
    # Each balance_after is the one before it plus the amount.
    "running-balance": """
        SELECT 'account ' || coalesce(a.code, e.account_id::text) || ' seq ' || e.seq || ' transaction '
                   || e.transaction_id AS subject,
               (e.previous + e.amount)::text AS expected, e.balance_after::text AS found
        FROM (SELECT account_id, seq, transaction_id, amount, balance_after,
                     coalesce(lag(balance_after) OVER (PARTITION BY account_id ORDER BY seq), balance_before)
                         AS previous
              FROM some_entries) e
        LEFT JOIN named a ON a.id = e.account_id
        WHERE e.balance_after IS DISTINCT FROM e.previous + e.amount
        ORDER BY a.code, e.seq
    """,
    # An account's entries are numbered 1 to its seq, without a gap.
    "sequence": """
        SELECT 'account ' || a.code AS subject, 'entries ' || a.seq_before + 1 || ' to ' || a.seq AS expected,
               coalesce(e.entries || ' entries from ' || e.first || ' to ' || e.last, 'none') AS found
        FROM some_accounts a
        LEFT JOIN (SELECT account_id, count(*) AS entries, min(seq) AS first, max(seq) AS last
                   FROM some_entries GROUP BY account_id) e ON e.account_id = a.id
        WHERE (coalesce(e.entries, 0), coalesce(e.last, a.seq_before), coalesce(e.first, a.seq_before + 1))
              <> (a.seq - a.seq_before, a.seq, a.seq_before + 1)
        ORDER BY a.code
    """,
    # No balance was ever outside today's limits is too much to ask; the balance that stands is inside them.
    "limits": """
        SELECT 'account ' || account AS subject,
               coalesce(min_balance::text, '') || '..' || coalesce(max_balance::text, '') AS expected,
               balance::text AS found
        FROM account_balances
        WHERE ledger_id = %(ledger)s
          AND (balance < min_balance OR balance > max_balance OR (status = 'closed' AND balance <> 0))
        ORDER BY account
    """,
    # Every account counts in a currency of the ledger, with its exponent.
    "currency": """
        SELECT 'account ' || a.code AS subject,
               coalesce(c.code || ' with ' || c.exponent || ' decimals', 'a currency of the ledger') AS expected,
               a.currency || ' with ' || a.exponent || ' decimals' AS found
        FROM accounts a
        LEFT JOIN currencies c ON c.ledger_id = a.ledger_id AND c.code = a.currency
        WHERE a.ledger_id = %(ledger)s AND c.exponent IS DISTINCT FROM a.exponent
        ORDER BY subject
    """,
    # Every amount is a number, not zero, with no more decimals than its currency has.
    "amounts": """
        SELECT 'account ' || a.code || ' seq ' || e.seq AS subject,
               'a finite amount with at most ' || a.exponent || ' decimals' AS expected, e.amount::text AS found
        FROM some_entries e
        JOIN named a ON a.id = e.account_id
        WHERE scale(trim_scale(e.amount)) > a.exponent OR e.amount = 0 OR NOT abs(e.amount) < 1e30
        ORDER BY a.code, e.seq
    """,
    # Every entry has its account and its transaction.
    "orphans": """
        SELECT 'account ' || e.account_id || ' seq ' || e.seq AS subject,
               CASE WHEN t.id IS NULL THEN 'transaction ' || e.transaction_id ELSE 'account ' || e.account_id END
                   AS expected,
               'none' AS found
        FROM some_entries e
        LEFT JOIN some_transactions t ON t.id = e.transaction_id
        LEFT JOIN named a ON a.id = e.account_id
        WHERE t.id IS NULL OR a.id IS NULL
        ORDER BY e.account_id, e.seq
    """,
    # Every transaction has entries.
    "empty-transactions": """
        SELECT 'transaction ' || t.id AS subject, 'at least 2 entries' AS expected, count(e.seq) || ' entries' AS found
        FROM some_transactions t
        LEFT JOIN legs e ON e.transaction_id = t.id
        GROUP BY t.id
        HAVING count(e.seq) < 2
        ORDER BY t.id
    """,
    # A row of an import has its receipt.
    "receipts": """
        SELECT 'transaction ' || t.id AS subject, 'import ' || t.import_id AS expected, 'none' AS found
        FROM some_transactions t
        LEFT JOIN imports i ON i.ledger_id = t.ledger_id AND i.id = t.import_id
        WHERE t.import_id IS NOT NULL AND i.id IS NULL
        ORDER BY t.id
    """,
    # Only a reversal names what it reverses, and no other reverses the same.
    "reversal-links": """
        SELECT 'transaction ' || t.id AS subject,
               CASE WHEN t.kind = 'reversal' THEN 'the only reversal of a transaction' ELSE 'no reversal link' END
                   AS expected,
               t.kind || coalesce(' of ' || t.reverses, '') AS found
        FROM some_transactions t
        WHERE (t.kind = 'reversal') <> (t.reverses IS NOT NULL)
           OR EXISTS (SELECT FROM transactions o
                      WHERE o.ledger_id = t.ledger_id AND o.reverses = t.reverses AND o.id <> t.id)
        ORDER BY t.id
    """,
    # A reversal points to a transaction that is no reversal, and moves no more than it did, the other way round.
    "reversals": """
        SELECT 'transaction ' || r.id AS subject, 'the opposite of ' || r.reverses AS expected,
               CASE WHEN o.id IS NULL THEN 'no such transaction'
                    WHEN o.kind = 'reversal' THEN 'a reversal of a reversal'
                    ELSE 'other accounts or amounts' END AS found
        FROM some_transactions r
        LEFT JOIN originals o ON o.id = r.reverses
        WHERE r.reverses IS NOT NULL
          AND (o.id IS NULL OR o.kind = 'reversal' OR EXISTS (
                SELECT FROM (SELECT account_id, sum(amount) AS amount FROM transaction_entries
                             WHERE ledger_id = r.ledger_id AND transaction_id = o.id GROUP BY account_id) a
                FULL JOIN (SELECT account_id, sum(amount) AS amount FROM transaction_entries
                           WHERE ledger_id = r.ledger_id AND transaction_id = r.id GROUP BY account_id) b
                       USING (account_id)
                WHERE a.amount IS NULL OR b.amount IS NULL OR sign(a.amount) = sign(b.amount)
                   OR abs(b.amount) > abs(a.amount)))
        ORDER BY r.id
    """,
}

OF_ACCOUNTS = ("limits", "currency")
"""These look at every account, whatever was written."""


class _Row(NamedTuple):
    subject: str
    expected: str
    found: str


def run(conn: Connection, scope: Scope, name: str) -> list[Finding]:
    """The findings of one check, the first FINDINGS_MAX of them."""
    cursor = conn.cursor(row_factory=class_row(_Row))
    cursor.execute(f"{scope.tables}{CHECKS[name]}".encode(), scope.parameters)
    return [Finding(name, *row) for row in cursor.fetchmany(FINDINGS_MAX)]
