"""What transactions say and move, to be compared with their fingerprints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from ledgerctl.db.connection import Connection
from ledgerctl.db.scopes import Scope

CONTENTS = """
    SELECT t.id, t.fingerprint, t.kind, l.accounts, l.amounts, l.currencies, t.description, t.reference, t.effective_at,
           t.metadata, t.reverses
    FROM some_transactions t
    JOIN (SELECT transaction_id, array_agg(a.code) AS accounts, array_agg(amount) AS amounts,
                 array_agg(a.currency) AS currencies
          FROM legs
          JOIN named a ON a.id = legs.account_id
          GROUP BY transaction_id) l ON l.transaction_id = t.id
"""
_AT_A_TIME = 5_000


class Content(NamedTuple):
    """Amounts as stored: positive for a credit. Accounts, amounts and currencies go together, leg by leg."""

    id: UUID
    fingerprint: bytes
    kind: str
    accounts: list[str]
    amounts: list[Decimal]
    currencies: list[str]
    description: str | None
    reference: str | None
    effective_at: datetime | None
    metadata: Mapping[str, str] | None
    reverses: UUID | None


def of_scope(conn: Connection, scope: Scope) -> Iterator[Content]:
    """All of them, some at a time."""
    with conn.cursor("contents", row_factory=class_row(Content)) as cursor:
        cursor.itersize = _AT_A_TIME
        yield from cursor.execute((scope.tables + CONTENTS).encode(), scope.parameters)
