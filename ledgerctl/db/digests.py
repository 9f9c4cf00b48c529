"""Whether anything that was verified has changed since: sums of hashes over all rows of a table.

Such a sum stays the same as long as no row that was summed is changed, taken away or added, but for a chance of about
one in 2^64 (multiset hashing by addition; Clarke and others, Asiacrypt 2003). New rows are verified one by one, and
their hashes added; one pass over all rows then says whether the rest is as it was, and so adds up as it did
(docs/adr/0004). Whoever can rewrite the tables can rewrite the sums: they find damage and careless hands, not the
server's own administrator.

A weighted sum holds each hash times a number that follows from the row's id. If one row has changed, the quotient of
the two differences is that number, and the row is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ledgerctl.db.connection import Connection
from ledgerctl.db.scopes import Scope

ACCOUNTS = """
    SELECT count(*), coalesce(sum(account_hash(a)), 0),
           coalesce(sum(account_hash(a)::numeric * hashint8extended(a.id, 1)), 0)
    FROM accounts a
    WHERE a.ledger_id = %(ledger)s AND (%(ids)s::bigint[] IS NULL OR a.id = ANY(%(ids)s))
"""
ENTRIES = """
    SELECT count(*), coalesce(sum(entry_hash(transaction_id, account_id, seq, amount, balance_after)), 0)
    FROM some_entries
"""
TRANSACTIONS = """
    SELECT count(*), coalesce(sum(transaction_hash(record)), 0),
           coalesce(sum(transaction_hash(record)::numeric * uuid_hash_extended(id, 1)), 0)
    FROM some_transactions
"""

# The same of everything, in one pass over each table.
ALL_ACCOUNTS = "SELECT count(*), coalesce(sum(account_hash(a)), 0) FROM accounts a WHERE a.ledger_id = %(ledger)s"
ALL_TRANSACTIONS = """
    SELECT count(*), coalesce(sum(transaction_hash(t)), 0) FROM transactions t WHERE t.ledger_id = %(ledger)s
"""
ALL_ENTRIES = """
    SELECT count(*), coalesce(sum(entry_hash(transaction_id, account_id, seq, amount, balance_after)), 0)
    FROM transaction_entries
    WHERE ledger_id = %(ledger)s
"""

STORED = "SELECT part, rows, total, weighted FROM reconciliation_digests WHERE ledger_id = %s"
KEEP = """
    INSERT INTO reconciliation_digests (ledger_id, part, rows, total, weighted) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (ledger_id, part)
    DO UPDATE SET rows = excluded.rows, total = excluded.total, weighted = excluded.weighted
"""
WEIGHTED = {
    "accounts": """
        SELECT coalesce(sum(account_hash(a)), 0), coalesce(sum(account_hash(a)::numeric * hashint8extended(a.id, 1)), 0)
        FROM accounts a WHERE a.ledger_id = %s
    """,
    "transactions": """
        SELECT coalesce(sum(transaction_hash(t)), 0),
               coalesce(sum(transaction_hash(t)::numeric * uuid_hash_extended(t.id, 1)), 0)
        FROM transactions t WHERE t.ledger_id = %s
    """,
}
WHICH = {
    "accounts": "SELECT 'account ' || code FROM accounts WHERE ledger_id = %s AND hashint8extended(id, 1) = %s",
    "transactions": """
        SELECT 'transaction ' || id FROM transactions WHERE ledger_id = %s AND uuid_hash_extended(id, 1) = %s
    """,
}


class Digest(NamedTuple):
    """Of the rows of one part of the books. `weighted` is None where it was not asked for."""

    rows: int
    total: int
    weighted: int | None

    def plus(self, other: Digest) -> Digest:
        weighted = None if self.weighted is None or other.weighted is None else self.weighted + other.weighted
        return Digest(self.rows + other.rows, self.total + other.total, weighted)


def stored(conn: Connection, ledger: int) -> dict[str, Digest]:
    """What was kept, by part; empty when no run was clean yet."""
    rows = conn.execute(STORED, [ledger]).fetchall()
    return {part: _digest(count, total, weighted) for part, count, total, weighted in rows}


def keep(conn: Connection, ledger: int, digests: Mapping[str, Digest]) -> None:
    for part, one in digests.items():
        conn.execute(KEEP, [ledger, part, *one])


def of_accounts(conn: Connection, ledger: int, ids: Sequence[int] | None = None) -> Digest:
    """Of what never changes of an account: of these accounts, or of all."""
    return _digest(*_row(conn, ACCOUNTS, {"ledger": ledger, "ids": None if ids is None else list(ids)}))


def of_all_accounts(conn: Connection, ledger: int) -> Digest:
    """Of all, in less time, and not weighted."""
    return _digest(*_row(conn, ALL_ACCOUNTS, {"ledger": ledger}))


def of_scope(conn: Connection, scope: Scope) -> dict[str, Digest]:
    """Of the entries and the transactions of a scope."""
    entries = _row(conn, scope.tables + ENTRIES, scope.parameters)
    transactions = _row(conn, scope.tables + TRANSACTIONS, scope.parameters)
    return {"entries": _digest(*entries), "transactions": _digest(*transactions)}


def of_everything(conn: Connection, ledger: int) -> dict[str, Digest]:
    """One pass over the entries and one over the transactions, by as many processes as the server gives."""
    statements = {"entries": ALL_ENTRIES, "transactions": ALL_TRANSACTIONS}
    return {part: _digest(*_row(conn, statement, {"ledger": ledger})) for part, statement in statements.items()}


def which(conn: Connection, ledger: int, part: str, before: Digest) -> str | None:
    """The one row of a part whose sum has changed, in words; None when there are several, or when it cannot be told."""
    if before.weighted is None or part not in WEIGHTED:
        return None
    total, weighted = conn.execute(WEIGHTED[part].encode(), [ledger]).fetchall()[0]
    weight, rest = divmod(int(weighted) - before.weighted, int(total) - before.total)
    row = None if rest else conn.execute(WHICH[part].encode(), [ledger, weight]).fetchone()
    return None if row is None else str(row[0])


def _digest(rows: int, total: Decimal, weighted: Decimal | None = None) -> Digest:
    return Digest(rows, int(total), None if weighted is None else int(weighted))


def _row(conn: Connection, statement: str, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
    [row] = conn.execute(statement.encode(), parameters).fetchall()
    return row
