"""Requests of many callers in one transaction: each has its own outcome, and its own line in the audit log."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from decimal import Decimal

import pytest

from ledgerctl import errors
from ledgerctl.core.model import Kind, Leg, Side
from ledgerctl.core.requesting import request
from ledgerctl.db.audit import By
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import payments
from ledgerctl.services.books import Books
from ledgerctl.services.gathering import Gatherer
from ledgerctl.services.payments import Receipt
from tests.services.conftest import Open, balances, count, transfer

US = By("caller", "request-7", None)


@pytest.fixture
def gatherer(open_main: Open, funded: Books) -> Iterator[Gatherer]:
    made = Gatherer(lambda: open_main(lock_timeout_ms=300, deadline_s=1.0), posters=1)
    yield made
    made.close()


def together(gatherer: Gatherer, *requests: object) -> list[Future[Receipt]]:
    """All of them while nobody posts, so that they share a transaction."""
    with gatherer._changed:
        return [gatherer.submit(one, US) for one in requests]  # type: ignore[arg-type]  # of Request


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
            gatherer.submit(transfer("alice", "carol", "1"), US),
            gatherer.submit(transfer("carol", "bob", "9"), others),
        ]
    told(futures)

    lines = conn.execute(
        "SELECT actor, request_id, trace_id, outcome FROM audit_logs"
        " WHERE actor IN ('caller', 'somebody') ORDER BY actor DESC"
    )
    assert lines.fetchall() == [(*others, "refused"), (*US, "posted")]


def test_many_threads_lose_and_double_nothing(open_main: Open, funded: Books, conn: Connection) -> None:
    gatherer = Gatherer(open_main)
    outcomes: list[str] = []

    def client(number: int) -> None:
        for n in range(20):
            key = f"{number // 2}:{n}"  # two threads send the same
            outcomes.extend(told([gatherer.submit(transfer("alice", "bob", "0.01", key), US)]))

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


def test_a_text_that_the_server_refuses_stops_nobody_else(gatherer: Gatherer) -> None:
    legs = [Leg("alice", Side.DEBIT, Decimal(1), None), Leg("carol", Side.CREDIT, Decimal(1), None)]
    poison = request(uuid7(), "poison", Kind.TRANSFER, legs)._replace(description="\x00")

    assert told(together(gatherer, transfer("alice", "carol", "1"), poison)) == ["posted", "DATABASE_REFUSED"]


def test_a_database_that_goes_away_is_told_to_all(open_main: Open, funded: Books, conn: Connection) -> None:
    books = open_main(deadline_s=0.5)
    gatherer = Gatherer(lambda: books, posters=1)
    told([gatherer.submit(transfer("alice", "carol", "1"), US)])
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
        gatherer.submit(transfer("alice", "carol", "1"), US)


def test_who_goes_away_stops_nobody_else(gatherer: Gatherer, conn: Connection) -> None:
    """Before his request is taken it is not posted; afterwards it is, and nobody is told."""
    with gatherer._changed:
        gone = gatherer.submit(transfer("alice", "carol", "7", "gone"), US)
        stays = gatherer.submit(transfer("alice", "carol", "1"), US)
        assert gone.cancel()

    assert told([stays]) == ["posted"]
    assert not stays.cancel()
    alone = gatherer.submit(transfer("alice", "carol", "1"), US)
    assert told([alone, gatherer.submit(transfer("alice", "carol", "1"), US)]) == ["posted", "posted"]
    assert count(conn, "transactions", "idempotency_key = 'gone'") == 0


def test_nobody_waits_for_others_for_long(gatherer: Gatherer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many came a moment ago, and one comes now."""
    told(together(gatherer, *(transfer("alice", "carol", "0.01") for _ in range(50))))
    assert gatherer._expected == 50

    assert told([gatherer.submit(transfer("alice", "carol", "1"), US)]) == ["posted"]


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
