"""A connection's own thread: in order, ahead of the caller, and honest about what failed."""

from __future__ import annotations

import sys
import threading
import time
from typing import LiteralString

import psycopg
import pytest

from ledgerctl.db.connection import Connection
from ledgerctl.db.worker import Worker


def test_what_is_handed_over_is_done_in_order_while_the_caller_goes_on(conn: Connection) -> None:
    gate, seen = threading.Event(), list[int]()

    def slow() -> None:
        gate.wait(10)
        seen.append(1)

    with Worker(conn) as server:
        server.tell(slow)
        answer = server.ask(lambda: [*seen, 2])
        assert seen == []
        gate.set()
        assert answer.result() == [1, 2]
    assert seen == [1]


def test_a_caller_that_runs_too_far_ahead_waits(conn: Connection) -> None:
    done: list[int] = []

    def slowly(told: list[int]) -> None:
        time.sleep(0.02)
        told.append(1)

    with Worker(conn) as server:
        for _ in range(5):
            server.tell(slowly, done)
        assert len(done) >= 3
        server.finish()
        assert len(done) == 5


def test_all_that_follows_a_failure_fails_of_it(conn: Connection) -> None:
    conn.execute("BEGIN")

    with pytest.raises(psycopg.errors.DivisionByZero), Worker(conn) as server:
        server.tell(_execute, conn, "SELECT 1 / 0")
        server.ask(lambda: conn.execute("SELECT 1")).result()

    conn.execute("ROLLBACK")


def test_whoever_leaves_does_not_wait_for_a_statement_that_hangs(conn: Connection) -> None:
    started = time.monotonic()

    with pytest.raises(KeyboardInterrupt), Worker(conn) as server:
        server.tell(_execute, conn, "SELECT pg_sleep(60)")
        time.sleep(0.1)
        raise KeyboardInterrupt

    assert time.monotonic() - started < 30  # not a timing: the statement takes twice as long
    assert conn.execute("SELECT 1").fetchall() == [(1,)]


def test_threads_change_places_as_before_when_it_is_over(conn: Connection) -> None:
    before = sys.getswitchinterval()

    with Worker(conn):
        assert sys.getswitchinterval() < before

    assert sys.getswitchinterval() == before


def test_threads_change_places_as_before_when_two_are_over(conn: Connection) -> None:
    before = sys.getswitchinterval()
    first, second = Worker(conn), Worker(conn)

    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)

    assert sys.getswitchinterval() == before


def _execute(conn: Connection, statement: LiteralString) -> None:
    conn.execute(statement)
