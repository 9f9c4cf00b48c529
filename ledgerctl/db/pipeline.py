"""Statements that travel together: each is sent as it comes, and its answer read when somebody wants it.

psycopg can do this, too; but it asks the system before each statement whether it may send, and makes a cursor for each
answer. Half of our time in a single transfer went there.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import count
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import psycopg
from psycopg.abc import Params, PQGen, QueryNoTemplate
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import InvalidSqlStatementName, PipelineAborted, error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow
from psycopg.sql import Composable

_PLACEHOLDER = re.compile(rb"%(?:%|s|\((\w+)\)s)")
_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED)


class Rows(Protocol):
    """What a statement returned: a psycopg cursor, or an `Answer`."""

    @property
    def statusmessage(self) -> str | None: ...
    def fetchone(self) -> TupleRow | None: ...
    def fetchall(self) -> list[TupleRow]: ...


class Executor(Protocol):
    """What statements are given to: a psycopg connection, or a `Pipeline`."""

    def execute(self, query: QueryNoTemplate, params: Params | None = None) -> Rows: ...


class _Statement(NamedTuple):
    text: bytes
    types: tuple[int, ...]
    """Of its parameters."""


class Answer:
    """What a statement returned, or will have returned when it is asked for. psycopg.Error of whatever failed first."""

    __slots__ = ("_pipeline", "_rows", "result")

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._rows: list[TupleRow] | None = None
        self.result: PGresult | None = None

    @property
    def statusmessage(self) -> str | None:
        status = self._pipeline.answered(self).command_status
        return None if status is None else status.decode()

    def fetchone(self) -> TupleRow | None:
        """The next row, or None."""
        rows = self._left()
        return rows.pop(0) if rows else None

    def fetchall(self) -> list[TupleRow]:
        """The rows that are left."""
        rows, self._rows = self._left(), []
        return rows

    def _left(self) -> list[TupleRow]:
        if self._rows is None:
            self._rows = self._pipeline.rows(self._pipeline.answered(self))
        return self._rows


class Pipeline:
    """Of one connection, entered for a transaction at a time. Where one statement failed, the others are not run."""

    def __init__(self, conn: psycopg.Connection[TupleRow], *, prepare: bool) -> None:
        self._conn, self._prepare = conn, prepare
        self._pgconn = conn.pgconn
        self._transformer = Transformer(conn)
        self._names: dict[_Statement, bytes] = {}
        """What prepared statements are called on the server."""
        self._numbers = count()
        self._sent: deque[Answer | _Statement] = deque()
        """What is still to be answered: statements, and those that were prepared."""

    def __enter__(self) -> Self:
        self._sent.clear()
        self._pgconn.enter_pipeline_mode()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Read what is still to be told: psycopg.Error of what failed first, unless something else ends the block."""
        try:
            if self._pgconn.status == ConnStatus.OK:
                self._pgconn.pipeline_sync()
                self._conn.wait(self._read())
        except psycopg.Error:
            if error is None:
                raise
        finally:
            if error is not None and not isinstance(error, Exception):
                self._names.clear()  # an interrupt may have come before what it names was sent
            self._leave()

    def execute(self, query: QueryNoTemplate, params: Params | None = None) -> Answer:
        """Hand the statement over, without waiting for anything."""
        text, given = _numbered(query.as_bytes(self._conn) if isinstance(query, Composable) else query, params)
        values = self._transformer.dump_sequence(given, [PyFormat.AUTO] * len(given))
        types, formats = self._transformer.types or (), self._transformer.formats
        if self._prepare:
            self._pgconn.send_query_prepared(self._name(_Statement(text, types)), values, formats)
        else:
            self._pgconn.send_query_params(text, values, types, formats)
        answer = Answer(self)
        self._sent.append(answer)
        self._pgconn.flush()
        return answer

    def answered(self, answer: Answer) -> PGresult:
        """Its result, for which the server is waited for if it has not come."""
        if answer.result is None:
            self._pgconn.send_flush_request()
            self._conn.wait(self._read(len(self._sent)))
        if answer.result is None:
            raise PipelineAborted("it was not run, since something before it failed")
        return answer.result

    def rows(self, result: PGresult) -> list[TupleRow]:
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    def _name(self, statement: _Statement) -> bytes:
        """Of the statement on the server, which prepares it when it is there for the first time."""
        name = self._names.get(statement)
        if name is None:
            name = self._names[statement] = b"ledgerctl_%d" % next(self._numbers)
            self._pgconn.send_prepare(name, statement.text, statement.types)
            self._sent.append(statement)
        return name

    def _read(self, answers: int | None = None) -> PQGen[None]:
        """So many answers, or all to the end of the pipeline. What failed first is raised when they have come."""
        yield from send(self._pgconn)
        failed: PGresult | None = None
        while answers is None or answers > 0:
            [result, *_] = yield from fetch_many(self._pgconn)
            if result.status == ExecStatus.PIPELINE_SYNC:
                break
            if answers is not None:
                answers -= 1
            sent = self._sent.popleft() if self._sent else None
            if result.status in _FAILED:
                failed = failed or result
                if isinstance(sent, _Statement):
                    self._names.pop(sent, None)
            elif isinstance(sent, Answer):
                sent.result = result
        if failed is None:
            return
        error = _error(failed)
        if isinstance(error, InvalidSqlStatementName):  # somebody has had the server forget them all
            self._names.clear()
        raise error

    def _leave(self) -> None:
        self._sent.clear()
        try:
            self._pgconn.exit_pipeline_mode()
        except psycopg.OperationalError:  # something is left in it that nobody will read
            self._conn.close()


def _error(failed: PGresult) -> psycopg.Error:
    if failed.status == ExecStatus.PIPELINE_ABORTED:
        return PipelineAborted("something before it failed")
    return error_from_result(failed, encoding="utf-8")


def _numbered(query: str | bytes, params: Params | None) -> tuple[bytes, Sequence[Any]]:
    """The query with its parameters as the server counts them. Without any, a % in it is nothing but that."""
    if params is None:
        return query.encode() if isinstance(query, str) else query, ()
    text, names = _read(query)
    return text, [params[name] for name in names] if isinstance(params, Mapping) else params


@lru_cache
def _read(query: str | bytes) -> tuple[bytes, Sequence[str]]:
    """The query with $1 where it says %s, and with the same number wherever it has the same name; and its names."""
    numbers: dict[str, int] = {}

    def numbered(found: re.Match[bytes]) -> bytes:
        if found[0] == b"%%":
            return b"%"
        name = found[1].decode() if found[1] else str(len(numbers))
        return b"$%d" % numbers.setdefault(name, len(numbers) + 1)

    text = _PLACEHOLDER.sub(numbered, query.encode() if isinstance(query, str) else query)
    return text, list(numbers)
