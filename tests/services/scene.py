"""Small words for tests that post: accounts, transfers, what the books then hold, and threads that run at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, TypeVar

from ledgerctl.core import model
from ledgerctl.core.model import Leg, NewAccount, Request, Side
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments, reconciling
from ledgerctl.services.books import Books
from ledgerctl.services.payments import Receipt

T = TypeVar("T")
PATIENCE_S = 30


def account(
    code: str,
    kind: str = "liability",
    currency: str = "EUR",
    *,
    exponent: int = 2,
    floor: str | None = "0",
    ceiling: str | None = None,
) -> NewAccount:
    return NewAccount(
        code,
        kind,
        currency,
        exponent,
        None,
        None if floor is None else Decimal(floor),
        None if ceiling is None else Decimal(ceiling),
        None,
    )


def create(books: Books, *codes: str) -> None:
    """`bank` may go as deep as it likes; every other account is a liability in EUR that may not go below zero."""
    accounts.create(books, [account("bank", "asset", floor=None), *(account(code) for code in codes)])


def asked(source: str, target: str, amount: str | int, key: str | None = None, **extras: Any) -> Request:
    fresh = uuid7()
    return model.transfer(fresh, key or f"key-{fresh}", source, target, Decimal(amount), "EUR", **extras)


def transfer(
    books: Books, source: str, target: str, amount: str | int, key: str | None = None, **extras: Any
) -> Receipt:
    return payments.post_one(books, asked(source, target, amount, key, **extras))


def debit(code: str, amount: str | int, currency: str | None = "EUR") -> Leg:
    return Leg(code, Side.DEBIT, Decimal(amount), currency)


def credit(code: str, amount: str | int, currency: str | None = "EUR") -> Leg:
    return Leg(code, Side.CREDIT, Decimal(amount), currency)


def balances(conn: Connection) -> dict[str, Decimal]:
    """As people see them."""
    return dict(conn.execute("SELECT account, balance FROM account_balances").fetchall())


def rows(conn: Connection, query: str, *given: Any) -> list[tuple[Any, ...]]:
    return conn.execute(query.encode(), given).fetchall()


def count(conn: Connection, table: str) -> int:
    [(number,)] = rows(conn, f"SELECT count(*) FROM {table}")
    return int(number)


def findings(books: Books) -> list[Any]:
    return reconciling.run(books, lambda *_step: None).findings


def at_once(*jobs: Callable[[], T]) -> list[T]:
    """What each job answers, every one in a thread of its own. The first failure is raised."""
    with ThreadPoolExecutor(len(jobs)) as threads:
        return [future.result(PATIENCE_S) for future in [threads.submit(job) for job in jobs]]


def until(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def waiting(conn: Connection) -> Sequence[int]:
    """The backends of this database that wait for a lock."""
    return [
        pid
        for (pid,) in rows(
            conn,
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
    ]
