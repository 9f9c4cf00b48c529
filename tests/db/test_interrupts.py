"""Ctrl-C at any line of a transaction: it is heard, and what it says of the commit is so."""

from __future__ import annotations

import linecache
import sys
from types import FrameType
from typing import Any

import pytest

from ledgerctl import errors
from ledgerctl.db.connection import Connection
from ledgerctl.db.pipeline import Executor
from tests.conftest import database_at

TRACED = ("db/answers.py", "db/connection.py", "db/pipeline.py")
STEP = 7
"""Of some 200 lines that a transaction runs through."""


class InterruptAt:
    """A trace function that raises KeyboardInterrupt before the line with this number is run."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, _value: Any) -> InterruptAt | None:
        if event == "call":
            return self if frame.f_code.co_filename.endswith(TRACED) else None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and not line.lstrip().startswith("with "):  # which is traced again when it is left
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


def add(conn: Executor) -> None:
    conn.execute("UPDATE tally SET n = n + 1")


@pytest.mark.parametrize("first", range(1, STEP + 1))
def test_an_interrupt_is_heard_wherever_it_comes(first: int, conninfo: str, conn: Connection) -> None:
    conn.execute("CREATE TABLE tally AS SELECT 0 AS n")
    number, done = first, False
    while not done:
        database = database_at(conninfo)
        database.transact(add)
        before = tally(conn)
        interrupt = InterruptAt(number)
        sys.settrace(interrupt)
        try:
            database.transact(add)
            done = True
            assert interrupt.left > 0, f"the interrupt before line {number} was not heard"
        except KeyboardInterrupt:
            assert tally(conn) == before, f"what is undone was committed, line {number}"
        except errors.OutcomeUnknown:
            pass
        finally:
            sys.settrace(None)
        assert database.read(tally) == tally(conn), f"the connection is not what it was, line {number}"
        database.close()
        number += STEP


def tally(conn: Connection) -> Any:
    return conn.execute("SELECT n FROM tally").fetchall()
