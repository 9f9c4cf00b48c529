"""All interleavings of the statements of some sessions: the tree of schedules, and what runs one schedule.

In the way of PostgreSQL's isolationtester, but what the sessions run is the program's own calls. Each has a thread and
a connection, and stops before every statement until the schedule gives it the next step. Whether a statement waits for
a lock is the server's word, so nothing depends on how long anything takes. A schedule is run from the start on fresh
accounts and keys: what is known of an earlier one is only whose turn it was.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import Enum, auto
from queue import Empty, Queue
from typing import Any, NamedTuple, Self
from unittest.mock import patch

import psycopg
from psycopg.abc import Params, Query
from psycopg.copy import Copy, Writer
from psycopg.rows import Row
from psycopg.sql import Composable

from ledgerctl.db import connection
from ledgerctl.db.answers import WatchedConnection
from ledgerctl.db.connection import Connection, Database
from ledgerctl.db.pipeline import Executor

# -- statements, and which of them may change places ------------------------------------------------------------------


class Kind(Enum):
    PRIVATE = auto()
    """BEGIN, settings, the clock with the epoch of balances, which nobody changes here: no other session can tell when
    it ran, nor it what others did."""
    LOOK = auto()
    """A SELECT without a lock: it waits for nobody, nobody waits for it, and it sees what is committed."""
    LOG = auto()
    """A line for the audit log, which no session here reads and no two of which exclude each other."""
    WRITE = auto()
    """Whatever takes a lock."""
    END = auto()
    """COMMIT or ROLLBACK: it ends waits, and shows what was written."""


_PRIVATE = re.compile(r"BEGIN|SELECT set_config\(|SELECT clock_timestamp\(\)")
_LOCKING = re.compile(r"\bFOR (NO KEY )?(UPDATE|KEY SHARE|SHARE)\b")


class Statement(NamedTuple):
    kind: Kind
    words: str

    @classmethod
    def of(cls, text: str) -> Statement:
        words = " ".join(text.split())
        return cls(_kind(words), words)


def _kind(words: str) -> Kind:
    if _PRIVATE.match(words):
        return Kind.PRIVATE
    if words in ("COMMIT", "ROLLBACK"):
        return Kind.END
    if words.startswith("INSERT INTO audit_logs"):
        return Kind.LOG
    if words.startswith("SELECT") and not _LOCKING.search(words):
        return Kind.LOOK
    return Kind.WRITE


def independent(one: Kind, other: Kind) -> bool:
    """Whether two sessions' statements come to the same in either order, wherever they stand side by side."""
    kinds = {one, other}
    return bool(kinds & {Kind.PRIVATE, Kind.LOG}) or (Kind.LOOK in kinds and Kind.END not in kinds)


def never_independent(one: Kind, other: Kind) -> bool:
    """For the whole tree."""
    return False


# -- the tree ---------------------------------------------------------------------------------------------------------

Eligible = Mapping[str, Kind]
"""The sessions that can take a step, and what their next statement is."""
Choose = Callable[[Eligible], str]


@dataclass(slots=True)
class _Fork:
    """Where a step was chosen."""

    eligible: dict[str, Kind]
    asleep: set[str]
    """Sessions whose next statement came earlier on another branch, since when nothing has come that it depends on."""
    chosen: str
    tried: set[str] = field(default_factory=set)

    def untried(self) -> list[str]:
        return sorted(self.eligible.keys() - self.tried - self.asleep)


class NotReplayed(Exception):
    """The same steps did not lead to the same place: what was explored is not all there is."""


class Tree:
    """Every schedule once, depth first; with `independent`, one of each set that only swaps independent statements.

    The reduction is that of sleep sets (Godefroid, 1996): it leaves out no order of dependent statements.
    """

    def __init__(self, independent: Callable[[Kind, Kind], bool] = independent) -> None:
        self.schedules = 0
        self._independent = independent
        self._forks: list[_Fork] = []
        self._depth = 0
        self._redundant = False

    def walk(self) -> Iterator[Choose]:
        """For each schedule, who chooses its steps; it is to be run to its end before the next is asked for.

        Some turn out on their way to be a schedule that was run before. They are run, and not counted.
        """
        more = True
        while more:
            self._depth, self._redundant = 0, False
            yield self._choose
            self.schedules += not self._redundant
            more = self._turn_back()

    def _choose(self, eligible: Eligible) -> str:
        if self._depth == len(self._forks):
            self._forks.append(self._fork(dict(eligible)))
        fork = self._forks[self._depth]
        if fork.eligible != eligible:
            raise NotReplayed(f"step {self._depth}: {eligible}, where it was {fork.eligible}")
        self._depth += 1
        return fork.chosen

    def _fork(self, eligible: dict[str, Kind]) -> _Fork:
        asleep = set(eligible) if self._redundant else self._asleep()
        awake = sorted(eligible.keys() - asleep)
        self._redundant = not awake
        return _Fork(eligible, asleep, (awake or sorted(eligible))[0])

    def _asleep(self) -> set[str]:
        if not self._forks:
            return set()
        before = self._forks[-1]
        step = before.eligible[before.chosen]
        return {name for name in before.asleep | before.tried if self._independent(before.eligible[name], step)}

    def _turn_back(self) -> bool:
        while self._forks:
            fork = self._forks[-1]
            fork.tried.add(fork.chosen)
            if untried := fork.untried():
                fork.chosen = untried[0]
                return True
            self._forks.pop()
        return False


# -- a session --------------------------------------------------------------------------------------------------------


class _Cursor(psycopg.Cursor[Row]):
    def execute(self, query: Any, params: Params | None = None, **how: Any) -> Self:
        _stop(self.connection, query)
        return super().execute(query, params, **how)

    @contextmanager
    def copy(self, statement: Query, params: Params | None = None, *, writer: Writer | None = None) -> Iterator[Copy]:
        _stop(self.connection, statement)
        with super().copy(statement, params, writer=writer) as copy:
            yield copy


class _Stepped(WatchedConnection):
    """Stops before each statement, so that none travels with another."""

    stop: Callable[[str], None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cursor_factory = _Cursor

    def together(self) -> nullcontext[Executor]:
        return nullcontext(self)


def _stop(conn: psycopg.Connection[Any], query: Query) -> None:
    assert isinstance(conn, _Stepped)
    if conn.stop is not None:
        conn.stop(query.as_string() if isinstance(query, Composable) else str(query))


class Ended(NamedTuple):
    """What a call returned, or what it raised."""

    result: str = ""
    error: BaseException | None = None


class _Left(BaseException):
    """Ends a call whose schedule is not run to its end; not to be taken for an error by anybody."""


_PATIENCE_S = 0.001
"""So long a session is waited for before the server is asked whether it is blocked; then so long again."""


class Session:
    """Runs one call at a time in a thread of its own. `joined`: private statements go with the next one."""

    def __init__(self, name: str, database: Database, *, joined: bool) -> None:
        self.name, self.database, self._joined = name, database, joined
        with patch.object(connection, "WatchedConnection", _Stepped):
            conn = database.connect()
        assert isinstance(conn, _Stepped)
        self._conn, self.pid = conn, conn.info.backend_pid
        self._news: Queue[Statement | Ended] = Queue()  # a SimpleQueue may overlook that its timeout has passed
        self._go = threading.Semaphore(0)
        self._left = False
        self.next: Statement | None = None
        self.ended: Ended | None = None
        self.blocked = False

    def begin(self, call: Callable[[], str]) -> None:
        self.ended, self._conn.stop = None, self._stop
        threading.Thread(target=self._run, args=[call], daemon=True).start()

    def step(self) -> Statement:
        """Let it send its next statement."""
        assert self.next is not None
        statement, self.next = self.next, None
        self._go.release()
        return statement

    def settle(self, is_blocked: Callable[[Session], bool]) -> bool:
        """Wait until it stops again, or ends, or the server says that it is blocked. Whether it came any further."""
        if self.next is not None or self.ended is not None:
            return False
        patience_s = 0.0 if self.blocked else _PATIENCE_S
        while (news := self._heard(patience_s)) is None:
            if is_blocked(self):
                self.blocked = True
                return False
            patience_s = _PATIENCE_S
        self.blocked = False
        if isinstance(news, Ended):
            self.ended = news
        else:
            self.next = news
        return True

    def leave(self) -> None:
        """Whatever it is about, it sends nothing more."""
        self._left = True
        self._go.release()

    def _heard(self, patience_s: float) -> Statement | Ended | None:
        try:
            return self._news.get(timeout=patience_s)
        except Empty:
            return None

    def _run(self, call: Callable[[], str]) -> None:
        try:
            ended = Ended(call())
        except BaseException as error:  # a thread has nobody else to tell
            ended = Ended(error=error)
        self._conn.stop = None
        self._news.put(ended)

    def _stop(self, text: str) -> None:
        """Called before each statement, by whichever of the session's threads sends it."""
        statement = Statement.of(text)
        if self._joined and statement.kind is Kind.PRIVATE:
            return
        self._news.put(statement)
        self._go.acquire()
        if self._left:
            self._go.release()  # for the next statement of whoever goes on all the same
            raise _Left


# -- one schedule -----------------------------------------------------------------------------------------------------

BLOCKED = "SELECT pg_blocking_pids(%s) && %s::integer[]"


class Step(NamedTuple):
    session: str
    statement: Statement
    waited: bool
    """Whether the server made it wait for another session."""


class Run(NamedTuple):
    """What happened in one schedule. `ended` is in the order of the sessions."""

    steps: list[Step]
    ended: list[Ended]

    def __str__(self) -> str:
        return "\n".join(f"{name}: {said.words[:90]}{'  (waits)' * waited}" for name, said, waited in self.steps)


def play(sessions: Sequence[Session], calls: Sequence[Callable[[], str]], choose: Choose, watcher: Connection) -> Run:
    """Run the calls, each in its session, step by step as chosen. `watcher` asks the server who is blocked."""
    pids = [session.pid for session in sessions]
    by_name = {session.name: session for session in sessions}

    def is_blocked(session: Session) -> bool:
        [[blocked]] = watcher.execute(BLOCKED, [session.pid, pids]).fetchall()
        return bool(blocked)

    for session, call in zip(sessions, calls, strict=True):
        session.begin(call)
    steps: list[Step] = []
    while eligible := _eligible(sessions, is_blocked):
        session = by_name[choose(eligible)]
        statement = session.step()
        session.settle(is_blocked)
        steps.append(Step(session.name, statement, session.blocked))
    return Run(steps, [session.ended for session in sessions if session.ended is not None])


def _eligible(sessions: Sequence[Session], is_blocked: Callable[[Session], bool]) -> Eligible:
    """Who can take a step, once nobody comes any further without one. None when all have ended.

    When all wait for each other, the server ends the deadlock and somebody comes further: that is waited for.
    """
    while True:
        moved = [session for session in sessions if session.settle(is_blocked)]
        eligible = {session.name: session.next.kind for session in sessions if session.next is not None}
        if not moved and (eligible or all(session.ended for session in sessions)):
            return eligible
