"""Balances in Redis: what is read is what the books say, whatever happens to Redis, to who posts, and to who reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from typing import Any

import psycopg
import pytest

from ledgerctl import errors
from ledgerctl.cache.server import Server
from ledgerctl.core import money
from ledgerctl.db import epochs
from ledgerctl.db.connection import Connection
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.ids import uuid7
from ledgerctl.services import balance_changes, balance_reads, import_reversal, importing, payments, setup
from ledgerctl.services.balance_reads import Reader
from ledgerctl.services.books import Books
from ledgerctl.services.import_job import Options
from tests import redis_servers
from tests.redis_servers import Redis
from tests.services.conftest import Open, transfer

STATE = "SELECT state FROM live_epochs WHERE purpose = 'balances'"


@pytest.fixture
def server_(server: str) -> str:
    """Where the databases of all tests are."""
    return server


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance_reads, "PERMIT_S", 0.05)
    monkeypatch.setattr(balance_changes, "WAIT_S", 0.1)
    monkeypatch.setattr(balance_reads, "REST_S", 0.0)


@pytest.fixture
def cached(funded: Books, redis: Redis) -> Iterator[Books]:
    server = Server(redis.url, 0.5)
    yield replace(funded, cache=server)
    server.close()


@pytest.fixture
def reader(open_main: Open, redis: Redis, funded: Books) -> Iterator[Reader]:
    """Another process, which reads from Redis."""
    server = Server(redis.url, 0.5)
    reading = Reader(replace(open_main(), cache=server))
    on(reading)
    yield reading
    server.close()


def on(reader: Reader) -> None:
    """Until balances may be read from Redis; who posts without knowing of it, on all of the server, must end first."""
    reader._ask_again = 0.0
    deadline = time.monotonic() + 60
    while reader._permitted(asked(reader)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def asked(reader: Reader) -> Server:
    assert reader._books.cache is not None
    return reader._books.cache


def read(reader: Reader, code: str) -> str:
    found = reader.balance(code)
    return money.text(found.balance, found.exponent)


def from_redis(reader: Reader, code: str) -> str:
    """The balance, which must not come from the database."""
    on(reader)
    hits = asked(reader).counts["balances", "hit"]
    told = read(reader, code)
    assert asked(reader).counts["balances", "hit"] == hits + 1, "it was read from the database"
    return told


def state(conn: Connection) -> str:
    [[found]] = conn.execute(STATE).fetchall()
    return str(found)


def test_the_second_to_ask_is_answered_by_redis(reader: Reader) -> None:
    assert (read(reader, "alice"), from_redis(reader, "alice")) == ("100.00", "100.00")


def test_an_account_that_is_not_there(reader: Reader) -> None:
    with pytest.raises(errors.AccountNotFound):
        reader.balance("nobody")


def _import(books: Books, options: Options) -> None:
    rows = b"from,to,amount\nalice,carol,1\nbob,carol,2\n"
    importing.run(books, TransferFile(Input("in.csv", BytesIO(rows)), {}, {}), lambda *_: None, options=options)


def _reverse_import(books: Books) -> None:
    _import(books, Options())
    import_reversal.reverse(books, import_reversal.Asked(1), lambda *_: None)
    payments.post_one(books, transfer("alice", "carol", "3"))


def _reverse(books: Books) -> None:
    receipt = payments.post_one(books, transfer("alice", "bob", "3"))
    payments.reverse(books, uuid7(), "undo", receipt.transaction.id, Decimal(2), None)
    payments.post_one(books, transfer("alice", "carol", "3"))


@pytest.mark.parametrize(
    ("change", "carol"),
    [
        (lambda books: payments.post_one(books, transfer("alice", "carol", "3")), "3.00"),
        (lambda books: payments.post(books, [transfer("alice", "carol", "3"), transfer("bob", "carol", "4")]), "7.00"),
        (_reverse, "3.00"),
        (lambda books: _import(books, Options()), "3.00"),
        (lambda books: _import(books, Options(commit_every=1)), "3.00"),
        (_reverse_import, "3.00"),
    ],
    ids=["transfer", "batch", "reversal", "import", "import in pieces", "reversal of an import"],
)
def test_whoever_posts_puts_the_new_balance_there(
    reader: Reader, cached: Books, change: Callable[[Books], object], carol: str
) -> None:
    for code in ("alice", "bob", "carol"):
        read(reader, code)

    change(cached)

    assert from_redis(reader, "carol") == carol
    assert {code: from_redis(reader, code) for code in ("alice", "bob")} == {
        code: str(balance) for code, balance in _in_the_books(cached).items() if code in ("alice", "bob")
    }


def _in_the_books(books: Books) -> dict[str, Decimal]:
    return dict(books.database.connect().execute("SELECT account, balance FROM account_balances").fetchall())


def test_while_a_posting_is_on_its_way_redis_is_not_believed(
    reader: Reader, cached: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the mark replaced by who reads then: the posting commits after that was read."""
    read(reader, "alice")
    marked, go = threading.Event(), threading.Event()
    mark = balance_changes.Change.mark

    def held_up(self: Any, *args: Any) -> None:
        mark(self, *args)
        marked.set()
        go.wait(30)

    monkeypatch.setattr(balance_changes.Change, "mark", held_up)
    posting = threading.Thread(target=payments.post_one, args=(cached, transfer("alice", "carol", "3")))
    posting.start()
    marked.wait(30)
    try:
        on(reader)
        assert [read(reader, "alice"), read(reader, "alice")] == ["100.00", "100.00"]
        assert asked(reader).counts["balances", "hit"] == 0
    finally:
        go.set()
        posting.join()
    assert from_redis(reader, "alice") == "97.00"


def test_the_mark_of_a_posting_that_came_to_nothing_is_replaced(
    reader: Reader, cached: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = balance_changes.Change.mark

    def dies(self: Any, *args: Any) -> None:
        mark(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(balance_changes.Change, "mark", dies)
    with pytest.raises(KeyboardInterrupt):
        payments.post_one(cached, transfer("alice", "carol", "3"))

    on(reader)
    assert (read(reader, "alice"), from_redis(reader, "alice")) == ("100.00", "100.00")


def test_the_mark_of_who_died_after_the_commit_is_replaced(
    reader: Reader, cached: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(reader, "alice")
    monkeypatch.setattr(balance_changes.Change, "settle", lambda _self: None)
    payments.post_one(cached, transfer("alice", "carol", "3"))

    on(reader)
    assert (read(reader, "alice"), from_redis(reader, "alice")) == ("97.00", "97.00")


@pytest.mark.parametrize("again", ["the same request", "resolve"])
def test_a_replay_lets_nothing_older_stand(reader: Reader, cached: Books, open_main: Open, again: str) -> None:
    """Who posted died before he had told Redis, and his mark was lost: what he posted is told now."""
    request = transfer("alice", "carol", "3")
    on(reader)
    read(reader, "alice")
    old = _values(reader)
    payments.post_one(cached, request)
    _put_back(reader, old)
    assert from_redis(reader, "alice") == "100.00"  # nobody who died was told otherwise

    if again == "resolve":
        payments.settled(cached, request)
    else:
        payments.post_one(cached, request)

    on(reader)
    assert read(reader, "alice") == "97.00"


def _values(reader: Reader) -> dict[bytes, bytes]:
    client = asked(reader)._connect()
    return {key: client.get(key) for key in client.keys("*")}  # type: ignore[misc]  # the library's types


def _put_back(reader: Reader, values: dict[bytes, bytes]) -> None:
    client = asked(reader)._connect()
    client.flushall()
    for key, value in values.items():
        client.set(key, value)


def test_a_redis_that_hangs_closes_the_epoch_before_anybody_is_told(
    reader: Reader, cached: Books, redis: Redis, conn: Connection
) -> None:
    read(reader, "alice")
    told: list[str] = []
    cached.database.told = told.append
    redis.pause()

    payments.post_one(cached, transfer("alice", "carol", "3"))

    assert state(conn) == "off"
    [[reason]] = conn.execute("SELECT reason FROM cache_epochs").fetchall()
    assert "Timeout" in reason
    assert told == ["Redis did not confirm: waiting 0.1 s, until nobody reads balances from it, to tell the outcome"]
    assert read(reader, "alice") == "97.00"
    redis.resume()
    on(reader)
    assert (read(reader, "alice"), from_redis(reader, "alice")) == ("97.00", "97.00")


def test_a_redis_that_dies_after_the_commit_closes_the_epoch(
    reader: Reader, cached: Books, redis: Redis, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = balance_changes.Change.settle

    def without_redis(self: Any) -> None:
        redis.kill()
        settle(self)

    monkeypatch.setattr(balance_changes.Change, "settle", without_redis)

    assert not payments.post_one(cached, transfer("alice", "carol", "3")).replayed

    assert state(conn) == "off"
    assert read(reader, "alice") == "97.00"


def test_neither_redis_nor_the_database_confirms(
    reader: Reader, cached: Books, redis: Redis, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = balance_changes.Change.settle

    def alone(self: Any) -> None:
        redis.kill()
        conn.execute("ALTER TABLE cache_epochs ADD CONSTRAINT no_change CHECK (state <> 'closing') NOT VALID")
        settle(self)

    monkeypatch.setattr(balance_changes.Change, "settle", alone)

    with pytest.raises(errors.OutcomeUnknown):
        payments.post_one(cached, transfer("alice", "carol", "3"))


def test_an_interrupt_before_redis_knows_leaves_the_outcome_unknown(
    reader: Reader, cached: Books, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    redis.kill()
    monkeypatch.setattr(time, "sleep", interrupted)

    with pytest.raises(errors.OutcomeUnknown, match="interrupted"):
        payments.post_one(cached, transfer("alice", "carol", "3"))


def test_a_redis_that_was_started_anew_is_another_one(
    reader: Reader, cached: Books, redis: Redis, conn: Connection
) -> None:
    """It still holds what it held: nobody knows what it has lost."""
    read(reader, "alice")
    asked(reader)._connect().save()
    redis.kill()
    redis.start()
    assert read(reader, "alice") == "100.00"
    assert len(_values(reader)) == 1
    on(reader)
    assert read(reader, "alice") == "100.00"
    assert asked(reader).counts["balances", "hit"] == 0

    payments.post_one(cached, transfer("alice", "carol", "3"))

    assert state(conn) == "off"
    on(reader)
    assert (read(reader, "alice"), from_redis(reader, "alice")) == ("97.00", "97.00")


def test_who_posts_without_redis_closes_the_epoch(reader: Reader, funded: Books, conn: Connection) -> None:
    read(reader, "alice")

    payments.post_one(funded, transfer("alice", "carol", "3"))

    assert state(conn) == "off"
    [[reason]] = conn.execute("SELECT reason FROM cache_epochs").fetchall()
    assert reason == "a command without [redis] url posted (ledgerctl)"
    assert read(reader, "alice") == "97.00"


def test_who_changes_very_many_accounts_closes_the_epoch(
    reader: Reader, cached: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balance_changes, "ACCOUNTS_MAX", 2)

    payments.post(cached, [transfer("alice", "carol", "3"), transfer("bob", "carol", "3")])

    assert state(conn) == "off"
    assert read(reader, "carol") == "6.00"


def test_an_epoch_waits_for_those_who_post_without_knowing_of_it(
    open_main: Open, funded: Books, redis: Redis, conn: Connection
) -> None:
    """They have looked, there was none, and they will not mark what they are about to commit."""
    late, reading = open_main(), Reader(replace(open_main(), cache=Server(redis.url, 0.5)))
    looked, go = threading.Event(), threading.Event()

    def unknowing(transaction: Connection) -> None:
        transaction.execute("SELECT FROM accounts WHERE code = 'alice' FOR NO KEY UPDATE")
        assert transaction.execute("SELECT pg_current_xact_id(), * FROM live_epochs").fetchone() is None
        looked.set()
        go.wait(30)

    posting = threading.Thread(target=late.database.transact, args=(unknowing,))
    posting.start()
    looked.wait(30)
    try:
        for _ in range(5):
            read(reading, "alice")
            time.sleep(0.06)
        assert state(conn) == "waiting"
    finally:
        go.set()
        posting.join()
    on(reading)
    assert state(conn) == "on"


def test_an_epoch_that_came_with_a_dump_is_not_believed(reader: Reader, conn: Connection) -> None:
    read(reader, "alice")
    assert state(conn) == "on"
    columns = "ledger_id, purpose, id, state, instance, secret, server_started_at, written_by, file, changed_at"

    conn.execute("CREATE TEMPORARY TABLE dump AS SELECT * FROM cache_epochs; DELETE FROM cache_epochs")
    conn.execute(f"INSERT INTO cache_epochs ({columns}) SELECT {columns} FROM dump".encode())

    assert state(conn) == "closing"


def test_the_epoch_of_a_database_that_was_copied_is_not_believed_in_the_copy(
    reader: Reader, funded: Books, conn: Connection, server_: str
) -> None:
    """Not even where nothing was started anew: two databases must not speak for one another."""
    name = conn.info.dbname
    for books in (reader._books, funded):
        books.database.close()
    conn.close()
    with psycopg.connect(server_, autocommit=True) as beside:
        beside.execute(f"CREATE DATABASE copy_of_{name} TEMPLATE {name} STRATEGY file_copy".encode())
        try:
            with psycopg.connect(server_, dbname=f"copy_of_{name}") as copy:
                assert copy.execute(STATE).fetchall() == [("closing",)]
        finally:
            beside.execute(f"DROP DATABASE copy_of_{name}".encode())
    assert funded.database.connect().execute(STATE).fetchall() == [("on",)]


def test_an_epoch_is_closed_when_its_redis_gets_a_replica(
    reader: Reader, cached: Books, redis: Redis, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledgerctl.cache.server.LOOK_S", 0.0)
    read(reader, "alice")
    with redis_servers.replica(redis):
        on(reader)
        assert read(reader, "alice") == "100.00"
        assert asked(reader).counts["balances", "hit"] == 0
        payments.post_one(cached, transfer("alice", "carol", "3"))
        assert state(conn) == "off"


def test_an_epoch_of_a_server_that_was_started_since_is_not_believed(reader: Reader, conn: Connection) -> None:
    conn.execute("UPDATE cache_epochs SET server_started_at = server_started_at - interval '1 s', written_by = default")

    assert state(conn) == "closing"
    on(reader)  # and who reads begins another
    assert state(conn) == "on"


@pytest.mark.parametrize(
    "value",
    [b"", b"v", b"v9:", b"l", b"m1", b"\xff" * 200, b'v9:%b["liability", "EUR", 2, "100", 9]' % (b"0" * 64)],
)
def test_what_is_not_ours_is_not_believed_and_goes(reader: Reader, value: bytes) -> None:
    read(reader, "alice")
    [name] = _values(reader)
    asked(reader)._connect().set(name, value)

    on(reader)
    read(reader, "alice")
    if value == b"l":  # taken for somebody who is on his way; he has three seconds
        asked(reader)._connect().delete(name)
    assert (read(reader, "alice"), from_redis(reader, "alice")) == ("100.00", "100.00")


def test_the_value_of_another_account_or_with_another_number_is_not_believed(reader: Reader) -> None:
    read(reader, "alice")
    [first] = _values(reader)
    read(reader, "bank")
    client, values = asked(reader)._connect(), _values(reader)
    [second] = set(values) - {first}
    client.set(first, values[second])
    client.set(second, values[second].replace(b"v0:", b"v7:"))

    on(reader)
    assert (read(reader, "alice"), reader.balance("bank").seq) == ("100.00", 0)
    assert asked(reader).counts["balances", "hit"] == 0


def test_one_reader_at_a_time_puts_a_balance_there(reader: Reader, open_main: Open, redis: Redis) -> None:
    """And only if nothing happened since he found nothing there."""
    other = Reader(replace(open_main(), cache=Server(redis.url, 0.5)))
    on(other)
    on(reader)
    ask = Reader._read

    def meanwhile(self: Reader, code: str, writer: int | None) -> Any:
        answer = ask(self, code, writer)
        if self is reader:
            assert read(other, code) == "100.00"
            assert [value[:1] for value in _values(reader).values()] == [b"l"]
            asked(other)._connect().flushall()
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "_read", meanwhile)
        read(reader, "alice")

    assert _values(reader) == {}


def test_a_permit_that_ran_out_while_redis_was_asked_is_none(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    read(reader, "alice")
    on(reader)
    assert reader._permit is not None
    monkeypatch.setattr(balance_reads, "now", iter([reader._permit.until - 0.01, reader._permit.until + 5]).__next__)

    read(reader, "alice")

    assert asked(reader).counts["balances", "hit"] == 0


def test_while_an_epoch_closes_nobody_is_told_before_the_wait(reader: Reader, cached: Books, conn: Connection) -> None:
    """Whoever closed it may have died before he had waited."""
    told: list[str] = []
    cached.database.told = told.append
    conn.execute("UPDATE cache_epochs SET state = 'closing', written_by = pg_current_xact_id()")

    payments.post_one(cached, transfer("alice", "carol", "3"))

    assert (len(told), state(conn)) == (1, "off")


def test_who_reads_ends_a_closing_epoch_not_before_the_wait(
    reader: Reader, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balance_changes, "WAIT_S", 3600)
    conn.execute("UPDATE cache_epochs SET state = 'closing', written_by = pg_current_xact_id()")
    for _ in range(3):
        reader._ask_again = 0.0
        read(reader, "alice")
    assert state(conn) == "closing"

    monkeypatch.setattr(balance_changes, "WAIT_S", 0)
    on(reader)
    assert state(conn) == "on"


def test_an_epoch_in_force_is_neither_followed_nor_ended(reader: Reader, books: Books, conn: Connection) -> None:
    """By somebody who looked a moment ago, when it was not."""
    [[before]] = conn.execute("SELECT id FROM live_epochs").fetchall()

    assert books.database.transact(epochs.arm, books.ledger, "another", 0.0) is None
    books.database.transact(epochs.end, books.ledger, before)

    assert (conn.execute("SELECT id FROM live_epochs").fetchall(), state(conn)) == ([(before,)], "on")


def test_an_epoch_that_was_closed_is_not_followed_at_once(reader: Reader, books: Books, conn: Connection) -> None:
    conn.execute("UPDATE cache_epochs SET state = 'off', changed_at = clock_timestamp()")

    assert books.database.transact(epochs.arm, books.ledger, "another", 60.0) is None
    assert books.database.transact(epochs.arm, books.ledger, "another", 0.0) is not None


def test_no_epoch_begins_in_a_redis_that_may_lose_what_it_confirmed(
    funded: Books, open_main: Open, redis: Redis, conn: Connection
) -> None:
    with redis_servers.replica(redis):
        reading = Reader(replace(open_main(), cache=Server(redis.url, 0.5)))
        assert read(reading, "alice") == "100.00"
    assert conn.execute(STATE).fetchall() == []


def test_who_may_only_read_reads_and_begins_no_epoch(
    funded: Books, open_main: Open, redis: Redis, conn: Connection
) -> None:
    setup.create_roles(funded.database)
    books = replace(open_main(), cache=Server(redis.url, 0.5))
    books.database.connect().execute("SET ROLE ledger_ro")

    assert read(Reader(books), "alice") == "100.00"
    assert conn.execute(STATE).fetchall() == []


def test_the_command_reads_from_redis_when_told_to(
    ledgerctl: Callable[..., Any], funded: Books, redis: Redis, conn: Connection
) -> None:
    settings = {
        "LEDGERCTL_REDIS_URL": redis.url,
        "LEDGERCTL_REDIS_BALANCES": "true",
        "LEDGERCTL_REDIS_TIMEOUT_MS": "500",
    }

    first = ledgerctl("balance", "alice", "-o", "json", **settings)
    deadline = time.monotonic() + 60
    while state(conn) != "on" and time.monotonic() < deadline:
        ledgerctl("balance", "alice", **settings)
    ledgerctl("transfer", "alice", "carol", "1.50", **settings)
    second = ledgerctl("balance", "alice", "-o", "json", **settings)
    branch = ledgerctl("balance", "nobody", **settings)

    assert ('"balance": "100.00"' in first.out, '"balance": "98.50"' in second.out, branch.code) == (True, True, 4)
    assert state(conn) == "on"


def test_a_url_that_is_none_is_a_wrong_setting(ledgerctl: Callable[..., Any], funded: Books) -> None:
    done = ledgerctl("balance", "alice", LEDGERCTL_REDIS_URL="http://secret@x", LEDGERCTL_REDIS_BALANCES="true")

    assert done.code == 78
    assert "redis.url" in done.err
    assert "secret" not in done.err


def test_the_secret_is_long_and_new_each_time(reader: Reader, conn: Connection) -> None:
    [[first]] = conn.execute("SELECT secret FROM cache_epochs").fetchall()
    conn.execute("UPDATE cache_epochs SET state = 'off'")
    on(reader)
    [[second]] = conn.execute("SELECT secret FROM cache_epochs").fetchall()

    assert (len(first), len(second), first == second) == (32, 32, False)


def test_redis_holds_neither_codes_nor_words(reader: Reader, cached: Books) -> None:
    payments.post_one(cached, transfer("alice", "carol", "3", "key-canary", description="canary", reference="canary"))
    read(reader, "alice")

    held = b" ".join(part for pair in _values(reader).items() for part in pair)

    assert held
    assert [word for word in (b"alice", b"carol", b"canary") if word in held] == []


def test_a_dry_run_touches_nothing(reader: Reader, cached: Books) -> None:
    read(reader, "alice")
    before = _values(reader)

    payments.post_one(cached, transfer("alice", "carol", "3"), dry_run=True)

    assert _values(reader) == before
