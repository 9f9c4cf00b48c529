"""Every question a person asks. Reads only, from the views, which put balances on the account's normal side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row

from ledgerctl import errors
from ledgerctl.core import money
from ledgerctl.core.model import Line, Transaction, reading_order
from ledgerctl.db.connection import Connection
from ledgerctl.db.pipeline import Executor

Row = dict[str, Any]

ACCOUNT = """
    SELECT account_id, account AS code, name, type, currency, exponent, status, balance, min_balance, max_balance, seq,
           created_at, metadata
    FROM account_balances
    WHERE ledger_id = %s AND account = %s
"""
# A prefix stands for a whole branch: the account itself and everything below it. In the collation C a range of codes
# is a range of the index; ';' follows ':'.
ACCOUNTS = """
    SELECT account AS code, name, type, currency, exponent, status, balance, min_balance, max_balance, seq, created_at,
           metadata
    FROM account_balances
    WHERE ledger_id = %(ledger)s AND account > %(after)s
      AND (%(prefix)s = '' OR account = %(prefix)s OR (account >= %(prefix)s || ':' AND account < %(prefix)s || ';'))
    ORDER BY account
    LIMIT %(limit)s
"""
COUNT_ACCOUNTS = """
    SELECT count(*) FROM accounts
    WHERE ledger_id = %(ledger)s
      AND (%(prefix)s = '' OR code = %(prefix)s OR (code >= %(prefix)s || ':' AND code < %(prefix)s || ';'))
"""
SUBTOTALS = """
    SELECT currency, exponent, type, sum(balance) AS balance, sum(seq) AS seq, count(*) AS accounts
    FROM account_balances
    WHERE ledger_id = %(ledger)s
      AND (account = %(prefix)s OR (account >= %(prefix)s || ':' AND account < %(prefix)s || ';'))
    GROUP BY currency, exponent, type
    ORDER BY currency, type
"""
# Entries have no time of their own, and their transactions' times rise with seq: so the last entry not later than
# the time asked for is found by halving, for all accounts at once.
AS_OF = """
    WITH RECURSIVE search (account_id, low, high) AS (
        SELECT a.id, 0::bigint, a.seq
        FROM accounts a
        WHERE a.ledger_id = %(ledger)s
          AND (a.code = %(prefix)s OR (a.code >= %(prefix)s || ':' AND a.code < %(prefix)s || ';'))
        UNION ALL
        SELECT s.account_id,
               CASE WHEN m.posted_at <= %(as_of)s THEN m.middle ELSE s.low END,
               CASE WHEN m.posted_at <= %(as_of)s THEN s.high ELSE m.middle - 1 END
        FROM search s
        CROSS JOIN LATERAL (
            SELECT e.seq AS middle, t.posted_at
            FROM transaction_entries e
            JOIN transactions t ON t.ledger_id = e.ledger_id AND t.id = e.transaction_id
            WHERE e.ledger_id = %(ledger)s AND e.account_id = s.account_id AND e.seq = (s.low + s.high + 1) / 2
        ) m
        WHERE s.low < s.high
    )
    SELECT a.code, a.type, a.currency, a.exponent, s.low AS seq,
           CASE WHEN a.type IN ('asset', 'expense') THEN -1 ELSE 1 END * coalesce(e.balance_after, 0) AS balance
    FROM search s
    JOIN accounts a ON a.ledger_id = %(ledger)s AND a.id = s.account_id
    LEFT JOIN transaction_entries e
           ON e.ledger_id = a.ledger_id AND e.account_id = a.id AND e.seq = s.low
    WHERE s.low >= s.high
    ORDER BY a.code
"""
HISTORY = """
    SELECT seq, transaction_id, kind, posted_at, effective_at, debit, credit, balance, currency, exponent,
           counterparties, description, reference, idempotency_key
    FROM account_history
    WHERE ledger_id = %(ledger)s AND account_id = %(account)s {filters}
    ORDER BY seq {direction}
    LIMIT %(limit)s
"""
# In the order of `Transaction`, which has its lines last.
TRANSACTIONS = """
    SELECT transaction_id, kind, idempotency_key, posted_at, effective_at, description, reference, metadata,
           reverses, reversed_by, import_id
    FROM transaction_list
    WHERE ledger_id = %s AND {column} = ANY(%s)
"""
LINES = """
    SELECT transaction_id, account, currency, exponent, seq, coalesce(credit, -debit) AS amount, balance
    FROM account_history
    WHERE ledger_id = %s AND transaction_id = ANY(%s)
"""
IMPORTS = """
    SELECT id, file, sha256, rows, posted, replayed, rejected, totals, status, rejects_file, actor, started_at,
           finished_at, reversed_at
    FROM imports
    WHERE ledger_id = %(ledger)s AND (%(id)s::bigint IS NULL OR id = %(id)s)
          AND (%(sha256)s::bytea IS NULL OR sha256 = %(sha256)s)
    ORDER BY id DESC
    LIMIT %(limit)s
"""
LEDGERS = "SELECT name, created_at FROM ledgers ORDER BY name"
CURRENCIES = "SELECT code, exponent FROM currencies WHERE ledger_id = %s ORDER BY code"
NEAR_CODES = "SELECT code FROM accounts WHERE ledger_id = %s AND code >= %s AND code < %s ORDER BY code LIMIT 2000"


def account(conn: Connection, ledger: int, code: str) -> Row | None:
    return conn.cursor(row_factory=dict_row).execute(ACCOUNT, [ledger, code]).fetchone()


def require_account(conn: Connection, ledger: int, code: str) -> Row:
    """The account, or AccountNotFound."""
    found = account(conn, ledger, code)
    if found is None:
        raise errors.AccountNotFound(account=code)
    return found


def accounts(conn: Connection, ledger: int, prefix: str = "", after: str = "", limit: int | None = None) -> list[Row]:
    """Accounts by code, those after `after`; a page of `limit`, or all."""
    asked = {"ledger": ledger, "prefix": prefix, "after": after, "limit": limit}
    return conn.cursor(row_factory=dict_row).execute(ACCOUNTS, asked).fetchall()


def count_accounts(conn: Connection, ledger: int, prefix: str = "") -> int:
    [[count]] = conn.execute(COUNT_ACCOUNTS, {"ledger": ledger, "prefix": prefix}).fetchall()
    return int(count)


def subtotals(conn: Connection, ledger: int, prefix: str) -> list[Row]:
    """What a branch holds now, by currency and type: sums of different normal sides would say nothing."""
    return conn.cursor(row_factory=dict_row).execute(SUBTOTALS, {"ledger": ledger, "prefix": prefix}).fetchall()


def balances_as_of(conn: Connection, ledger: int, prefix: str, as_of: datetime) -> list[Row]:
    """What each account of a branch held after the last entry posted at or before `as_of`."""
    asked = {"ledger": ledger, "prefix": prefix, "as_of": as_of}
    return conn.cursor(row_factory=dict_row).execute(AS_OF, asked).fetchall()


class Bounds(NamedTuple):
    """Which entries of a history: times half-open [since, until), seqs exclusive on both sides."""

    since: datetime | None = None
    until: datetime | None = None
    after: int | None = None
    before: int | None = None


def history(conn: Connection, ledger: int, account_id: int, bounds: Bounds, limit: int) -> list[Row]:
    """Entries in seq order, `limit` of them: the first after `bounds.after` if it is given, else the last."""
    clauses = {
        "since": "AND posted_at >= %(since)s",
        "until": "AND posted_at < %(until)s",
        "after": "AND seq > %(after)s",
        "before": "AND seq < %(before)s",
    }
    given = {name: value for name, value in bounds._asdict().items() if value is not None}
    filters = sql.SQL(" ").join(sql.SQL(clauses[name]) for name in given)
    forward = bounds.after is not None
    query = sql.SQL(HISTORY).format(filters=filters, direction=sql.SQL("ASC" if forward else "DESC"))
    asked = {"ledger": ledger, "account": account_id, "limit": limit, **given}
    rows = conn.cursor(row_factory=dict_row).execute(query, asked).fetchall()
    return rows if forward else rows[::-1]


def whole_history(conn: Connection, ledger: int, account_id: int, bounds: Bounds, page: int = 5000) -> Iterator[Row]:
    """Every entry within the bounds in seq order, fetched page by page: an account may have ten million."""
    after = bounds.after or 0
    while rows := history(conn, ledger, account_id, bounds._replace(after=after), page):
        yield from rows
        after = rows[-1]["seq"]


def transaction(conn: Executor, ledger: int, reference: UUID | str) -> Transaction:
    """A transaction by its id, or by its key when `reference` is text. TransactionNotFound."""
    column = "transaction_id" if isinstance(reference, UUID) else "idempotency_key"
    for found in _transactions(conn, ledger, column, [reference]).values():
        return found
    raise errors.TransactionNotFound(reference=str(reference))


def transactions(conn: Executor, ledger: int, ids: Sequence[UUID]) -> dict[UUID, Transaction]:
    """Those of the transactions that there are."""
    return _transactions(conn, ledger, "transaction_id", list(ids))


def _transactions(conn: Executor, ledger: int, column: str, values: Sequence[Any]) -> dict[UUID, Transaction]:
    query = sql.SQL(TRANSACTIONS).format(column=sql.Identifier(column))
    rows = conn.execute(query, [ledger, values]).fetchall()
    lines: dict[UUID, list[Line]] = {row[0]: [] for row in rows}
    for transaction_id, *line in conn.execute(LINES, [ledger, list(lines)]).fetchall():
        lines[transaction_id].append(_line(*line))
    return {row[0]: Transaction._make((*row, reading_order(lines[row[0]]))) for row in rows}


def imports(conn: Connection, ledger: int, import_id: int | None = None, limit: int | None = None) -> list[Row]:
    """Receipts, the newest first; one of them when `import_id` is given."""
    asked = {"ledger": ledger, "id": import_id, "sha256": None, "limit": limit}
    return conn.cursor(row_factory=dict_row).execute(IMPORTS, asked).fetchall()


def imports_of(conn: Connection, ledger: int, sha256: bytes) -> list[Row]:
    """The receipts of a file of these bytes, the newest first."""
    asked = {"ledger": ledger, "id": None, "sha256": sha256, "limit": None}
    return conn.cursor(row_factory=dict_row).execute(IMPORTS, asked).fetchall()


def ledgers(conn: Connection) -> list[Row]:
    return conn.cursor(row_factory=dict_row).execute(LEDGERS).fetchall()


def currencies(conn: Connection, ledger: int) -> list[Row]:
    return conn.cursor(row_factory=dict_row).execute(CURRENCIES, [ledger]).fetchall()


def near_codes(conn: Connection, ledger: int, code: str) -> list[str]:
    """Codes that begin as this one does, for suggestions."""
    found: list[str] = []
    for length in (len(code) * 2 // 3, 2):
        start = code[:length]
        found += [row[0] for row in conn.execute(NEAR_CODES, [ledger, start, start + "\x7f"]).fetchall()]
    return found


def _line(account: str, currency: str, exponent: int, seq: int, amount: Decimal, balance: Decimal) -> Line:
    return Line(account, currency, exponent, seq, money.minor(amount, exponent), money.minor(balance, exponent))
