"""Accounts and ledgers changed by several at once, or by hand in SQL: what was posted stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest

from ledgerctl import errors
from ledgerctl.db.connection import Connection
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.services import accounts, importing, payments
from ledgerctl.services.books import Books, open_books
from tests.services.conftest import Open, balances, count, new, transfer


def status(conn: Connection, code: str) -> str:
    [[found]] = conn.execute("SELECT status FROM accounts WHERE code = %s", [code]).fetchall()
    return str(found)


def test_an_account_is_not_closed_under_a_transfer_that_fills_it(
    funded: Books, open_main: Open, conn: Connection
) -> None:
    """Both take the same lock: closed and empty, or open and full."""
    for number in range(10):
        accounts.create(funded, [new(f"till-{number}")])
    payer, closer = open_main(), open_main()

    def attempt(work: Callable[..., object], *given: Any) -> str:
        try:
            work(*given)
        except (errors.AccountClosed, errors.AccountNotEmpty) as refusal:
            return refusal.code
        return "done"

    with ThreadPoolExecutor(2) as threads:
        for number in range(10):
            code = f"till-{number}"
            paid = threads.submit(attempt, payments.post_one, payer, transfer("alice", code, "1"))
            closed = threads.submit(attempt, accounts.close, closer, code)
            ends = (paid.result(), closed.result(), status(conn, code), int(balances(conn)[code]))
            assert ends in [("done", "ACCOUNT_NOT_EMPTY", "active", 1), ("ACCOUNT_CLOSED", "done", "closed", 0)]


# -- ledgers and currencies ------------------------------------------------------------------------------------------


def test_a_ledger_from_many_clients_is_created_once(open_main: Open, conn: Connection) -> None:
    databases = [open_main().database for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        works = [threads.submit(accounts.create_ledger, database, "other", "a", "r") for database in databases]

    assert sorted(work.result() for work in works) == [False] * 5 + [True]
    assert count(conn, "audit_logs", "action = 'ledger create' AND subject = 'other'") == 1


def test_a_transaction_of_another_ledger_is_not_reversed(funded: Books) -> None:
    paid = payments.post_one(funded, transfer("alice", "bob", "1")).transaction
    accounts.create_ledger(funded.database, "other", "somebody", "request-9")
    other = open_books(funded.database, "other", "somebody", "request-9")

    with pytest.raises(errors.TransactionNotFound):
        payments.reverse(other, transfer("a", "b", "1").id, "r", paid.id, None, None)


# -- renamed by SQL, which the tables allow --------------------------------------------------------------------------


def test_a_file_is_replayed_after_one_of_its_accounts_was_renamed(funded: Books, conn: Connection) -> None:
    """A replay stays a replay, whatever has become of the accounts since."""

    def imported() -> tuple[str, int, int]:
        file = TransferFile(Input("in.csv", BytesIO(b"from,to,amount\nalice,bob,1\nalice,carol,2\n")), {}, {})
        receipt = importing.run(funded, file, lambda *_: None).receipt
        return receipt["status"], receipt["posted"], receipt["replayed"]

    assert imported() == ("complete", 2, 0)
    conn.execute("UPDATE accounts SET code = 'alice-old' WHERE code = 'alice'")

    assert imported() == ("complete", 0, 2)


def test_a_transfer_is_replayed_after_its_account_was_renamed(funded: Books, conn: Connection) -> None:
    payments.post_one(funded, transfer("alice", "bob", "1", "k"))
    conn.execute("UPDATE accounts SET code = 'alice-old' WHERE code = 'alice'")

    assert payments.post_one(funded, transfer("alice", "bob", "1", "k")).replayed
