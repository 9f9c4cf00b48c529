"""What the planner believes of the tables may be far from what they hold: posting must not mind.

Counted is what was read of the tables and their indexes. The wrong index reads the whole ledger for every key.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from io import BytesIO

import pytest

from ledgerctl.db import locks
from ledgerctl.db.connection import Connection
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.services import accounts, import_at_once, import_reversal, importing, payments, reconciling
from ledgerctl.services.books import Books
from ledgerctl.services.import_job import Options
from tests.services.conftest import new, transfer

ACCOUNTS = 40
ROWS = 4000
TABLES = ("accounts", "transactions", "transaction_entries")
BELIEVED = "SELECT relname, reltuples, relpages FROM pg_class WHERE relname = ANY(%s)"
READ = """
    SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = ANY(%(tables)s))
           + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = ANY(%(tables)s))
"""
READ_A_TRANSFER_MAX = 60
"""Seen: 5 to 13, and 24 to 31 with all that reconcile reads. The wrong plan reads thousands."""


@pytest.fixture(params=["that many pages hold no row", "that there are twenty rows"])
def misled(request: pytest.FixtureRequest, books: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> Books:
    """Accounts that may owe, and a planner that believes something else than what it will meet."""
    monkeypatch.setattr(import_at_once, "CHUNK", 500)
    accounts.create(books, [new(code(number), floor=None) for number in range(ACCOUNTS)])
    rows, pages = (_emptied if request.param == "that many pages hold no row" else _small)(books, conn)
    believed = {name: (rows, pages) for name, rows, pages in conn.execute(BELIEVED, [list(TABLES)]).fetchall()}
    assert believed["transactions"][0] == rows
    assert believed["transactions"][1] >= pages
    return books


def _emptied(books: Books, conn: Connection) -> tuple[int, int]:
    """As a large import leaves the tables that was rolled back."""
    importing.run(books, file(), lambda *_: None, options=Options(dry_run=True))
    for table in TABLES:
        conn.execute(f"VACUUM (TRUNCATE false, ANALYZE) {table}".encode())
    return 0, 50


def _small(books: Books, conn: Connection) -> tuple[int, int]:
    """As autovacuum finds a ledger on its first day."""
    for number in range(20):
        payments.post_one(books, transfer(code(0), code(1), "1.00", f"first-{number}"))
    conn.execute("ANALYZE")
    return 20, 1


def code(number: int) -> str:
    return f"a:{number:02}"


def file() -> TransferFile:
    draw = random.Random(1)
    rows = [draw.sample(range(ACCOUNTS), 2) for _ in range(ROWS)]
    lines = "".join(f"{code(source)},{code(target)},1.00,key-{row}\n" for row, (source, target) in enumerate(rows))
    return TransferFile(Input("in.csv", BytesIO(f"from,to,amount,idempotency_key\n{lines}".encode())), {}, {})


def at_once(books: Books) -> int:
    importing.run(books, file(), lambda *_: None)
    return ROWS


def in_pieces(books: Books) -> int:
    importing.run(books, file(), lambda *_: None, options=Options(commit_every=200))
    return ROWS


def one_by_one(books: Books) -> int:
    at_once(books)
    for number in range(100):
        payments.post_one(books, transfer(code(0), code(1), "1.00", f"one-{number}"))
    return ROWS + 100


def reversed_(books: Books) -> int:
    receipt = importing.run(books, file(), lambda *_: None).receipt
    import_reversal.reverse(books, import_reversal.Asked(receipt["id"]), lambda *_: None)
    return 2 * ROWS


def reconciled(books: Books) -> int:
    at_once(books)
    assert not reconciling.run(books, lambda *_: None).findings
    return ROWS


@pytest.mark.parametrize("post", [at_once, in_pieces, one_by_one, reversed_, reconciled])
def test_what_is_read_does_not_grow_with_the_tables(
    post: Callable[[Books], int], misled: Books, conn: Connection
) -> None:
    before = read(misled, conn)

    posted = post(misled)

    assert (read(misled, conn) - before) / posted < READ_A_TRANSFER_MAX


def test_what_is_read_does_not_grow_with_the_accounts(books: Books, open_main: Callable[..., Books]) -> None:
    """A server of the API that began on a ledger's first day, with plans of that day."""
    accounts.create(books, [new(code(number), floor=None) for number in range(2)])
    for number in range(10):
        payments.post_one(books, transfer(code(0), code(1), "1.00", f"first-{number}"))
        books.database.transact(locks.held, books.ledger, [code(0), code(1)], 0.5)
    other = open_main()
    accounts.create(other, [new(f"b:{number}", floor=None) for number in range(3000)])

    before = read(books, other.database.connect())
    for number in range(20):
        payments.post_one(books, transfer(f"b:{number}", f"b:{2000 + number}", "1.00", f"later-{number}"))
        books.database.transact(locks.held, books.ledger, [f"b:{number}", f"b:{2000 + number}"], 0.5)

    assert (read(books, other.database.connect()) - before) / 20 < READ_A_TRANSFER_MAX


def read(books: Books, conn: Connection) -> int:
    """Rows and index entries that were read until now."""
    books.database.read(lambda own: own.execute("SELECT pg_stat_force_next_flush()"))
    conn.execute("SELECT pg_stat_force_next_flush()")
    [[rows]] = conn.execute(READ, {"tables": list(TABLES)}).fetchall()
    return int(rows)
