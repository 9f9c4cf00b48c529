"""Ledgers, currencies and accounts: what is created, and what changes without money moving."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg.rows import class_row

from ledgerctl.core.model import NewAccount
from ledgerctl.db.connection import Connection
from ledgerctl.db.pipeline import Executor

OPEN_LEDGER = """
    SELECT v.version_num, l.id, l.created_at,
           CASE WHEN current_setting('ledgerctl.ephemeral', true) IS DISTINCT FROM 'on' THEN concat_ws(', ',
               CASE current_setting('fsync') WHEN 'off' THEN 'fsync' END,
               CASE current_setting('full_page_writes') WHEN 'off' THEN 'full_page_writes' END,
               CASE current_setting('synchronous_commit') WHEN 'off' THEN 'synchronous_commit' END
           ) END
    FROM alembic_version v
    LEFT JOIN ledgers l ON l.name = %s
"""
CREATE_LEDGER = "INSERT INTO ledgers (name) VALUES (%s) ON CONFLICT (name) DO NOTHING RETURNING id"
FIND_LEDGER = "SELECT id FROM ledgers WHERE name = %s"
SEED_CURRENCIES = """
    INSERT INTO currencies (ledger_id, code, exponent)
    SELECT %s, c.* FROM unnest(%s::text[], %s::smallint[]) AS c
"""
ADD_CURRENCY = """
    INSERT INTO currencies (ledger_id, code, exponent) VALUES (%s, %s, %s)
    ON CONFLICT (ledger_id, code) DO NOTHING
    RETURNING code
"""
EXPONENTS = "SELECT code, exponent FROM currencies WHERE ledger_id = %s"
INSERT_ACCOUNTS = """
    INSERT INTO accounts (ledger_id, code, type, currency, exponent, name, min_balance, max_balance, metadata)
    SELECT %s, a.*
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::smallint[], %s::text[], %s::numeric[], %s::numeric[],
                %s::jsonb[]) AS a(code, type, currency, exponent, name, min_balance, max_balance, metadata)
    ORDER BY a.code
    ON CONFLICT (ledger_id, code) WHERE code IS NOT NULL DO NOTHING
    RETURNING code
"""
CURRENCIES = "SELECT code, currency FROM accounts WHERE ledger_id = %s AND code = ANY(%s)"
ATTRIBUTES = """
    SELECT code, type, currency, exponent, name, min_balance, max_balance, metadata
    FROM accounts
    WHERE ledger_id = %s AND code = ANY(%s)
"""
LOCK_ONE = """
    SELECT id, status, balance, currency, exponent FROM accounts WHERE ledger_id = %s AND code = %s FOR NO KEY UPDATE
"""
SET_STATUS = "UPDATE accounts SET status = %s WHERE ledger_id = %s AND id = %s"


class LockedAccount(NamedTuple):
    id: int
    status: str
    balance: Decimal
    currency: str
    exponent: int


class Opened(NamedTuple):
    """The schema's revision, and the ledger of a name if there is one."""

    revision: str | None
    ledger: int | None
    created_at: datetime | None
    off: str | None
    """Settings that are off without which a commit may be lost, on a server that is not marked as throw-away."""


def open_ledger(conn: Connection, name: str) -> Opened:
    return Opened(*(conn.execute(OPEN_LEDGER, [name]).fetchone() or (None, None, None, None)))


def create_ledger(conn: Executor, name: str, exponents: Mapping[str, int]) -> tuple[int, bool]:
    """The id of the ledger, and whether it is new; a new one starts with these currencies."""
    created = conn.execute(CREATE_LEDGER, [name]).fetchone()
    if created is None:
        [[ledger]] = conn.execute(FIND_LEDGER, [name]).fetchall()
        return ledger, False
    conn.execute(SEED_CURRENCIES, [created[0], list(exponents), list(exponents.values())])
    return created[0], True


def add_currency(conn: Executor, ledger: int, code: str, exponent: int) -> bool:
    """False when the ledger has the currency already."""
    return conn.execute(ADD_CURRENCY, [ledger, code, exponent]).fetchone() is not None


def exponents(conn: Executor, ledger: int) -> dict[str, int]:
    """The ledger's currencies and how many decimals each has."""
    return dict(conn.execute(EXPONENTS, [ledger]).fetchall())


def insert(conn: Connection, ledger: int, accounts: Sequence[NewAccount]) -> set[str]:
    """Create those that are not there yet; the codes of the new ones."""
    columns: list[list[Any]] = [list(column) for column in zip(*accounts, strict=True)]
    columns[-1] = [None if pairs is None else json.dumps(pairs) for pairs in columns[-1]]
    return {code for (code,) in conn.execute(INSERT_ACCOUNTS, [ledger, *columns]).fetchall()}


def attributes(conn: Connection, ledger: int, codes: Sequence[str]) -> dict[str, NewAccount]:
    """What existing accounts were created with."""
    rows = conn.cursor(row_factory=class_row(NewAccount)).execute(ATTRIBUTES, [ledger, list(codes)])
    return {row.code: row for row in rows}


def lock_one(conn: Executor, ledger: int, code: str) -> LockedAccount | None:
    """The account under the same lock that posting takes: a transfer in flight ends before it, or sees the change."""
    row = conn.execute(LOCK_ONE, [ledger, code]).fetchone()
    return None if row is None else LockedAccount(*row)


def set_status(conn: Executor, ledger: int, account_id: int, status: str) -> None:
    conn.execute(SET_STATUS, [status, ledger, account_id])


def currencies(conn: Connection, ledger: int, codes: Sequence[str]) -> dict[str, str]:
    """The currency of each of the accounts that there are; it never changes."""
    return dict(conn.execute(CURRENCIES, [ledger, list(codes)]).fetchall())
