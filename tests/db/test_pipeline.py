"""Statements that travel together: what comes back is what a cursor of the driver says, and an error is never lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, socket
from threading import Event, Thread
from time import sleep
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors as pg
from psycopg import sql
from psycopg.pq import TransactionStatus

from ledgerctl.db.answers import WatchedConnection
from ledgerctl.db.connection import Connection, Database
from ledgerctl.db.pipeline import PREPARED_MAX, Executor
from tests.conftest import database_at

PREPARED = "SELECT statement FROM pg_prepared_statements WHERE name LIKE 'ledgerctl%' ORDER BY prepare_time"
VALUES = [
    None,
    True,
    7,
    -(2**40),
    2**70,
    Decimal("-12.3400"),
    "plain",
    "naïve 'quoted' \\ \n 100 %",
    b"\x00\xff",
    UUID("0191a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"),
    datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
    date(2026, 2, 3),
]


@pytest.fixture
def database(conninfo: str) -> Iterator[Database]:
    with closing(database_at(conninfo)) as opened:
        yield opened


@pytest.fixture
def own(database: Database) -> WatchedConnection:
    return database.connect()


@pytest.mark.parametrize("prepare", [True, False])
def test_every_value_comes_back_as_it_does_by_a_cursor(conninfo: str, prepare: bool) -> None:
    query = f"SELECT {', '.join(['%s'] * len(VALUES))}, %s::jsonb, %s::text[]"
    asked = [*VALUES, '{"a": [1]}', ["x", ""]]
    with closing(database_at(conninfo, prepare=prepare)) as database:
        own = database.connect()
        with own.together() as pipeline:
            answers = [pipeline.execute(query.encode(), asked) for _ in range(3)]
            rows = [answer.fetchall() for answer in answers]

        assert rows == [own.execute(query.encode(), asked).fetchall()] * 3


def test_parameters_have_places_or_names_and_without_any_a_percent_sign_is_itself(own: WatchedConnection) -> None:
    with own.together() as pipeline:
        placed = pipeline.execute("SELECT %s || '%%', %s", ["a", "b"])
        named = pipeline.execute("SELECT %(b)s || '%%', %(a)s, %(b)s", {"a": "a", "b": "b", "c": "c"})
        bare = pipeline.execute("SELECT '100 %s'")
        composed = pipeline.execute(sql.SQL("SELECT {} || %s").format(sql.Literal("5 %%")), ["!"])

        assert placed.fetchall() == [("a%", "b")]
        assert named.fetchall() == [("b%", "a", "b")]
        assert bare.fetchall() == [("100 %s",)]
        assert composed.fetchall() == [("5 %!",)]


def test_rows_are_told_once_one_by_one_or_all_that_are_left(own: WatchedConnection) -> None:
    with own.together() as pipeline:
        three = pipeline.execute("SELECT generate_series(1, 3)")
        none = pipeline.execute("SELECT 1 WHERE false")

        assert three.fetchone() == (1,)
        assert three.fetchall() == [(2,), (3,)]
        assert three.fetchall() == []
        assert three.fetchone() is None
        assert none.fetchone() is None
        assert none.statusmessage == "SELECT 0"


def test_what_failed_first_is_raised_whoever_asks_and_nothing_after_it_is_run(
    own: WatchedConnection, conn: Connection
) -> None:
    conn.execute("CREATE TABLE t (n int)")
    with pytest.raises(pg.PipelineAborted), own.together() as pipeline:
        good = pipeline.execute("SELECT 1")
        pipeline.execute("SELECT 1 / 0")
        later = pipeline.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(pg.DivisionByZero):
            later.fetchall()
        with pytest.raises(pg.PipelineAborted):
            later.fetchall()
        assert good.fetchall() == [(1,)]
        pipeline.execute("INSERT INTO t VALUES (2)")

    assert conn.execute("SELECT n FROM t").fetchall() == []
    assert own.execute("SELECT 1").fetchall() == [(1,)]


def test_an_error_that_nobody_asked_about_is_raised_at_the_end(own: WatchedConnection) -> None:
    with pytest.raises(pg.DivisionByZero), own.together() as pipeline:
        pipeline.execute("SELECT 1 / 0")
        pipeline.execute("SELECT 2")


def test_what_ends_the_block_is_not_hidden_by_what_failed_in_it(own: WatchedConnection) -> None:
    with pytest.raises(KeyError), own.together() as pipeline:
        pipeline.execute("SELECT 1 / 0")
        raise KeyError

    assert own.info.transaction_status == TransactionStatus.IDLE


def test_a_statement_with_parameters_is_prepared_once_a_session_whatever_is_rolled_back(own: WatchedConnection) -> None:
    for _ in range(3):
        with own.together() as pipeline:
            pipeline.execute("BEGIN")
            pipeline.execute("SELECT %s::int", [1])
            pipeline.execute("SELECT %s::int", [2])
        own.rollback()

    assert own.execute(PREPARED).fetchall() == [("SELECT $1::int",)]


def test_no_more_is_prepared_than_a_session_can_bear(own: WatchedConnection) -> None:
    with own.together() as pipeline:
        answers = [pipeline.execute(f"SELECT {n} + %s::int".encode(), [1]) for n in range(PREPARED_MAX + 5)]
        assert [answer.fetchall() for answer in answers] == [[(n + 1,)] for n in range(PREPARED_MAX + 5)]

    assert len(own.execute(PREPARED).fetchall()) == PREPARED_MAX


def test_nothing_is_prepared_for_a_pooler(conninfo: str) -> None:
    with closing(database_at(conninfo, prepare=False)) as database:
        for _ in range(8):
            database.transact(one)

        assert database.connect().execute(PREPARED).fetchall() == []


def test_what_could_not_be_prepared_is_prepared_when_it_can_be(own: WatchedConnection, conn: Connection) -> None:
    query = "SELECT n FROM later WHERE n = %s"
    with pytest.raises(pg.UndefinedTable), own.together() as pipeline:
        pipeline.execute(query, [1])
    conn.execute("CREATE TABLE later (n int)")

    with own.together() as pipeline:
        assert pipeline.execute(query, [1]).fetchall() == []


def test_what_the_server_has_forgotten_is_prepared_anew(database: Database) -> None:
    assert database.transact(one) == 1
    database.connect().execute("DEALLOCATE ALL")

    assert database.snapshot(one) == 1
    assert database.transact(one) == 1
    assert database.retries == 1


def test_a_transaction_that_failed_can_be_rolled_back(own: WatchedConnection) -> None:
    with pytest.raises(pg.DivisionByZero):
        in_transaction(own, "SELECT 1 / 0")
    with pytest.raises(pg.InFailedSqlTransaction):
        own.execute("SELECT 1")

    own.rollback()

    assert own.info.transaction_status == TransactionStatus.IDLE


@pytest.mark.parametrize("asked", [True, False])
def test_more_than_any_buffer_holds_goes_both_ways(own: WatchedConnection, asked: bool) -> None:
    """The server stops reading when nobody reads what it says."""
    large = "x" * 500_000
    with own.together() as pipeline:
        answers = [pipeline.execute("SELECT %s::text", [large]) for _ in range(60)]
        if asked:
            assert {answer.fetchall()[0][0] for answer in answers} == {large}


def test_a_statement_is_run_before_anybody_asks_for_its_answer(own: WatchedConnection, conn: Connection) -> None:
    with own.together() as pipeline:
        pipeline.execute("SELECT pg_advisory_lock(%s)", [71])
        for _ in range(2000):
            [[free]] = conn.execute("SELECT pg_try_advisory_lock_shared(71)").fetchall()
            if not free:
                break
            conn.execute("SELECT pg_advisory_unlock_shared(71)")
            sleep(0.005)

    assert not free


def test_nothing_else_may_be_asked_within_a_pipeline(own: WatchedConnection) -> None:
    with own.together() as pipeline:
        with pytest.raises(psycopg.ProgrammingError):
            own.execute("SELECT 2")
        with pytest.raises(psycopg.ProgrammingError), own.together():
            pass
        assert pipeline.execute("SELECT 1").fetchall() == [(1,)]


@pytest.mark.parametrize("params", [[], [1, 2], "ab", {}])
def test_a_wrong_number_of_parameters_is_refused(own: WatchedConnection, params: Any) -> None:
    with pytest.raises((psycopg.ProgrammingError, KeyError)), own.together() as pipeline:
        pipeline.execute("SELECT %(a)s::text" if params == {} else "SELECT %s::text", params)


def test_the_last_word_of_a_server_that_ends_the_session_is_told(own: WatchedConnection) -> None:
    with pytest.raises(pg.AdminShutdown), own.together() as pipeline:
        pipeline.execute("SELECT pg_terminate_backend(pg_backend_pid())").fetchall()

    assert own.closed


def test_a_lost_connection_is_an_error_of_the_driver(own: WatchedConnection, conn: Connection) -> None:
    with pytest.raises(psycopg.OperationalError), own.together() as pipeline:
        pipeline.execute("SELECT 1").fetchall()
        conn.execute("SELECT pg_terminate_backend(%s, 5000)", [own.info.backend_pid])
        pipeline.execute("SELECT 2").fetchall()

    assert own.closed
    with pytest.raises(psycopg.OperationalError, match="the connection is lost"):
        own.rollback()


def test_after_an_interrupt_the_connection_is_another_one(database: Database) -> None:
    own = database.connect()

    def interrupted(executor: Executor) -> None:
        one(executor)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.transact(interrupted)

    assert own.closed
    assert database.transact(one) == 1


def test_an_answer_that_is_no_answer_leaves_the_outcome_to_be_found_out(
    database: Database, conn: Connection, tmp_path: Path
) -> None:
    """What libpq cannot read ends the connection, and every answer that was still to come with it."""
    conn.execute("CREATE TABLE once (n int PRIMARY KEY)")
    info = database.connect().info
    attempts: list[int] = []

    def work(executor: Executor) -> int:
        executor.execute("INSERT INTO once VALUES (%s) ON CONFLICT DO NOTHING", [1])
        rows = executor.execute("SELECT n FROM once").fetchall()
        attempts.append(1)
        if len(attempts) == 1:
            garble.set()
        return len(rows)

    with (
        garbling(f"{info.host}/.s.PGSQL.{info.port}", tmp_path / ".s.PGSQL.5432") as garble,
        closing(database_at(f"host={tmp_path} port=5432 dbname={info.dbname} user={info.user}")) as through,
    ):
        assert through.transact(work) == 1

    assert len(attempts) == 2
    assert conn.execute("SELECT n FROM once").fetchall() == [(1,)]


@contextmanager
def garbling(server: str, path: Path) -> Iterator[Event]:
    """Lets through what is said, until the event is set: then zeros, once, instead of the server's words."""
    garble = Event()

    def relay(source: socket, target: socket, *, garbled: bool) -> None:
        with suppress(OSError):
            while said := source.recv(65536):
                if garbled and garble.is_set():
                    garble.clear()
                    target.sendall(bytes(20))
                    break
                target.sendall(said)
        with suppress(OSError):
            target.shutdown(SHUT_RDWR)
        source.close()

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, far = listening.accept()[0], socket(AF_UNIX)
                far.connect(server)
                for ends, garbled in (((near, far), False), ((far, near), True)):
                    Thread(target=relay, args=ends, kwargs={"garbled": garbled}, daemon=True).start()

    with socket(AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        Thread(target=serve, daemon=True).start()
        yield garble


def one(executor: Executor) -> Any:
    return executor.execute("SELECT %s::int", [1]).fetchall()[0][0]


def in_transaction(own: WatchedConnection, query: str) -> None:
    with own.together() as pipeline:
        pipeline.execute("BEGIN")
        pipeline.execute(query.encode())
