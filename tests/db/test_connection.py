"""Whole transactions: what is tried again, what is given up, and what a lost answer to COMMIT comes to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledgerctl import config, errors
from ledgerctl.core.model import NewAccount
from ledgerctl.core.requesting import transfer
from ledgerctl.db import constraints
from ledgerctl.db.connection import Connection, Database
from ledgerctl.db.pipeline import Executor
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments
from ledgerctl.services.books import Books, open_books
from tests.conftest import database_at

Open = Callable[..., Database]


@pytest.fixture
def open_(conninfo: str, conn: Connection) -> Iterator[Open]:
    """Opens databases over a table `tally` with two rows."""
    conn.execute("CREATE TABLE tally (id int PRIMARY KEY, n int NOT NULL)")
    conn.execute("INSERT INTO tally VALUES (1, 0), (2, 0)")
    opened: list[Database] = []

    def open_one(**settings: object) -> Database:
        opened.append(database_at(conninfo, **settings))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


def add(conn: Executor, row: int = 1) -> None:
    conn.execute("UPDATE tally SET n = n + 1 WHERE id = %s", [row])


def tally(conn: Executor) -> list[int]:
    return [n for (n,) in conn.execute("SELECT n FROM tally ORDER BY id").fetchall()]


def test_what_was_done_is_committed_together(open_: Open, conn: Connection) -> None:
    def both(conn: Executor) -> str:
        add(conn, 1)
        add(conn, 2)
        return "done"

    assert open_().transact(both) == "done"
    assert tally(conn) == [1, 1]


def test_an_exception_undoes_all_and_leaves_the_connection_usable(open_: Open, conn: Connection) -> None:
    def half(conn: Executor) -> None:
        add(conn, 1)
        raise errors.AccountNotFound(account="x")

    database = open_()
    with pytest.raises(errors.AccountNotFound):
        database.transact(half)

    assert tally(conn) == [0, 0]
    database.transact(add)
    assert tally(conn) == [1, 0]


def test_a_lock_is_waited_for_until_the_deadline_and_then_given_up(open_: Open, conn: Connection) -> None:
    with conn.transaction():
        add(conn)
        with pytest.raises(errors.Busy) as raised:
            open_(lock_timeout_ms=50, deadline_s=3.0, retry_attempts=1).transact(add)

    assert raised.value.details["attempts"] > 1
    assert tally(conn) == [1, 0]


def test_a_lock_that_comes_free_in_time_is_no_error(open_: Open, conn: Connection) -> None:
    holding, release = threading.Event(), threading.Event()

    def hold(conn: Executor) -> None:
        add(conn)
        conn.execute("SELECT 1").fetchall()
        holding.set()
        release.wait(10)

    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(open_().transact, hold)
        holding.wait(10)
        threading.Timer(0.3, release.set).start()
        open_(lock_timeout_ms=50).transact(add)
        holder.result()

    assert tally(conn) == [2, 0]


def test_a_deadlock_is_run_again(open_: Open, conn: Connection) -> None:
    meet = threading.Barrier(2, timeout=10)
    met: set[int] = set()

    def cross(conn: Executor, first: int, second: int) -> None:
        conn.execute("UPDATE tally SET n = n + 1 WHERE id = %s RETURNING n", [first]).fetchall()
        if first not in met:  # only the first attempts cross; the loser's second has the rows to itself
            met.add(first)
            meet.wait()
        conn.execute("UPDATE tally SET n = n + 1 WHERE id = %s RETURNING n", [second]).fetchall()

    with ThreadPoolExecutor(2) as pool:
        one, two = open_(), open_()
        for done in [pool.submit(lambda: one.transact(cross, 1, 2)), pool.submit(lambda: two.transact(cross, 2, 1))]:
            done.result()

    assert tally(conn) == [2, 2]


def test_a_connection_lost_before_the_commit_is_run_again(open_: Open, conn: Connection) -> None:
    attempts = []

    def work(own: Executor) -> None:
        add(own)
        attempts.append(own.execute("SELECT pg_backend_pid()").fetchall()[0][0])
        if len(attempts) == 1:
            conn.execute("SELECT pg_terminate_backend(%s, 5000)", attempts)
            own.execute("SELECT 1").fetchall()

    open_().transact(work)

    assert len(attempts) == 2
    assert tally(conn) == [1, 0]


def lose_the_answer(conn: Connection, when: str) -> None:
    """The server ends the session at a COMMIT that touched the tally: the client cannot know what became of it."""
    conn.execute(f"""
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF {when} THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
                PERFORM pg_sleep(5);
            END IF;
            RETURN NULL;
        END $$
    """)
    conn.execute("""
        CREATE CONSTRAINT TRIGGER lose AFTER UPDATE ON tally DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION lose()
    """)


def test_a_lost_answer_to_commit_is_settled_by_asking_again(open_: Open, conn: Connection) -> None:
    lose_the_answer(conn, "NEW.n = 1 AND current_setting('application_name') = 'first'")
    database = open_()
    database.application = "first"
    attempts = []

    def once(own: Executor) -> str:
        """As posting does it: look for the key first."""
        attempts.append(1)
        database.application = "again"
        if own.execute("SELECT n FROM tally WHERE id = 1 FOR UPDATE").fetchall() == [(1,)]:
            return "replayed"
        add(own)
        return "posted"

    assert database.transact(once) == "posted"

    assert len(attempts) == 2
    assert tally(conn) == [1, 0]


def test_an_outcome_that_cannot_be_settled_is_said_to_be_unknown(open_: Open, conn: Connection) -> None:
    lose_the_answer(conn, "true")

    with pytest.raises(errors.OutcomeUnknown):
        open_(deadline_s=0.7, idle_timeout_ms=1000).transact(add)


def test_a_commit_that_was_a_rollback_is_noticed(open_: Open, conn: Connection) -> None:
    """COMMIT in a transaction that an error has ended answers ROLLBACK, and the driver raises nothing."""

    def swallow(conn: Executor) -> None:
        add(conn)
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.execute("SELECT 1 / 0")

    database = open_()
    with pytest.raises(errors.DatabaseRefused, match="ROLLBACK"):
        database.transact_at_length(database.limits, swallow)

    assert tally(conn) == [0, 0]


def test_a_rehearsal_runs_everything_and_keeps_nothing(open_: Open, conn: Connection) -> None:
    def work(conn: Executor) -> list[int]:
        add(conn)
        return tally(conn)

    database = open_()

    assert database.rehearse(database.limits, work) == [1, 0]
    assert tally(conn) == [0, 0]


def test_a_snapshot_does_not_see_what_is_committed_meanwhile_and_writes_nothing(open_: Open, conn: Connection) -> None:
    def look(own: Connection) -> list[list[int]]:
        first = tally(own)
        add(conn)
        return [first, tally(own)]

    database = open_()

    assert database.snapshot(look) == [[0, 0], [0, 0]]
    with pytest.raises(errors.DatabaseUnavailable):
        database.snapshot(add)
    assert tally(conn) == [1, 0]


def test_a_database_that_defaults_to_reading_and_to_another_isolation_is_written_all_the_same(
    open_: Open, conn: Connection
) -> None:
    for setting in ("default_transaction_read_only = on", "default_transaction_isolation = 'serializable'"):
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET {setting}".encode())

    open_().transact(add)

    assert tally(conn) == [1, 0]


def test_a_server_that_is_away_is_unavailable_and_no_secret_is_told() -> None:
    dead = Database(config.Database(url="host=/nonexistent password=canary user=u dbname=d"), None)

    with pytest.raises(errors.DatabaseUnavailable) as raised:
        dead.connect()
    assert "canary" not in str(raised.value)


def test_what_is_no_conninfo_is_a_wrong_configuration_and_no_secret_is_told() -> None:
    wrong = Database(config.Database(url="password=canary nonsense"), None)

    with pytest.raises(errors.BadConfig) as raised:
        wrong.connect()
    assert "canary" not in str(raised.value)


def test_a_commit_that_was_a_rollback_is_noticed_in_a_pipeline_too(open_: Open, conn: Connection) -> None:
    def swallow(conn: Executor) -> None:
        add(conn)
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.execute("SELECT 1 / 0").fetchall()

    database = open_()
    with pytest.raises(errors.LedgerError):
        database.transact(swallow)

    assert tally(conn) == [0, 0]
    database.transact(add)
    assert tally(conn) == [1, 0]


def test_a_lost_race_for_a_key_is_run_again_and_another_duplicate_is_not(open_: Open, conn: Connection) -> None:
    conn.execute("CREATE TABLE race (key int)")
    conn.execute(f"CREATE UNIQUE INDEX race_{constraints.IDEMPOTENCY_KEY} ON race (key)".encode())
    conn.execute("CREATE SCHEMA aside")
    conn.execute(f"CREATE TABLE aside.t (key int CONSTRAINT {constraints.IDEMPOTENCY_KEY} UNIQUE)".encode())
    attempts = []

    def insert(own: Executor, table: str) -> str:
        attempts.append(table)
        taken = own.execute(f"SELECT 1 FROM {table}".encode()).fetchall()
        if taken:
            return "replayed"
        conn.execute(f"INSERT INTO {table} VALUES (1)".encode())  # somebody else, a moment earlier
        own.execute(f"INSERT INTO {table} VALUES (1)".encode())
        return "posted"

    assert open_().transact(insert, "aside.t") == "replayed"
    with pytest.raises(errors.DatabaseRefused):
        open_().transact(insert, "race")

    assert attempts == ["aside.t", "aside.t", "race"]


def test_a_race_that_is_always_lost_is_busy_after_so_many_attempts(open_: Open, conn: Connection) -> None:
    conn.execute("CREATE SCHEMA aside")
    conn.execute(f"CREATE TABLE aside.t (key int CONSTRAINT {constraints.IDEMPOTENCY_KEY} UNIQUE)".encode())
    conn.execute("INSERT INTO aside.t VALUES (1)")

    with pytest.raises(errors.Busy) as raised:
        open_(retry_attempts=3).transact(lambda own: own.execute("INSERT INTO aside.t VALUES (1)") and None)

    assert raised.value.details["attempts"] == 3


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:canary@127.0.0.1:1/d", "host=127.0.0.1 port=1 password=canary", "host=/nowhere password=canary"],
)
def test_a_dead_socket_is_unavailable_without_the_password_and_at_once(url: str) -> None:
    with pytest.raises(errors.DatabaseUnavailable) as raised:
        database_at(url).transact(add)

    assert "canary" not in str(raised.value.as_json())


@pytest.mark.parametrize(
    "url", ["nonsense", "postgresql://u:canary%zz@h/d", "password='canary", "postgresql://u:canary@h/d?no=canary"]
)
def test_a_malformed_conninfo_is_a_wrong_configuration(url: str) -> None:
    with pytest.raises(errors.BadConfig) as raised:
        database_at(url).connect()

    assert "canary" not in str(raised.value.as_json())


def test_a_password_with_a_bare_at_sign_is_not_told() -> None:
    with pytest.raises(errors.LedgerError) as raised:
        database_at("postgresql://u:one@canary@nowhere.invalid/d").connect()

    assert "canary" not in str(raised.value.as_json())


@pytest.fixture
def paid(open_main: Callable[..., Books]) -> Books:
    books = open_main()
    floorless = [NewAccount(code, "equity", "EUR", 2, None, None, None, None) for code in ("a", "b")]
    accounts.create(books, floorless)
    return books


def written(conn: Connection) -> list[tuple[int, int, int]]:
    """How many transactions, entries and lines of postings there are."""
    return conn.execute("""
        SELECT (SELECT count(*) FROM transactions), (SELECT count(*) FROM transaction_entries),
               (SELECT count(*) FROM audit_logs WHERE action = 'transfer' AND outcome = 'posted')
    """).fetchall()


def test_a_posting_whose_commit_ends_the_session_is_posted_once(paid: Books, conn: Connection) -> None:
    conn.execute("CREATE SEQUENCE commits")  # a sequence is not rolled back, so only the first commit is hit
    conn.execute("""
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('commits') = 1 THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
                PERFORM pg_sleep(5);
            END IF;
            RETURN NULL;
        END $$
    """)
    conn.execute("""
        CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON transactions DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION lose()
    """)

    receipt = payments.post_one(paid, transfer(uuid7(), "k", "a", "b", Decimal(5)))

    assert not receipt.replayed
    assert written(conn) == [(1, 2, 1)]


class Wire:
    """A socket before the server's that passes everything, but for the first answer to a COMMIT once `cut` is set."""

    def __init__(self, directory: Path, server: str) -> None:
        self.cut = False
        self.cuts = 0
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / ".s.PGSQL.5432"))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                for source, target, answers in ((client, server, False), (server, client, True)):
                    thread = threading.Thread(target=self._pass, args=(source, target, answers), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if answers and self.cut and b"COMMIT\0" in data:
                    self.cut = False
                    self.cuts += 1
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()  # each direction closes its own source


@pytest.fixture
def wire(conninfo: str, directory: Path) -> Iterator[Wire]:
    given = conninfo_to_dict(conninfo)
    wire = Wire(directory, f"{given['host']}/.s.PGSQL.{given['port']}")
    yield wire
    wire.close()


def test_a_commit_that_was_made_and_whose_answer_was_lost_is_found_and_not_made_again(
    paid: Books, conninfo: str, directory: Path, wire: Wire, conn: Connection
) -> None:
    database = database_at(make_conninfo(conninfo, host=str(directory), port="5432"))
    books = open_books(database, "main", "tester", "request-1")
    wire.cut = True

    receipt = payments.post_one(books, transfer(uuid7(), "k", "a", "b", Decimal(5)))
    database.close()

    assert (wire.cuts, receipt.replayed) == (1, False)
    assert written(conn) == [(1, 2, 1)]
    assert conn.execute("SELECT id FROM transactions").fetchall() == [(receipt.transaction.id,)]
