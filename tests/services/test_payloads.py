"""Requests of many legs: posted and reversed whole or not at all; and what a conflict says of two payloads."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ledgerctl import errors
from ledgerctl.core import model, requesting
from ledgerctl.core.model import Kind, Leg, Request, Side
from ledgerctl.db import reports
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments
from ledgerctl.services.books import Books
from tests.services.conftest import balances, count, new, transfer


def debit(code: str, amount: str, currency: str | None = None) -> Leg:
    return Leg(code, Side.DEBIT, Decimal(amount), currency)


def credit(code: str, amount: str, currency: str | None = None) -> Leg:
    return Leg(code, Side.CREDIT, Decimal(amount), currency)


def journal(*legs: Leg, key: str = "j") -> Request:
    return requesting.request(uuid7(), key, Kind.JOURNAL, legs)


def test_a_journal_of_many_legs_moves_them_all(funded: Books, conn: Connection) -> None:
    receipt = payments.post_one(
        funded, journal(debit("alice", "10"), credit("bob", "6"), credit("carol", "3.5"), credit("opening", "0.5"))
    )

    assert [(line.account, line.amount) for line in receipt.transaction.lines] == [
        ("alice", -1000),
        ("bob", 600),
        ("carol", 350),
        ("opening", 50),
    ]
    assert balances(conn) == {"alice": 90, "bob": 106, "carol": Decimal("3.5"), "bank": 0, "opening": Decimal("-199.5")}


def test_an_account_may_stand_in_a_journal_twice(funded: Books, conn: Connection) -> None:
    """On one side: its entries follow one another."""
    receipt = payments.post_one(funded, journal(debit("alice", "1"), debit("alice", "2"), credit("bob", "3")))

    assert [(line.account, line.seq, line.balance) for line in receipt.transaction.lines] == [
        ("alice", 2, 9900),
        ("alice", 3, 9700),
        ("bob", 2, 10300),
    ]
    assert balances(conn)["alice"] == 97


def test_a_journal_in_two_currencies_balances_in_each(funded: Books, conn: Connection) -> None:
    accounts.create(funded, [new("fx-eur", "equity", None), new("fx-jpy", "equity", None, "JPY", 0)])
    accounts.create(funded, [new("yuki", "liability", "0", "JPY", 0)])
    legs = (debit("alice", "1"), credit("fx-eur", "1"), debit("fx-jpy", "160"), credit("yuki", "160"))

    payments.post_one(funded, journal(*legs))

    found = balances(conn)
    assert [found["alice"], found["yuki"]] == [99, 160]
    with pytest.raises(errors.Unbalanced, match=r"JPY|EUR"):
        payments.post_one(funded, journal(debit("alice", "160"), credit("yuki", "160"), key="other"))


def test_a_refused_journal_moves_none_of_its_legs(funded: Books, conn: Connection) -> None:
    before = balances(conn)

    for refusal, legs in {
        errors.Unbalanced: (debit("alice", "10"), credit("bob", "9.99")),
        errors.InsufficientFunds: (debit("alice", "1"), debit("carol", "1"), credit("bob", "2")),
        errors.SameAccount: (debit("alice", "1"), credit("alice", "1")),
        errors.TooFewLegs: (debit("alice", "1"),),
        errors.AccountNotFound: (debit("alice", "1"), credit("nobody", "1")),
        errors.CurrencyMismatch: (debit("alice", "1", "USD"), credit("bob", "1", "USD")),
        errors.TooManyDecimals: (debit("alice", "0.001"), credit("bob", "0.001")),
    }.items():
        with pytest.raises(refusal):
            payments.post_one(funded, journal(*legs))

    assert (balances(conn), count(conn, "transactions")) == (before, 2)
    assert count(conn, "audit_logs", "subject = 'j' AND outcome = 'refused'") == 7


# -- reversals of many legs ------------------------------------------------------------------------------------------

SPLIT = (debit("alice", "8"), debit("bob", "2"), credit("carol", "5"), credit("opening", "5"))


def test_a_journal_is_reversed_leg_by_leg(funded: Books, conn: Connection) -> None:
    before = balances(conn)
    posted = payments.post_one(funded, journal(*SPLIT)).transaction

    back = payments.reverse(funded, uuid7(), "r", posted.id, None, "wrong").transaction

    assert balances(conn) == before
    assert sorted((line.account, line.amount) for line in back.lines) == sorted(
        (line.account, -line.amount) for line in posted.lines
    )
    assert reports.transaction(conn, funded.ledger, posted.id).reversed_by == back.id


@pytest.mark.parametrize("amount", ["1", "2", "5", "8", "10"])
def test_a_journal_of_many_legs_is_not_reversed_in_part(funded: Books, conn: Connection, amount: str) -> None:
    """Not by the amount of one of its legs either, which would move the others by as much."""
    payments.post_one(funded, transfer("opening", "carol", "100"))
    posted = payments.post_one(funded, journal(*SPLIT)).transaction
    before = balances(conn)

    with pytest.raises(errors.PartialNotPossible):
        payments.reverse(funded, uuid7(), "r", posted.id, Decimal(amount), None)

    assert balances(conn) == before


@pytest.mark.parametrize("amount", ["0.01", "29.99", "30", "30.00"])
def test_a_transfer_is_reversed_by_any_amount_up_to_its_own(funded: Books, conn: Connection, amount: str) -> None:
    posted = payments.post_one(funded, transfer("alice", "bob", "30")).transaction

    payments.reverse(funded, uuid7(), "r", posted.id, Decimal(amount), None)

    assert balances(conn)["alice"] == 70 + Decimal(amount)


@pytest.mark.parametrize("amount", ["0.001", "0"])
def test_a_reversal_by_what_is_no_amount_of_the_currency_moves_nothing(
    funded: Books, conn: Connection, amount: str
) -> None:
    posted = payments.post_one(funded, transfer("alice", "bob", "30")).transaction

    with pytest.raises(errors.LedgerError):
        payments.reverse(funded, uuid7(), "r", posted.id, Decimal(amount), None)

    assert balances(conn)["alice"] == 70


def test_the_key_of_a_reversal_is_no_key_for_another(funded: Books) -> None:
    one, two = (payments.post_one(funded, transfer("alice", "bob", "3")).transaction for _ in range(2))
    payments.reverse(funded, uuid7(), "r", one.id, None, None)

    with pytest.raises(errors.IdempotencyConflict) as caught:
        payments.reverse(funded, uuid7(), "r", two.id, None, None)

    assert caught.value.details["fields"] == "reverses"


def test_two_reversals_of_one_transaction_in_a_batch_are_one(funded: Books, conn: Connection) -> None:
    posted = payments.post_one(funded, transfer("alice", "bob", "3")).transaction
    original = model.Original(posted.id, posted.kind, (debit("alice", "3", "EUR"), credit("bob", "3", "EUR")), None)

    outcomes = payments.post(
        funded, [requesting.reversal(uuid7(), key, original, None, None) for key in ("one", "two", "one")]
    )

    assert [type(outcome) for outcome in outcomes] == [model.Posted, model.Refused, model.Replayed]
    assert balances(conn)["alice"] == 100


# -- conflicts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "other", "field"),
    [
        (transfer("alice", "bob", "1", "k"), transfer("bob", "alice", "1", "k"), "accounts"),
        (
            journal(debit("alice", "3"), debit("bob", "7"), credit("opening", "10"), key="k"),
            journal(debit("alice", "7"), debit("bob", "3"), credit("opening", "10"), key="k"),
            "amount",
        ),
        (transfer("alice", "bob", "1", "k"), journal(debit("alice", "1"), credit("bob", "1"), key="k"), "kind"),
    ],
    ids=["the other way round", "the same amounts on other accounts", "a journal for a transfer"],
)
def test_a_conflict_names_what_differs(funded: Books, sent: Request, other: Request, field: str) -> None:
    payments.post_one(funded, sent)

    with pytest.raises(errors.IdempotencyConflict) as caught:
        payments.post_one(funded, other)

    assert field in caught.value.details["fields"].split(", ")


def test_an_effective_time_that_is_left_out_is_named(funded: Books) -> None:
    payments.post_one(funded, transfer("alice", "bob", "1", "k", effective_at="2026-01-31"))

    with pytest.raises(errors.IdempotencyConflict) as caught:
        payments.post_one(funded, transfer("alice", "bob", "1", "k"))

    assert "effective_at" in caught.value.details["fields"]
