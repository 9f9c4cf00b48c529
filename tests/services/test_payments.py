"""Posting: once for a key, whole or not at all, with its line in the audit log."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ledgerctl import errors
from ledgerctl.core.model import Posted, Refused, Replayed
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments
from ledgerctl.services.books import Books
from tests.services.conftest import balances, count, transfer


def test_a_transfer_moves_money_once_however_often_it_is_sent(funded: Books, conn: Connection) -> None:
    first = payments.post_one(funded, transfer("alice", "bob", "12.50", "k"))
    again = payments.post_one(funded, transfer("alice", "bob", "12.5", "k"))

    assert (first.replayed, again.replayed) == (False, True)
    assert again.transaction == first.transaction
    assert balances(conn)["alice"] == Decimal("87.50")
    assert balances(conn)["bob"] == Decimal("112.50")


def test_the_same_request_sent_again_by_its_own_retry_is_posted_and_no_replay(funded: Books) -> None:
    """Its id is that of the transaction: an answer was lost, not a request repeated."""
    request = transfer("alice", "bob", "1", "k")

    assert [payments.post_one(funded, request).replayed for _ in range(2)] == [False, False]


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (transfer("alice", "bob", "2", "k", description="rent"), "amount"),
        (transfer("alice", "carol", "1", "k", description="rent"), "accounts"),
        (transfer("alice", "bob", "1", "k"), "description"),
        (
            transfer("alice", "bob", "1", "k", description="rent", reference="r", metadata={"a": "b"}),
            "reference, metadata",
        ),
        (
            transfer("alice", "bob", "1", "k", description="rent", currency="EUR"),
            "currency or effective_at, as written",
        ),
        (transfer("alice", "bob", "1", "k", description="rent", effective_at="2026-01-01"), "effective_at"),
    ],
)
def test_another_request_under_the_key_is_a_conflict_that_names_the_fields(
    funded: Books, conn: Connection, other: object, fields: str
) -> None:
    payments.post_one(funded, transfer("alice", "bob", "1", "k", description="rent"))

    with pytest.raises(errors.IdempotencyConflict) as raised:
        payments.post_one(funded, other)  # type: ignore[arg-type]  # a Request, made while collecting

    assert raised.value.details["fields"] == fields
    assert count(conn, "transactions", "idempotency_key = 'k'") == 1


def test_a_refusal_leaves_its_line_in_the_audit_log_and_nothing_under_its_key(funded: Books, conn: Connection) -> None:
    with pytest.raises(errors.InsufficientFunds):
        payments.post_one(funded, transfer("carol", "bob", "5", "k"))

    assert count(conn, "transactions", "idempotency_key = 'k'") == 0
    [line] = conn.execute("SELECT actor, action, outcome, request_id, detail FROM audit_logs WHERE subject = 'k'")
    assert line[:4] == ("tester", "transfer", "refused", "request-1")
    assert line[4]["reason"] == "INSUFFICIENT_FUNDS"

    payments.post_one(funded, transfer("alice", "carol", "5"))
    assert not payments.post_one(funded, transfer("carol", "bob", "5", "k")).replayed


def test_a_posting_and_its_audit_line_are_one_database_transaction(funded: Books, conn: Connection) -> None:
    receipt = payments.post_one(funded, transfer("alice", "bob", "5"))

    query = "SELECT t.xid8 = l.xid8 FROM transactions t JOIN audit_logs l ON l.subject = t.id::text WHERE t.id = %s"
    assert conn.execute(query, [receipt.transaction.id]).fetchall() == [(True,)]


def test_a_batch_has_an_outcome_for_each_in_order(funded: Books, conn: Connection) -> None:
    outcomes = payments.post(
        funded,
        [
            transfer("alice", "carol", "60", "1"),
            transfer("alice", "carol", "60", "2"),
            transfer("carol", "bob", "60", "3"),
            transfer("alice", "carol", "60", "1"),
        ],
    )

    assert [type(outcome) for outcome in outcomes] == [Posted, Refused, Posted, Replayed]
    assert balances(conn) | {"bank": 0} == {"alice": 40, "bob": 160, "carol": 0, "bank": 0, "opening": -200}


def test_a_transaction_is_reversed_once(funded: Books, conn: Connection) -> None:
    paid = payments.post_one(funded, transfer("alice", "bob", "30")).transaction

    back = payments.reverse(funded, uuid7(), "r", paid.id, None, "wrong customer")
    again = payments.reverse(funded, uuid7(), "r", paid.id, None, "wrong customer")

    assert (back.transaction.reverses, again.replayed) == (paid.id, True)
    assert balances(conn)["alice"] == 100
    with pytest.raises(errors.AlreadyReversed, match=str(back.transaction.id)):
        payments.reverse(funded, uuid7(), "other", paid.id, None, None)
    with pytest.raises(errors.ReversalOfReversal):
        payments.reverse(funded, uuid7(), "other", back.transaction.id, None, None)


def test_a_reversal_in_part_uses_up_the_only_reversal(funded: Books, conn: Connection) -> None:
    paid = payments.post_one(funded, transfer("alice", "bob", "30")).transaction
    with pytest.raises(errors.PartialNotPossible):
        payments.reverse(funded, uuid7(), "r", paid.id, Decimal("30.01"), None)

    payments.reverse(funded, uuid7(), "r", paid.id, Decimal("10"), None)

    assert balances(conn)["alice"] == 80
    with pytest.raises(errors.AlreadyReversed):
        payments.reverse(funded, uuid7(), "rest", paid.id, Decimal("20"), None)


def test_money_that_was_spent_is_not_reversed(funded: Books) -> None:
    paid = payments.post_one(funded, transfer("alice", "carol", "30")).transaction
    payments.post_one(funded, transfer("carol", "bob", "30"))

    with pytest.raises(errors.InsufficientFunds):
        payments.reverse(funded, uuid7(), "r", paid.id, None, None)


def test_an_unknown_transaction_is_not_reversed(funded: Books) -> None:
    with pytest.raises(errors.TransactionNotFound):
        payments.reverse(funded, uuid7(), "r", uuid7(), None, None)


def test_what_was_not_sent_is_absent_in_the_books(funded: Books, conn: Connection) -> None:
    receipt = payments.post_one(funded, transfer("alice", "bob", "5"))

    query = "SELECT effective_at, description, reference, metadata, import_id FROM transactions WHERE id = %s"
    assert conn.execute(query, [receipt.transaction.id]).fetchall() == [(None,) * 5]
    assert receipt.transaction.effective_at == receipt.transaction.posted_at


def test_an_accounts_times_never_go_back_with_the_clock(funded: Books, conn: Connection) -> None:
    conn.execute("UPDATE accounts SET last_posted_at = '2999-01-01T00:00:00Z' WHERE code = 'alice'")

    posted = payments.post_one(funded, transfer("alice", "bob", "5")).transaction.posted_at

    assert posted.isoformat() == "2999-01-01T00:00:00+00:00"


def test_a_dry_run_leaves_no_trace(funded: Books, conn: Connection) -> None:
    def traces() -> list[int]:
        return [count(conn, table) for table in ("transactions", "transaction_entries", "audit_logs")]

    before = traces(), balances(conn)
    receipt = payments.post_one(funded, transfer("alice", "bob", "5", "k"), dry_run=True)

    assert (receipt.transaction.lines[0].balance, traces(), balances(conn)) == (9500, *before)
    assert not payments.post_one(funded, transfer("alice", "bob", "7", "k")).replayed


def test_a_replay_stays_one_after_the_account_was_frozen(funded: Books) -> None:
    payments.post_one(funded, transfer("alice", "bob", "5", "k"))
    accounts.freeze(funded, "alice")

    assert payments.post_one(funded, transfer("alice", "bob", "5", "k")).replayed
    with pytest.raises(errors.AccountFrozen):
        payments.post_one(funded, transfer("alice", "bob", "5"))


def test_what_was_sent_along_is_kept(funded: Books, conn: Connection) -> None:
    extras: dict[str, Any] = {"description": "rent", "reference": "R-1", "metadata": {"order": "17", "ü": "\u00e9"}}
    request = transfer("alice", "bob", "5", effective_at="2026-01-31T12:00:00Z", **extras)

    done = payments.post_one(funded, request).transaction

    assert (done.description, done.reference, done.metadata) == ("rent", "R-1", extras["metadata"])
    query = "SELECT description, reference, metadata, effective_at::text FROM transactions WHERE id = %s"
    conn.execute("SET TIME ZONE 'UTC'")
    assert conn.execute(query, [done.id]).fetchall() == [("rent", "R-1", extras["metadata"], "2026-01-31 12:00:00+00")]


def test_a_step_back_of_the_clock_reaches_every_account_that_it_touches_later(funded: Books, conn: Connection) -> None:
    """Bob met alice's future; carol meets it through bob, and no history goes back."""
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")  # no trigger may mend it
        conn.execute("UPDATE accounts SET last_posted_at = '2999-01-01T00:00:00Z' WHERE code = 'alice'")

    for source, target in (("alice", "bob"), ("bob", "carol"), ("opening", "carol")):
        payments.post_one(funded, transfer(source, target, "5"))

    query = """
        SELECT bool_and(later) FROM (
            SELECT t.posted_at >= lag(t.posted_at, 1, t.posted_at) OVER (PARTITION BY e.account_id ORDER BY e.seq)
            FROM transaction_entries e JOIN transactions t ON t.ledger_id = e.ledger_id AND t.id = e.transaction_id
        ) AS moves (later)
    """
    assert conn.execute(query).fetchall() == [(True,)]
    assert count(conn, "accounts", "last_posted_at > '2998-01-01'") == 4


def test_a_reversal_is_undone_by_its_rules_and_kept_in_the_log(funded: Books, conn: Connection) -> None:
    paid = payments.post_one(funded, transfer("alice", "bob", "30")).transaction
    back = payments.reverse(funded, uuid7(), "r", paid.id, None, "wrong customer").transaction

    with pytest.raises(errors.IdempotencyConflict) as raised:
        payments.reverse(funded, uuid7(), "r", paid.id, Decimal("10"), "wrong customer")
    assert raised.value.details["fields"] == "amount"
    with pytest.raises(errors.AlreadyReversed):
        payments.reverse(funded, uuid7(), "again", paid.id, None, None)

    lines = "SELECT subject, outcome, detail ->> 'reason' FROM audit_logs WHERE action = 'reversal' ORDER BY id"
    assert conn.execute(lines).fetchall() == [
        (str(back.id), "posted", None),
        ("r", "refused", "IDEMPOTENCY_CONFLICT"),
        ("again", "refused", "ALREADY_REVERSED"),
    ]


def test_a_replay_of_a_transfer_moves_no_standing_and_writes_no_line(funded: Books, conn: Connection) -> None:
    payments.post_one(funded, transfer("alice", "bob", "5", "k"))
    standings = "SELECT code, balance, seq, last_posted_at FROM accounts ORDER BY code"
    before = conn.execute(standings).fetchall(), count(conn, "audit_logs")

    assert payments.post_one(funded, transfer("alice", "bob", "5", "k")).replayed

    assert (conn.execute(standings).fetchall(), count(conn, "audit_logs")) == before


def test_a_dry_run_that_is_refused_leaves_no_line_either(funded: Books, conn: Connection) -> None:
    before = count(conn, "audit_logs")

    with pytest.raises(errors.InsufficientFunds):
        payments.post_one(funded, transfer("carol", "bob", "5", "k"), dry_run=True)

    assert count(conn, "audit_logs") == before


def test_a_dry_run_of_a_reversal_leaves_the_transaction_to_be_reversed(funded: Books) -> None:
    paid = payments.post_one(funded, transfer("alice", "bob", "30")).transaction

    for dry_run in (True, True, False):
        assert not payments.reverse(funded, uuid7(), "r", paid.id, None, None, dry_run=dry_run).replayed
    assert payments.reverse(funded, uuid7(), "r", paid.id, None, None, dry_run=True).replayed


def test_an_empty_batch_is_nothing(funded: Books, conn: Connection) -> None:
    before = count(conn, "audit_logs")

    assert payments.post(funded, []) == []
    assert count(conn, "audit_logs") == before
