"""Repeats that Redis answers: the same words as the database's, and only for what was posted for sure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from ledgerctl import errors
from ledgerctl.cache.server import Server
from ledgerctl.core import requesting
from ledgerctl.core.model import Kind, Leg, Request, Side
from ledgerctl.db.connection import Connection
from ledgerctl.formats import objects
from ledgerctl.ids import uuid7
from ledgerctl.services import balance_reads, payments
from ledgerctl.services.books import Books
from ledgerctl.services.known_outcomes import KnownOutcomes
from tests.redis_servers import Redis
from tests.services.conftest import Open, transfer


@pytest.fixture
def served(funded: Books, redis: Redis) -> Iterator[Books]:
    """As a server opens the books."""
    cache = Server(redis.url, 0.5)
    yield replace(funded, cache=cache, outcomes=KnownOutcomes(funded.database, funded.ledger, cache))
    cache.close()


def counts(books: Books) -> dict[str, int]:
    assert books.cache is not None
    return {result: number for (use, result), number in books.cache.counts.items() if use == "outcomes"}


def again(request: Request) -> Request:
    """Sent by somebody else."""
    return request._replace(id=uuid7())


def journal(key: str = "fees") -> Request:
    legs = [
        Leg("alice", Side.DEBIT, Decimal(5), None),
        Leg("carol", Side.CREDIT, Decimal(3), None),
        Leg("bob", Side.CREDIT, Decimal(1), "EUR"),
        Leg("carol", Side.CREDIT, Decimal(1), None),
    ]
    return requesting.request(uuid7(), key, Kind.JOURNAL, legs, description="split")


@pytest.mark.parametrize(
    "request_",
    [
        transfer("alice", "carol", "3", "k", description="d", reference="r", metadata={"a": "b"}),
        journal(),
        transfer("bank", "alice", "3.50", "k"),
    ],
    ids=["transfer", "journal", "opposite sides"],
)
def test_a_replay_reads_the_same_with_redis_and_without(served: Books, funded: Books, request_: Request) -> None:
    posted = payments.post_one(served, request_)

    from_redis = payments.post_one(served, again(request_))
    from_books = payments.post_one(funded, again(request_))

    assert counts(served) == {"miss": 1, "hit": 1}
    assert (posted.replayed, from_redis.replayed, from_books.replayed) == (False, True, True)
    assert objects.posted(from_redis.transaction, "replayed") == objects.posted(from_books.transaction, "replayed")
    assert from_redis.transaction == from_books.transaction


def test_a_replay_needs_no_transaction(served: Books, conn: Connection) -> None:
    """It is answered while somebody else has the account locked."""
    request = transfer("alice", "carol", "3")
    payments.post_one(served, request)
    with conn.transaction():
        conn.execute("SELECT FROM accounts FOR UPDATE")
        assert payments.post_one(served, again(request)).replayed
    assert counts(served) == {"miss": 1, "hit": 1}


def test_a_replay_that_the_database_answered_is_kept_for_the_next(served: Books, funded: Books) -> None:
    request = transfer("alice", "carol", "3")
    payments.post_one(funded, request)
    for _ in range(2):
        assert payments.post_one(served, again(request)).replayed
    assert counts(served) == {"miss": 1, "hit": 1}


def test_another_payload_under_the_key_is_for_the_database(served: Books) -> None:
    payments.post_one(served, transfer("alice", "carol", "3", "key"))

    with pytest.raises(errors.IdempotencyConflict):
        payments.post_one(served, transfer("alice", "carol", "4", "key"))

    assert counts(served) == {"miss": 1, "mismatch": 1}


def test_what_was_refused_is_not_kept(served: Books, funded: Books) -> None:
    request = transfer("carol", "alice", "3")
    with pytest.raises(errors.InsufficientFunds):
        payments.post_one(served, request)
    payments.post_one(funded, transfer("alice", "carol", "10"))

    assert not payments.post_one(served, again(request)).replayed


def test_a_dry_run_neither_asks_nor_keeps(served: Books) -> None:
    request = transfer("alice", "carol", "3")
    payments.post_one(served, request, dry_run=True)
    assert not payments.post_one(served, again(request)).replayed


def test_forged_and_exchanged_outcomes_are_not_believed(served: Books) -> None:
    """Redis says that it was posted; it was not."""
    posted, other = transfer("alice", "carol", "3", "posted"), transfer("alice", "carol", "3", "other")
    payments.post_one(served, posted)
    assert served.cache is not None
    client = served.cache._connect()
    [name] = client.keys("*")
    value = client.get(name)
    assert isinstance(value, bytes)
    assert served.outcomes is not None and served.outcomes._kept is not None
    client.set(served.outcomes._kept._name(other), value)

    assert not payments.post_one(served, again(other)).replayed
    client.set(name, value.replace(b'"300"', b'"900"'))
    assert payments.post_one(served, again(posted)).transaction.lines[0].amount == -300
    assert counts(served) == {"miss": 1, "mismatch": 2}


@pytest.mark.parametrize("trouble", ["kill", "pause"])
def test_without_redis_the_database_answers(served: Books, redis: Redis, trouble: str) -> None:
    request = transfer("alice", "carol", "3")
    payments.post_one(served, request)
    getattr(redis, trouble)()

    assert payments.post_one(served, again(request)).replayed
    assert not payments.post_one(served, transfer("alice", "carol", "3")).replayed


def test_a_list_asks_redis_once_and_keeps_all_at_once(served: Books) -> None:
    known = [transfer("alice", "carol", "1"), transfer("alice", "carol", "2")]
    payments.post_each(served, known)
    assert served.cache is not None
    client = served.cache._connect()
    before = client.info("commandstats")
    refused = transfer("alice", "carol", "100000")

    answers = payments.post_each(served, [again(known[0]), transfer("alice", "carol", "3"), refused, again(known[1])])

    after = client.info("commandstats")
    asked = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert (asked["cmdstat_mget"], asked["cmdstat_set"], asked.get("cmdstat_get", 0)) == (1, 1, 0)
    assert [answer.replayed if isinstance(answer, payments.Receipt) else answer.code for answer in answers] == [
        True, False, "INSUFFICIENT_FUNDS", True,
    ]  # fmt: skip
    ids = [answer.transaction.id for answer in answers if isinstance(answer, payments.Receipt)]
    assert (ids[0], ids[2]) == (known[0].id, known[1].id)


def test_no_outcome_outlives_a_restore(served: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The books are of an earlier time, and so is what they say of Redis; the transaction is not in them."""
    monkeypatch.setattr("ledgerctl.services.known_outcomes.PERMIT_S", 0.0)
    request = transfer("alice", "carol", "3")
    payments.post_one(served, request)
    columns = "ledger_id, purpose, id, state, instance, secret, server_started_at, written_by, file, changed_at"
    conn.execute("CREATE TEMPORARY TABLE dump AS SELECT * FROM cache_epochs; DELETE FROM cache_epochs")
    conn.execute(f"INSERT INTO cache_epochs ({columns}) SELECT {columns} FROM dump".encode())

    payments.post_one(served, again(request))

    assert counts(served) == {"miss": 2}


def test_a_permit_that_ran_out_while_redis_was_asked_is_none(served: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    request = transfer("alice", "carol", "3")
    payments.post_one(served, request)
    assert served.outcomes is not None
    start = balance_reads.now()
    monkeypatch.setattr("ledgerctl.services.known_outcomes.now", iter([start, start + 60]).__next__)
    served.outcomes._until = start + 1

    assert served.outcomes.find([again(request)]) == [None]


def test_who_may_only_read_goes_without(served: Books, open_main: Open, redis: Redis) -> None:
    books = open_main()
    books.database.connect().execute("SET default_transaction_read_only = on; SET ROLE pg_read_all_data")
    reading = KnownOutcomes(books.database, books.ledger, Server(redis.url, 0.5))

    assert reading.find([transfer("alice", "carol", "3")]) == [None]
