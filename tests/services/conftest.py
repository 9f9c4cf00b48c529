"""A few accounts to move money between."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ledgerctl.core import requesting
from ledgerctl.core.model import NewAccount, Request
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments
from ledgerctl.services.books import Books


def new(
    code: str, type_: str = "liability", floor: str | None = "0", currency: str = "EUR", exponent: int = 2
) -> NewAccount:
    return NewAccount(code, type_, currency, exponent, None, None if floor is None else Decimal(floor), None, None)


def transfer(source: str, target: str, amount: str, key: str = "", **extras: Any) -> Request:
    return requesting.transfer(uuid7(), key or str(uuid7()), source, target, Decimal(amount), **extras)


def balances(conn: Connection) -> dict[str, Decimal]:
    return dict(conn.execute("SELECT account, balance FROM account_balances").fetchall())


def count(conn: Connection, table: str, condition: str = "true") -> int:
    [[rows]] = conn.execute(f"SELECT count(*) FROM {table} WHERE {condition}".encode()).fetchall()
    return int(rows)


@pytest.fixture
def funded(books: Books) -> Books:
    """alice and bob hold 100.00 EUR each, from `opening`, which may go below zero; carol and the bank hold none."""
    accounts.create(
        books, [new("alice"), new("bob"), new("carol"), new("bank", "asset"), new("opening", "equity", None)]
    )
    for code in ("alice", "bob"):
        payments.post_one(books, transfer("opening", code, "100.00", f"opening-{code}"))
    return books


Open = Callable[..., Books]
