"""Requests of many callers in one transaction: each has its own outcome, and its own line in the audit log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ledgerctl import errors
from ledgerctl.core.model import Kind, Leg, Request, Side
from ledgerctl.core.requesting import request
from ledgerctl.db.audit import By
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import gathering, payments
from ledgerctl.services.books import Books
from ledgerctl.services.gathering import SHARE_MIN, Answer, Gatherer
from ledgerctl.services.payments import Receipt
from tests.services.conftest import Open, balances, count, transfer

US = By("caller", "request-7", None)


@pytest.fixture
def gatherer(open_main: Open, funded: Books) -> Iterator[Gatherer]:
    made = Gatherer(lambda: open_main(lock_timeout_ms=300, deadline_s=1.0))
    yield made
    made.close()


def sent(gatherer: Gatherer, request: Request, by: By = US) -> Future[Receipt]:
    receipt: Future[Receipt] = Future()
    gatherer.submit(request, by, receipt, _hear)
    return receipt


def _hear(told: Sequence[tuple[Future[Receipt], Answer]]) -> None:
    for receipt, answer in told:
        if isinstance(answer, Receipt):
            receipt.set_result(answer)
        else:
            receipt.set_exception(answer)


def together(gatherer: Gatherer, *requests: Request) -> list[Future[Receipt]]:
    """All of them while nobody posts, so that they share a transaction."""
    with gatherer._changed:
        return [sent(gatherer, one) for one in requests]


def told(futures: list[Future[Receipt]]) -> list[str]:
    wait(futures, 60)
    return [_told(future) for future in futures]


def _told(future: Future[Receipt]) -> str:
    error = future.exception()
    if error is not None:
        return getattr(error, "code", type(error).__name__)
    return "replayed" if future.result().replayed else "posted"


def test_they_share_a_transaction_and_each_has_its_own_outcome(gatherer: Gatherer, conn: Connection) -> None:
    posted = told(
        together(
            gatherer,
            transfer("alice", "carol", "1", "one"),
            transfer("carol", "bob", "500", "two"),
            transfer("nobody", "bob", "5", "three"),
            transfer("alice", "carol", "1", "one"),
            transfer("alice", "carol", "2", "one"),
            transfer("bob", "carol", "4", "four"),
        )
    )

    assert posted == ["posted", "INSUFFICIENT_FUNDS", "ACCOUNT_NOT_FOUND", "replayed", "IDEMPOTENCY_CONFLICT", "posted"]
    assert balances(conn)["carol"] == Decimal(5)
    assert count(conn, "(SELECT DISTINCT xid8 FROM transactions WHERE idempotency_key IN ('one', 'four')) t") == 1


def test_the_audit_log_names_who_asked(gatherer: Gatherer, conn: Connection) -> None:
    others = By("somebody", "request-8", "0123456789abcdef" * 2)
    with gatherer._changed:
        futures = [
            sent(gatherer, transfer("alice", "carol", "1"), US),
            sent(gatherer, transfer("carol", "bob", "9"), others),
        ]
    told(futures)

    lines = conn.execute(
        "SELECT actor, request_id, trace_id, outcome FROM audit_logs"
        " WHERE actor IN ('caller', 'somebody') ORDER BY actor DESC"
    )
    assert lines.fetchall() == [(*others, "refused"), (*US, "posted")]


def test_many_share_two_transactions_and_few_share_one(gatherer: Gatherer, conn: Connection) -> None:
    for callers, transactions in ((2 * SHARE_MIN - 1, 1), (2 * SHARE_MIN, 2), (50, 2)):
        gatherer._expected = 1
        keys = [f"{callers}:{n}" for n in range(callers)]
        requests = [transfer("alice", "bob", "0.01", key) for key in keys]
        assert told(together(gatherer, *requests)) == ["posted"] * callers
        shared = conn.execute("SELECT count(DISTINCT xid8) FROM transactions WHERE idempotency_key = ANY(%s)", [keys])
        assert shared.fetchone() == (transactions,)


def test_many_threads_lose_and_double_nothing(open_main: Open, funded: Books, conn: Connection) -> None:
    gatherer = Gatherer(open_main)
    outcomes: list[str] = []

    def client(number: int) -> None:
        for n in range(20):
            key = f"{number // 2}:{n}"  # two threads send the same
            outcomes.extend(told([sent(gatherer, transfer("alice", "bob", "0.01", key), US)]))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gatherer.close()

    assert (outcomes.count("posted"), outcomes.count("replayed")) == (80, 80)
    assert balances(conn)["bob"] == Decimal("100.80")
    assert count(conn, "(SELECT DISTINCT xid8 FROM transactions) t") < 80


def test_who_waits_for_a_lock_keeps_nobody_else_waiting_for_ever(gatherer: Gatherer, conn: Connection) -> None:
    """What stops the whole transaction stops only the one whose account it is."""
    with conn.transaction():
        conn.execute("SELECT FROM accounts WHERE code = 'bob' FOR UPDATE")
        outcomes = told(together(gatherer, transfer("alice", "carol", "1"), transfer("bob", "carol", "1")))

    assert outcomes == ["posted", "TRY_AGAIN"]


def under_way(gatherer: Gatherer, request: Request) -> Future[Receipt]:
    """Sent, and by now in a transaction."""
    receipt = sent(gatherer, request)
    while not gatherer._under_way:
        time.sleep(0.001)
    return receipt


def test_the_next_waits_for_those_under_way(
    gatherer: Gatherer, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "LONG_S", 60.0)
    with conn.transaction():
        conn.execute("SELECT FROM accounts WHERE code = 'bob' FOR UPDATE")
        under_way(gatherer, transfer("bob", "carol", "1"))
        assert told([sent(gatherer, transfer("alice", "carol", "1"))]) == ["posted"]
        assert gatherer._held == {"bob"}  # the other has ended by then


def test_the_next_does_not_wait_for_one_that_takes_long(
    open_main: Open, funded: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "HASTE_MS", 60_000)
    gatherer = Gatherer(lambda: open_main(lock_timeout_ms=60_000, deadline_s=60.0))
    with conn.transaction():
        conn.execute("SELECT FROM accounts WHERE code = 'bob' FOR UPDATE")
        stuck = under_way(gatherer, transfer("bob", "carol", "1"))
        assert told([sent(gatherer, transfer("alice", "carol", "1"))]) == ["posted"]
        assert not stuck.done()

    assert told([stuck]) == ["posted"]
    gatherer.close()


def test_a_held_account_stops_only_those_that_name_it(open_main: Open, funded: Books, conn: Connection) -> None:
    gatherer = Gatherer(lambda: open_main(lock_timeout_ms=100, deadline_s=60.0))
    with conn.transaction():
        conn.execute("SELECT FROM accounts WHERE code = 'bob' FOR UPDATE")
        stuck = together(gatherer, *(transfer("bob", "carol", "1") for _ in range(6)), transfer("alice", "carol", "1"))
        assert told(stuck[-1:]) == ["posted"]
        assert gatherer._held == {"bob"}
        stuck += together(gatherer, transfer("carol", "bob", "1"))  # goes by itself at once
        assert told([sent(gatherer, transfer("alice", "carol", "1")) for _ in range(20)]) == ["posted"] * 20
        assert not any(one.done() for one in [*stuck[:6], stuck[-1]])

    assert told(stuck) == ["posted"] * 8
    assert gatherer._held == set()
    gatherer.close()


def test_who_holds_one_account_for_long_may_hold_others(open_main: Open, funded: Books, conn: Connection) -> None:
    """They are found without another wait: each would keep everybody waiting."""
    gatherer = Gatherer(lambda: open_main(lock_timeout_ms=100, deadline_s=60.0))
    with conn.transaction():
        conn.execute("SELECT FROM accounts WHERE code IN ('bob', 'carol') FOR UPDATE")
        stuck = [sent(gatherer, transfer("bob", "carol", "1"))]
        while not gatherer._held:
            time.sleep(0.001)
        shared = together(gatherer, transfer("alice", "carol", "1"), transfer("alice", "opening", "1"))
        stuck += shared[:1]
        assert told(shared[1:]) == ["posted"]
        assert gatherer._held == {"bob"}
        assert not any(one.done() for one in stuck)

    assert told(stuck) == ["posted"] * 2
    gatherer.close()


def test_an_account_that_is_held_for_a_moment_is_not_taken_for_held(
    open_main: Open, funded: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "HASTE_MS", 60_000)
    gatherer = Gatherer(lambda: open_main(lock_timeout_ms=60_000))
    alone: list[Any] = []
    monkeypatch.setattr(gatherer._alone, "submit", lambda _work, one: alone.append(one))
    gatherer._held = {"carol"}
    with conn.transaction():
        conn.execute("SELECT FROM accounts WHERE code = 'bob' FOR UPDATE")
        receipts = together(gatherer, transfer("alice", "bob", "1"), transfer("alice", "nobody", "1"))
        while gatherer._held:
            time.sleep(0.001)

    assert told(receipts) == ["posted", "ACCOUNT_NOT_FOUND"]
    assert alone == []
    gatherer.close()


def test_when_it_is_given_free_everybody_shares_a_transaction_again(
    open_main: Open, funded: Books, conn: Connection
) -> None:
    """Also if nobody has named it since, and those who did have given up."""
    gatherer = Gatherer(lambda: open_main(lock_timeout_ms=100, deadline_s=0.3))
    with conn.transaction():
        conn.execute("SELECT FROM accounts WHERE code = 'bob' FOR UPDATE")
        assert told([sent(gatherer, transfer("alice", "bob", "1"))]) == ["TRY_AGAIN"]
        assert gatherer._held == {"bob"}

    assert told([sent(gatherer, transfer("alice", "carol", "1"))]) == ["posted"]
    assert gatherer._held == set()
    gatherer.close()


def test_the_deadline_counts_from_when_a_request_came(open_main: Open, funded: Books, conn: Connection) -> None:
    """Those for whom there was no turn before it are not tried any more."""
    gatherer = Gatherer(lambda: open_main(lock_timeout_ms=300, deadline_s=3.0))
    with conn.transaction():
        conn.execute("SELECT FROM accounts WHERE code = 'bob' FOR UPDATE")
        stuck = together(gatherer, *(transfer("bob", "carol", "1") for _ in range(12)))
        assert told(stuck) == ["TRY_AGAIN"] * 12

    gatherer.close()
    busy = [error for one in stuck if isinstance(error := one.exception(), errors.Busy)]
    assert {error.details["attempts"] == 0 for error in busy} == {True, False}


def test_a_text_that_the_server_refuses_stops_nobody_else(gatherer: Gatherer) -> None:
    legs = [Leg("alice", Side.DEBIT, Decimal(1), None), Leg("carol", Side.CREDIT, Decimal(1), None)]
    poison = request(uuid7(), "poison", Kind.TRANSFER, legs)._replace(description="\x00")

    assert told(together(gatherer, transfer("alice", "carol", "1"), poison)) == ["posted", "DATABASE_REFUSED"]


def test_a_database_that_goes_away_is_told_to_all(open_main: Open, funded: Books, conn: Connection) -> None:
    books = open_main(deadline_s=0.5)
    gatherer = Gatherer(lambda: books)
    told([sent(gatherer, transfer("alice", "carol", "1"), US)])
    database = books.database
    database.close()
    database.settings = database.settings.__class__(url="host=/nowhere connect_timeout=1", connect_timeout_s=1)

    outcomes = told(together(gatherer, transfer("alice", "carol", "1"), transfer("bob", "carol", "1")))
    gatherer.close()

    assert outcomes == ["DATABASE_UNAVAILABLE"] * 2


def test_what_was_taken_is_finished_and_nothing_more_is_taken(open_main: Open, funded: Books, conn: Connection) -> None:
    gatherer = Gatherer(open_main)
    futures = together(gatherer, *(transfer("alice", "carol", "1") for _ in range(30)))
    gatherer.close()

    assert told(futures) == ["posted"] * 30
    with pytest.raises(errors.DatabaseUnavailable, match="stopped"):
        sent(gatherer, transfer("alice", "carol", "1"), US)


def test_all_who_are_told_by_the_same_are_told_at_once(gatherer: Gatherer) -> None:
    told_at_once: list[Sequence[tuple[str, Answer]]] = []
    heard = threading.Barrier(2)

    def tell(answers: Sequence[tuple[str, Answer]]) -> None:
        told_at_once.append(answers)
        heard.wait(60)

    with gatherer._changed:
        gatherer.submit(transfer("alice", "carol", "1"), US, "first", tell)
        gatherer.submit(transfer("carol", "alice", "50"), US, "second", tell)
    heard.wait(60)

    [[(first, receipt), (second, refusal)]] = told_at_once
    assert (first, second) == ("first", "second")
    assert isinstance(receipt, Receipt)
    assert isinstance(refusal, errors.InsufficientFunds)


def test_a_thread_waits_for_its_own_answer(gatherer: Gatherer) -> None:
    assert not gatherer.post_one(transfer("alice", "carol", "1"), US).replayed
    with pytest.raises(errors.AccountNotFound):
        gatherer.post_one(transfer("alice", "nobody", "1"), US)


def test_nobody_waits_for_others_for_long(gatherer: Gatherer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many came a moment ago, and one comes now."""
    told(together(gatherer, *(transfer("alice", "carol", "0.01") for _ in range(50))))
    assert gatherer._expected >= 25

    assert told([sent(gatherer, transfer("alice", "carol", "1"), US)]) == ["posted"]


def test_all_or_none(funded: Books, conn: Connection) -> None:
    good, bad = transfer("alice", "carol", "1", "good"), transfer("carol", "alice", "50", "bad")
    with pytest.raises(errors.InsufficientFunds) as refused:
        payments.post_all(replace(funded, actor="caller"), [good, bad])

    assert refused.value.details["number"] == 2
    assert count(conn, "transactions", "idempotency_key = 'good'") == 0
    assert conn.execute("SELECT subject, outcome FROM audit_logs WHERE actor = 'caller'").fetchall() == [
        ("bad", "refused")
    ]
    receipts = payments.post_all(funded, [good, transfer("alice", "bob", "2")])
    assert [receipt.replayed for receipt in receipts] == [False, False]
    assert [receipt.replayed for receipt in payments.post_all(funded, [good._replace(id=uuid7())])] == [True]


def test_of_a_list_that_is_undone_a_key_that_stands_twice_names_no_transaction(funded: Books, conn: Connection) -> None:
    twice = [transfer("alice", "bob", "1", "twice"), transfer("alice", "bob", "2", "twice")]
    with pytest.raises(errors.DuplicateKey) as raised:
        payments.post_all(funded, twice)

    assert raised.value.details == {"key": "twice", "number": 2}
    logged = conn.execute("SELECT detail FROM audit_logs WHERE subject = 'twice'").fetchall()
    assert logged == [({"reason": "DUPLICATE_KEY", "key": "twice"},)]
