"""Accounts, ledgers and currencies: created all or none, changed by rule, each change and refusal kept in the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledgerctl import errors
from ledgerctl.core.model import NewAccount
from ledgerctl.db.connection import Connection
from ledgerctl.services import accounts, payments, reconciling
from ledgerctl.services.accounts import Created
from ledgerctl.services.books import Books, open_books
from tests.services.conftest import balances, count, new, transfer


def log(conn: Connection, subject: str) -> list[tuple[str, str, Any]]:
    """Action, outcome and reason of the lines about a subject, without those of its creation."""
    query = """
        SELECT action, outcome, detail ->> 'reason' FROM audit_logs
        WHERE subject = %s AND action <> 'account create' ORDER BY id
    """
    return conn.execute(query, [subject]).fetchall()


def status(conn: Connection, code: str) -> str:
    [[found]] = conn.execute("SELECT status FROM accounts WHERE code = %s", [code]).fetchall()
    return str(found)


def test_accounts_are_created_once_with_a_line_each(books: Books, conn: Connection) -> None:
    asked = [new("alice"), new("bob")]

    assert accounts.create(books, asked) == Created(2, 0)
    assert accounts.create(books, [*asked, new("carol")]) == Created(1, 2)

    lines = conn.execute(
        "SELECT actor, request_id, subject, outcome FROM audit_logs WHERE action = 'account create' ORDER BY id"
    ).fetchall()
    assert lines == [("tester", "request-1", code, "done") for code in ("alice", "bob", "carol")]


def test_nothing_asked_for_is_nothing_created(books: Books) -> None:
    assert accounts.create(books, []) == Created(0, 0)


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (new("alice", "asset"), "type"),
        (new("alice", currency="JPY", exponent=0), "currency"),
        (new("alice", floor=None), "min_balance"),
        (new("alice", floor="-5"), "min_balance"),
        (new("alice")._replace(name="Alice", metadata={"tier": "gold"}), "name, metadata"),
        (new("alice", "asset")._replace(max_balance=new("x", floor="9").min_balance), "type, max_balance"),
    ],
)
def test_an_account_with_other_attributes_is_refused_by_their_names_and_nothing_is_created(
    books: Books, conn: Connection, other: NewAccount, fields: str
) -> None:
    accounts.create(books, [new("alice")])

    with pytest.raises(errors.AccountExists) as raised:
        accounts.create(books, [new("bob"), other, new("carol")])

    assert raised.value.details == {"account": "alice", "fields": fields}
    assert list(balances(conn)) == ["alice"]
    refused = "SELECT subject, detail FROM audit_logs WHERE action = 'account create' AND outcome = 'refused'"
    assert conn.execute(refused).fetchall() == [("alice", {"reason": "ACCOUNT_EXISTS"})]
    assert count(conn, "audit_logs", "subject IN ('bob', 'carol')") == 0


def test_all_or_none_holds_across_chunks(books: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_CHUNK", 2)
    asked = [new(f"a{number}") for number in range(5)]

    with pytest.raises(errors.AccountExists):
        accounts.create(books, [*asked, new("a0", "asset")])
    assert balances(conn) == {}

    assert accounts.create(books, [*asked, new("a0")]) == Created(5, 1)


def test_a_code_that_is_given_twice_is_created_once_or_refused(books: Books, conn: Connection) -> None:
    assert accounts.create(books, [new("alice"), new("alice")]) == Created(1, 1)
    assert count(conn, "audit_logs", "subject = 'alice'") == 1

    with pytest.raises(errors.AccountExists):
        accounts.create(books, [new("bob"), new("bob", "asset")])
    assert list(balances(conn)) == ["alice"]


def test_a_limit_written_with_other_zeros_is_the_same_limit(books: Books) -> None:
    accounts.create(books, [new("alice", floor="-5")])

    assert accounts.create(books, [new("alice", floor="-5.00")]) == Created(0, 1)


def test_a_frozen_account_is_posted_to_again_once_unfrozen(funded: Books, conn: Connection) -> None:
    accounts.freeze(funded, "alice")
    for source, target in (("alice", "bob"), ("bob", "alice")):
        with pytest.raises(errors.AccountFrozen):
            payments.post_one(funded, transfer(source, target, "1"))

    accounts.unfreeze(funded, "alice")
    payments.post_one(funded, transfer("alice", "bob", "1"))

    assert log(conn, "alice") == [("account freeze", "done", None), ("account unfreeze", "done", None)]


@pytest.mark.parametrize(
    ("before", "change"),
    [(None, accounts.unfreeze), (accounts.freeze, accounts.freeze), (accounts.close, accounts.close)],
)
def test_what_is_so_already_is_no_change(
    funded: Books,
    conn: Connection,
    before: Callable[[Books, str], None] | None,
    change: Callable[[Books, str], None],
) -> None:
    if before is not None:
        before(funded, "carol")
    held, lines = status(conn, "carol"), log(conn, "carol")

    change(funded, "carol")

    assert (status(conn, "carol"), log(conn, "carol")) == (held, lines)


def test_an_account_with_money_is_not_closed(funded: Books, conn: Connection) -> None:
    with pytest.raises(errors.AccountNotEmpty) as raised:
        accounts.close(funded, "alice")

    assert raised.value.details == {"account": "alice", "balance": "100.00", "currency": "EUR"}
    assert status(conn, "alice") == "active"
    assert log(conn, "alice") == [("account close", "refused", "ACCOUNT_NOT_EMPTY")]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_closed_account_is_closed_for_good(funded: Books, conn: Connection, frozen: bool) -> None:
    if frozen:
        accounts.freeze(funded, "carol")
    accounts.close(funded, "carol")

    for change in (accounts.freeze, accounts.unfreeze):
        with pytest.raises(errors.AccountClosed):
            change(funded, "carol")
    with pytest.raises(errors.AccountClosed):
        payments.post_one(funded, transfer("alice", "carol", "1"))

    assert status(conn, "carol") == "closed"
    assert log(conn, "carol")[-3:] == [
        ("account close", "done", None),
        ("account freeze", "refused", "ACCOUNT_CLOSED"),
        ("account unfreeze", "refused", "ACCOUNT_CLOSED"),
    ]


@pytest.mark.parametrize(
    ("change", "action"),
    [
        (accounts.freeze, "account freeze"),
        (accounts.unfreeze, "account unfreeze"),
        (accounts.close, "account close"),
    ],
)
def test_an_account_that_is_not_there_is_refused_and_the_attempt_kept(
    books: Books, conn: Connection, change: Callable[[Books, str], None], action: str
) -> None:
    with pytest.raises(errors.AccountNotFound):
        change(books, "nobody")

    assert log(conn, "nobody") == [(action, "refused", "ACCOUNT_NOT_FOUND")]


def test_a_currency_is_added_once_and_accounts_count_in_it(books: Books, conn: Connection) -> None:
    for _ in range(2):
        accounts.add_currency(books, "POINTS", 4)

    accounts.create(
        books, [new("shop", "equity", None, "POINTS", 4), new("alice", "liability", "0", currency="POINTS", exponent=4)]
    )
    payments.post_one(books, transfer("shop", "alice", "0.0001"))

    assert str(balances(conn)["alice"]) == "0.0001"


def test_a_currency_that_was_added_has_its_line(books: Books, conn: Connection) -> None:
    for _ in range(2):
        accounts.add_currency(books, "POINTS", 4)

    lines = "SELECT outcome, detail FROM audit_logs WHERE action = 'currency add' AND subject = 'POINTS'"
    assert conn.execute(lines).fetchall() == [("done", {"exponent": 4})]


def test_a_currency_with_other_decimals_is_refused(books: Books, conn: Connection) -> None:
    with pytest.raises(errors.CurrencyExists) as raised:
        accounts.add_currency(books, "EUR", 3)

    assert raised.value.details == {"currency": "EUR", "exponent": 2}
    assert conn.execute("SELECT exponent FROM currencies WHERE code = 'EUR'").fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("code", "exponent"),
    [("", 2), ("eur", 2), ("EU", 2), ("ABCDEFGHIJKLM", 2), ("E-R", 2), ("1AB", 2), ("ABC", -1), ("ABC", 19)],
)
def test_what_is_no_currency_is_wrong_usage(books: Books, conn: Connection, code: str, exponent: int) -> None:
    before = count(conn, "currencies")

    with pytest.raises(errors.BadUsage):
        accounts.add_currency(books, code, exponent)

    assert count(conn, "currencies") == before


def test_a_ledger_is_created_once(books: Books, conn: Connection) -> None:
    made = [accounts.create_ledger(books.database, "other", "tester", "r") for _ in range(2)]

    assert made == [True, False]
    assert log(conn, "other") == [("ledger create", "done", None)]


def test_ledgers_keep_books_apart(funded: Books, conn: Connection) -> None:
    """The same codes and the same keys, in the same database."""
    accounts.create_ledger(funded.database, "other", "tester", "r")
    other = open_books(funded.database, "other", "tester", "r")
    accounts.add_currency(other, "POINTS", 3)
    accounts.create(other, [new("alice"), new("bob", "equity", None), new("solo")])

    first = payments.post_one(funded, transfer("alice", "bob", "1", "k"))
    second = payments.post_one(other, transfer("bob", "alice", "7", "k"))

    assert (first.replayed, second.replayed) == (False, False)
    held = "SELECT l.name, a.code, a.balance FROM accounts a JOIN ledgers l ON l.id = a.ledger_id"
    assert {(name, code): balance for name, code, balance in conn.execute(held).fetchall() if balance} == {
        ("main", "alice"): 99,
        ("main", "bob"): 101,
        ("main", "opening"): -200,
        ("other", "alice"): 7,
        ("other", "bob"): -7,
    }
    with pytest.raises(errors.AccountNotFound):
        payments.post_one(funded, transfer("alice", "solo", "1"))
    with pytest.raises(errors.TransactionNotFound):
        payments.reverse(other, first.transaction.id, "r", first.transaction.id, None, None)
    accounts.freeze(other, "alice")
    payments.post_one(funded, transfer("alice", "bob", "1"))
    assert count(conn, "currencies", f"code = 'POINTS' AND ledger_id <> {other.ledger}") == 0
    assert [reconciling.run(books, lambda *_: None).findings for books in (funded, other)] == [[], []]
