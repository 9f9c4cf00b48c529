"""The books of one schedule, read by SQL that shares nothing with the program: what is wrong with them, what they say.

A schedule's accounts and keys begin with a prefix of its own, which what they say leaves out; its request id is that.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import TupleRow

DAMAGE = """
    WITH mine AS (
        SELECT *, CASE WHEN type IN ('asset', 'expense') THEN -1 ELSE 1 END AS normal
        FROM accounts WHERE code >= %(prefix)s AND code < %(beyond)s
    ), moves AS (
        SELECT a.code, a.normal, a.min_balance, a.max_balance, e.*,
               row_number() OVER account AS place, sum(e.amount) OVER account AS running
        FROM mine a JOIN transaction_entries e ON e.ledger_id = a.ledger_id AND e.account_id = a.id
        WINDOW account AS (PARTITION BY e.account_id ORDER BY e.seq)
    ), posted AS (
        SELECT * FROM transactions WHERE idempotency_key >= %(prefix)s AND idempotency_key < %(beyond)s
    )
    SELECT 'balance is not the sum of the entries: ' || code FROM mine a
    WHERE (balance, seq) <> (SELECT coalesce(sum(amount), 0), count(*) FROM moves e WHERE e.account_id = a.id)
    UNION ALL
    SELECT 'balance is not the last balance_after: ' || code FROM mine a
    WHERE balance <> coalesce((SELECT balance_after FROM moves e WHERE e.account_id = a.id
                               ORDER BY seq DESC LIMIT 1), 0)
    UNION ALL
    SELECT 'seq has a gap: ' || code FROM moves WHERE seq <> place
    UNION ALL
    SELECT 'balance_after does not run: ' || code FROM moves WHERE balance_after <> running
    UNION ALL
    SELECT 'limit broken: ' || code FROM moves
    WHERE normal * balance_after < min_balance OR normal * balance_after > max_balance
    UNION ALL
    SELECT 'transaction without two entries that sum to zero: ' || idempotency_key FROM posted t
    WHERE NOT EXISTS (SELECT FROM moves e WHERE e.transaction_id = t.id HAVING (count(*), sum(amount)) = (2, 0))
    UNION ALL
    SELECT 'entry without a transaction: ' || code FROM moves e
    WHERE NOT EXISTS (SELECT FROM posted t WHERE t.id = e.transaction_id)
    UNION ALL
    SELECT 'key used twice: ' || idempotency_key FROM posted GROUP BY idempotency_key HAVING count(*) > 1
    UNION ALL
    SELECT 'reversed twice: ' || reverses FROM posted WHERE reverses IS NOT NULL GROUP BY reverses HAVING count(*) > 1
    UNION ALL
    SELECT 'posted after ' || l.action || ': ' || e.code
    FROM audit_logs l
    JOIN moves e ON e.code = l.subject
    JOIN posted t ON t.id = e.transaction_id
    WHERE l.action IN ('account freeze', 'account close') AND l.outcome = 'done' AND t.posted_at > l.at
"""
ACCOUNTS = """
    SELECT substr(code, length(%(prefix)s) + 1) AS account, status, balance, seq
    FROM accounts WHERE code >= %(prefix)s AND code < %(beyond)s ORDER BY code
"""
ENTRIES = """
    SELECT substr(a.code, length(%(prefix)s) + 1) AS account, e.seq, e.amount, e.balance_after,
           substr(t.idempotency_key, length(%(prefix)s) + 1) AS key, t.kind
    FROM accounts a
    JOIN transaction_entries e ON e.ledger_id = a.ledger_id AND e.account_id = a.id
    JOIN transactions t ON t.ledger_id = e.ledger_id AND t.id = e.transaction_id
    WHERE a.code >= %(prefix)s AND a.code < %(beyond)s
    ORDER BY a.code, e.seq
"""
LOG = """
    SELECT action, outcome, detail ->> 'reason' AS reason
    FROM audit_logs WHERE request_id = %(prefix)s ORDER BY action, outcome, reason
"""

DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def look(conninfo: str) -> psycopg.Connection[TupleRow]:
    """A connection to ask with, as quickly after a hundred thousand schedules as after one."""
    conn = psycopg.connect(conninfo, autocommit=True, options="-c enable_seqscan=off")
    conn.execute("CREATE INDEX audit_logs_of_a_schedule ON audit_logs (request_id)")
    return conn


def damage(conn: psycopg.Connection[TupleRow], prefix: str) -> list[str]:
    return [found for (found,) in conn.execute(DAMAGE, _between(prefix)).fetchall()]


def said(conn: psycopg.Connection[TupleRow], prefix: str) -> list[list[tuple[Any, ...]]]:
    """Accounts, entries and the audit log, so that two schedules can be compared."""
    return [conn.execute(query, _between(prefix)).fetchall() for query in (ACCOUNTS, ENTRIES, LOG)]


def deadlocks(conn: psycopg.Connection[TupleRow]) -> int:
    [[count]] = conn.execute(DEADLOCKS).fetchall()
    return int(count)


def _between(prefix: str) -> dict[str, str]:
    return {"prefix": prefix, "beyond": prefix[:-1] + chr(ord(prefix[-1]) + 1)}
