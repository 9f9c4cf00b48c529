"""Receipts of imports. Of `ledger_id + 0` and OFFSET 0, see `journal`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from ledgerctl.core.model import Request
from ledgerctl.core.rows import origin_prefix
from ledgerctl.db.connection import Connection
from ledgerctl.db.pipeline import Executor

BEGIN = """
    INSERT INTO imports (ledger_id, file, sha256, status, actor) VALUES (%s, %s, %s, %s, %s) RETURNING id
"""
SAME_FILE = "SELECT id FROM imports WHERE ledger_id = %s AND sha256 = %s"
DECIDED = """
    SELECT decided, id FROM imports
    WHERE ledger_id = %s AND sha256 = %s AND status = 'partial'
    ORDER BY decided DESC, id
    LIMIT 1
"""
RECORD = """
    UPDATE imports
    SET status = %s, rows = %s, decided = %s, posted = %s, replayed = %s, rejected = %s, totals = %s, rejects_file = %s,
        finished_at = CASE WHEN %s THEN clock_timestamp() END
    WHERE ledger_id = %s AND id = %s
"""
# Of each row, the quieter of its two accounts is looked through, from its end, for an entry of the same amount. The
# fingerprint then says whether everything else is the same, too.
TWINS = """
    SELECT asked.fingerprint, t.import_id, count(*)
    FROM unnest(%(debits)s::text[], %(credits)s::text[], %(amounts)s::numeric[], %(fingerprints)s::bytea[],
                %(own)s::text[])
         AS asked(debit, credit, amount, fingerprint, own)
    CROSS JOIN LATERAL (
        SELECT a.id, a.seq FROM accounts a
        WHERE a.ledger_id + 0 = %(ledger)s AND a.code IN (asked.debit, asked.credit)
        ORDER BY a.seq LIMIT 1
    ) a
    CROSS JOIN LATERAL (
        SELECT transaction_id FROM transaction_entries
        WHERE ledger_id = %(ledger)s AND account_id = a.id AND seq > a.seq - %(last)s AND abs(amount) = asked.amount
        OFFSET 0
    ) e
    CROSS JOIN LATERAL (
        SELECT * FROM transactions WHERE ledger_id = %(ledger)s AND id = e.transaction_id OFFSET 0
    ) t
    WHERE t.fingerprint = asked.fingerprint
      AND starts_with(t.idempotency_key, %(key)s)
      AND NOT starts_with(t.idempotency_key, asked.own)
      AND NOT EXISTS (SELECT FROM transactions WHERE ledger_id + 0 = %(ledger)s AND reverses = t.id)
      AND t.import_id IS NOT NULL
    GROUP BY asked.fingerprint, t.import_id
"""
LEFT_IN_PART = "SELECT id, posted FROM imports WHERE ledger_id = %s AND id = ANY(%s) AND status = 'partial'"
TWINS_LOOKED_THROUGH = 4_000_000
"""So many entries are looked through at most, whatever the accounts hold."""


ACCOUNTS = """
    SELECT code FROM accounts
    WHERE ledger_id = %(ledger)s AND id IN (
        SELECT e.account_id
        FROM transactions t
        CROSS JOIN LATERAL (
            SELECT account_id FROM transaction_entries
            WHERE ledger_id + 0 = %(ledger)s AND transaction_id = t.id
            OFFSET 0
        ) e
        WHERE t.ledger_id + 0 = %(ledger)s AND t.import_id = %(import)s
    )
"""
ROWS = "SELECT id, import_row FROM transactions WHERE ledger_id + 0 = %s AND import_id = %s ORDER BY import_row DESC"

# A reversal that moved as much as its transaction did leaves nothing of it.
REVERSED_WHOLLY = """
    SELECT wanted.id
    FROM unnest(%(ids)s::uuid[]) AS wanted(id)
    CROSS JOIN LATERAL (
        SELECT id FROM transactions WHERE ledger_id + 0 = %(ledger)s AND reverses = wanted.id OFFSET 0
    ) r
    CROSS JOIN LATERAL (
        SELECT sum(e.amount) FILTER (WHERE e.transaction_id = wanted.id) AS amount,
               sum(e.amount) FILTER (WHERE e.transaction_id = r.id) AS reversed
        FROM transaction_entries e
        WHERE e.ledger_id + 0 = %(ledger)s AND e.transaction_id IN (wanted.id, r.id) AND e.amount > 0
    ) moved
    WHERE moved.amount = moved.reversed
"""
REVERSED = "UPDATE imports SET reversed_at = clock_timestamp() WHERE ledger_id = %s AND id = %s AND reversed_at IS NULL"


class Counts(NamedTuple):
    """What a receipt says: the rows of the file, those decided for good, and what became of them. Totals are texts."""

    rows: int
    decided: int
    posted: int
    replayed: int
    rejected: int
    totals: Mapping[str, str]


class Twins(NamedTuple):
    """So many rows with that fingerprint were posted by that import."""

    fingerprint: bytes
    import_id: int
    rows: int


def begin(conn: Executor, ledger: int, file: str, sha256: bytes, actor: str, status: str) -> int:
    """The id of a new receipt, for the rows to refer to."""
    [[import_id]] = conn.execute(BEGIN, [ledger, file, sha256, status, actor]).fetchall()
    return int(import_id)


def same_file(conn: Connection, ledger: int, sha256: bytes) -> set[int | None]:
    """Imports of the very same bytes."""
    return {import_id for (import_id,) in conn.execute(SAME_FILE, [ledger, sha256]).fetchall()}


def decided(conn: Connection, ledger: int, sha256: bytes) -> tuple[int, int]:
    """Up to which row an import that left rows out has decided a file of these bytes, and which one did; else 0, 0."""
    found = conn.execute(DECIDED, [ledger, sha256]).fetchone()
    return (0, 0) if found is None else (int(found[0]), int(found[1]))


def record(
    conn: Executor,
    ledger: int,
    import_id: int,
    status: str,
    counts: Counts,
    *,
    rejects_file: str | None = None,
    finished: bool,
) -> None:
    """What the receipt says now; `finished` closes it."""
    rows = [counts.rows, counts.decided, counts.posted, counts.replayed, counts.rejected, json.dumps(counts.totals)]
    conn.execute(RECORD, [status, *rows, rejects_file, finished, ledger, import_id])


def twins(
    conn: Connection, ledger: int, requests: Collection[Request], *, own_prefix: str, key_prefix: str = ""
) -> list[Twins]:
    """Rows that imports posted and that are just like one of the requests.

    Those that come from the same file do not count, which their derived keys tell: they begin alike, or with
    `own_prefix`. Nor do those whose key does not begin with `key_prefix`.
    """
    accounts = {min(request.legs[0].account, request.legs[1].account) for request in requests}
    asked = {
        "ledger": ledger,
        "key": key_prefix,
        "last": TWINS_LOOKED_THROUGH // max(len(accounts), 1),
        "debits": [request.legs[0].account for request in requests],
        "credits": [request.legs[1].account for request in requests],
        "amounts": [request.legs[0].amount for request in requests],
        "fingerprints": [request.fingerprint for request in requests],
        "own": [origin_prefix(request.key) or own_prefix for request in requests],
    }
    return [Twins(bytes(mark), import_id, rows) for mark, import_id, rows in conn.execute(TWINS, asked).fetchall()]


def left_in_part(conn: Connection, ledger: int, ids: Collection[int]) -> dict[int, int]:
    """Those of the imports that have posted a part of their file, and how many rows of it."""
    return dict(conn.execute(LEFT_IN_PART, [ledger, list(ids)]).fetchall())


def accounts(conn: Connection, ledger: int, import_id: int) -> list[str]:
    """The codes of the accounts that an import posted to."""
    return [code for (code,) in conn.execute(ACCOUNTS, {"ledger": ledger, "import": import_id}).fetchall()]


def posted_rows(conn: Connection, ledger: int, import_id: int, size: int) -> Iterator[dict[UUID, int]]:
    """What an import posted and by which row, the last row first, so many at a time. Within a transaction."""
    with conn.cursor("posted_rows") as rows:
        rows.execute(ROWS, [ledger, import_id])
        while some := rows.fetchmany(size):
            yield dict(some)


def reversed_wholly(conn: Connection, ledger: int, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the transactions of which a reversal has left nothing."""
    return {found for (found,) in conn.execute(REVERSED_WHOLLY, {"ledger": ledger, "ids": list(ids)}).fetchall()}


def mark_reversed(conn: Connection, ledger: int, import_id: int) -> None:
    """The receipt says from now on that its import is reversed."""
    conn.execute(REVERSED, [ledger, import_id])
