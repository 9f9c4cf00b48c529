"""Reconciling after work as it happens: clean while others post, and loud, with the place named, after tampering.

Each check alone is tried in `tests/db/test_checks.py`; here one act of tampering goes through the service.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from io import BytesIO
from threading import Event

import pytest

from ledgerctl.core import requesting
from ledgerctl.core.model import Kind, Leg, Side
from ledgerctl.db import checks
from ledgerctl.db.connection import Connection
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, importing, payments, reconciling
from ledgerctl.services.books import Books
from tests.services.conftest import Open, count, new, transfer


def quiet(_done: int, _total: int, _found: int) -> None:
    pass


def places(books: Books) -> list[tuple[str, str]]:
    return [(one.check, one.subject) for one in reconciling.run(books, quiet).findings]


@pytest.fixture
def lived_in(funded: Books) -> Books:
    """Transfers, a journal, reversals whole and in part, an import, a refusal, frozen and closed accounts."""
    legs = [
        Leg("alice", Side.DEBIT, Decimal(9), None),
        Leg("carol", Side.CREDIT, Decimal(8), None),
        Leg("bob", Side.CREDIT, Decimal(1), None),
    ]
    split = payments.post_one(funded, requesting.request(uuid7(), "split", Kind.JOURNAL, legs)).transaction
    paid = payments.post_one(funded, transfer("bob", "carol", "20", "paid")).transaction
    payments.reverse(funded, uuid7(), "undo", split.id, None, None)
    payments.reverse(funded, uuid7(), "undo-part", paid.id, Decimal("0.01"), None)
    payments.post(funded, [transfer("carol", "bob", "1000", "too much")])
    file = TransferFile(Input("in.csv", BytesIO(b"from,to,amount\nalice,bob,1\nbob,carol,2\n")), {}, {})
    importing.run(funded, file, quiet)
    accounts.create(funded, [new("gone")])
    accounts.close(funded, "gone")
    accounts.freeze(funded, "bob")
    return funded


def test_books_that_were_lived_in_are_clean(lived_in: Books, conn: Connection) -> None:
    result = reconciling.run(lived_in, quiet)

    assert (result.status, result.findings) == ("clean", [])
    assert result.checked == {name: count(conn, table) for name, table in TABLES.items()}


TABLES = {"accounts": "accounts", "transactions": "transactions", "entries": "transaction_entries"}

TAMPERING: dict[str, tuple[str, str, set[tuple[str, str]]]] = {
    "money made from nothing": (
        "transaction_entries",
        "UPDATE transaction_entries e SET amount = amount + 1 FROM accounts a WHERE a.id = e.account_id"
        " AND a.code = 'carol' AND e.transaction_id = '{paid}'",
        {
            ("zero-sum", "transaction {paid} EUR"),
            ("balance", "account carol"),
            ("running-balance", "account carol seq 2 transaction {paid}"),
            ("fingerprint", "transaction {paid}"),
        },
    ),
    "a transaction that never was": (
        "transaction_entries",
        "DELETE FROM transaction_entries WHERE transaction_id = '{paid}'",
        {
            ("balance", "account bob"),
            ("balance", "account carol"),
            ("sequence", "account bob"),
            ("sequence", "account carol"),
            ("running-balance", "account bob seq 4 transaction {undo}"),
            ("running-balance", "account carol seq 3 transaction {undo}"),
            ("empty-transactions", "transaction {paid}"),
            ("reversals", "transaction {undo-part}"),
        },
    ),
    "a balance written by hand": (
        "accounts",
        "UPDATE accounts SET balance = 1000000 WHERE code = 'carol'",
        {("balance", "account carol")},
    ),
    "an original that was swapped": (
        "transactions",
        "UPDATE transactions SET reverses = (SELECT id FROM transactions WHERE idempotency_key = 'opening-bob')"
        " WHERE idempotency_key = 'undo'",
        {("reversals", "transaction {undo}"), ("fingerprint", "transaction {undo}")},
    ),
}


@pytest.mark.parametrize("act", TAMPERING)
def test_tampering_is_found_where_it_was_done(lived_in: Books, conn: Connection, act: str) -> None:
    table, statement, expected = TAMPERING[act]
    ids = conn.execute("SELECT idempotency_key, id FROM transactions").fetchall()
    names = {key: str(number) for key, number in ids}
    with conn.transaction():
        conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
        conn.execute(statement.format_map(names).encode())
        conn.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL".encode())

    assert set(places(lived_in)) == {(check, subject.format_map(names)) for check, subject in expected}


def test_an_entry_without_account_or_transaction_is_named(lived_in: Books, conn: Connection) -> None:
    conn.execute("ALTER TABLE transaction_entries DISABLE TRIGGER ALL")
    none = uuid7()
    conn.execute(
        "INSERT INTO transaction_entries (ledger_id, account_id, seq, transaction_id, amount, balance_after)"
        " VALUES (%s, 987654321, 1, %s, 5, 5)",
        [lived_in.ledger, none],
    )

    assert ("orphans", "account 987654321 seq 1") in places(lived_in)


def test_reconciling_is_clean_while_others_post(funded: Books, open_main: Open) -> None:
    """All checks see one moment: a transfer between two of them is no difference."""
    reader, stop = open_main(), Event()

    def pay(books: Books) -> int:
        posted = 0
        while not stop.is_set():
            payments.post_one(books, transfer("opening", "alice", "0.01"))
            posted += 1
        return posted

    def step(_done: int, _total: int, _found: int) -> None:
        payments.post_one(funded, transfer("opening", "bob", "0.01"))

    with ThreadPoolExecutor(2) as threads:
        payers = [threads.submit(pay, open_main()) for _ in range(2)]
        results = [reconciling.run(reader, step) for _ in range(5)]
        stop.set()
        assert sum(payer.result() for payer in payers) > 0

    assert [result.findings for result in results] == [[]] * 5
    assert results[-1].checked["entries"] == 2 * results[-1].checked["transactions"]


def test_what_happens_during_a_run_is_for_the_next_one(funded: Books, conn: Connection) -> None:
    conn.execute("ALTER TABLE accounts DISABLE TRIGGER ALL")

    def tamper(done: int, _total: int, _found: int) -> None:
        if done == 1:  # before the check of balances
            conn.execute("UPDATE accounts SET balance = balance + 1 WHERE code = 'carol'")

    assert reconciling.run(funded, tamper).findings == []
    assert places(funded) == [("balance", "account carol")]


def test_reconciling_locks_out_nobody(funded: Books, open_main: Open) -> None:
    quick = open_main(lock_timeout_ms=50, deadline_s=0.1)
    posted: list[bool] = []

    def step(_done: int, _total: int, _found: int) -> None:
        posted.append(payments.post_one(quick, transfer("alice", "bob", "0.01")).replayed)

    reconciling.run(funded, step)

    assert posted == [False] * (len(checks.CHECKS) + 1)


def test_a_run_that_is_stopped_leaves_no_record(funded: Books, conn: Connection) -> None:
    def step(_done: int, _total: int, _found: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconciling.run(funded, step)

    assert count(conn, "reconciliations") == 0
    assert places(funded) == []
