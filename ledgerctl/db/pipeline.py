"""Statements that travel together: each is sent as it comes, and its answer read when somebody wants it.

psycopg can do this, too; but it asks the system before each statement whether it may send, and makes a cursor for each
answer. Two fifths of our processor time in a single transfer went there.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import psycopg
from psycopg.abc import Params, PQGen, QueryNoTemplate
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import InvalidSqlStatementName, PipelineAborted, error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus, PipelineStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow
from psycopg.sql import Composable

_PLACEHOLDER = re.compile(rb"%(?:%|s|\((\w+)\)s)")
PREPARED_MAX = 200
"""More are not prepared: there are not so many statements, only texts and types that somebody puts together."""
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


class Statement(NamedTuple):
    """What the server is to run, and of which types its parameters are."""

    text: bytes
    types: tuple[int, ...]

    @property
    def name(self) -> bytes:
        """What it is called when it is prepared: no two have the same, in whichever session a pooler puts us."""
        return b"ledgerctl_" + sha256(repr(self).encode()).hexdigest()[:32].encode()


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
    """Of one connection, for one transaction. Where one statement failed, those that follow are not run.

    Nothing else may be asked of the connection meanwhile. After an interrupt, which may have come between a statement
    and our note of it, the connection is to be closed.
    """

    def __init__(self, conn: psycopg.Connection[TupleRow], names: dict[Statement, bytes] | None) -> None:
        """`names` are those that this session has prepared statements by; None if nothing shall be prepared."""
        self._conn, self._names = conn, names
        self._pgconn = conn.pgconn
        self._transformer = Transformer(conn)
        self._sent: deque[Answer | Statement] = deque()
        """What is still to be answered: statements, and those that were prepared."""

    def __enter__(self) -> Self:
        if self._pgconn.pipeline_status != PipelineStatus.OFF:
            raise psycopg.ProgrammingError("a pipeline within a pipeline")
        if self._conn.closed:
            raise psycopg.OperationalError("the connection is lost")
        self._pgconn.enter_pipeline_mode()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Read what is still to be told: psycopg.Error of what failed first, unless something else ends the block."""
        try:
            self._sync()
            self._conn.wait(self._read())
        except psycopg.Error:
            if error is None:
                raise
        finally:
            self._leave()

    def execute(self, query: QueryNoTemplate, params: Params | None = None) -> Answer:
        """Hand the statement over, without waiting for anything. What has parameters is prepared."""
        text, given = _numbered(query.as_bytes(self._conn) if isinstance(query, Composable) else query, params)
        values = self._transformer.dump_sequence(given, [PyFormat.AUTO] * len(given))
        types, formats = self._transformer.types or (), self._transformer.formats
        name = self._prepared(Statement(text, types)) if params is not None else None
        if name is None:
            self._pgconn.send_query_params(text, values, types, formats)
        else:
            self._pgconn.send_query_prepared(name, values, formats)
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

    def _prepared(self, statement: Statement) -> bytes | None:
        """Its name on the server, which prepares it when it is there for the first time. None if it is not prepared."""
        if self._names is None:
            return None
        name = self._names.get(statement)
        if name is None and len(self._names) < PREPARED_MAX:
            name = statement.name
            self._pgconn.send_prepare(name, statement.text, statement.types)
            self._names[statement] = name
            self._sent.append(statement)
        return name

    def _sync(self) -> None:
        try:
            self._pgconn.pipeline_sync()
        except psycopg.OperationalError:  # its words are of something else
            raise self._lost() from None

    def _read(self, answers: int | None = None) -> PQGen[None]:
        """So many answers, or all to the end of the pipeline. What failed first is raised when they have come."""
        failed: PGresult | None = None
        try:
            yield from send(self._pgconn)
            while answers is None or answers > 0:
                results = yield from fetch_many(self._pgconn)
                if not results:
                    raise self._lost()
                if results[0].status == ExecStatus.PIPELINE_SYNC:
                    break
                if answers is not None:
                    answers -= 1
                if not self._takes(results[0]):
                    failed = failed or results[0]
        except psycopg.OperationalError:
            if failed is None:
                raise
        if failed is not None:
            raise self._error(failed)

    def _takes(self, result: PGresult) -> bool:
        """Give it to the statement that it answers. False if it is a failure."""
        sent = self._sent.popleft() if self._sent else None
        if result.status in _FAILED:
            if isinstance(sent, Statement) and self._names is not None:
                self._names.pop(sent, None)
            return False
        if isinstance(sent, Answer):
            sent.result = result
        return True

    def _leave(self) -> None:
        try:
            self._pgconn.exit_pipeline_mode()
        except psycopg.OperationalError:  # something is left in it that nobody will read
            self._conn.close()

    def _lost(self) -> psycopg.OperationalError:
        return psycopg.OperationalError(self._pgconn.get_error_message().strip() or "the connection is lost")

    def _error(self, failed: PGresult) -> psycopg.Error:
        if failed.status == ExecStatus.PIPELINE_ABORTED:
            return PipelineAborted("something before it failed")
        error = error_from_result(failed, encoding="utf-8")
        if isinstance(error, InvalidSqlStatementName) and self._names is not None:
            self._names.clear()  # somebody has had the server forget them all
        return error


def _numbered(query: str | bytes, params: Params | None) -> tuple[bytes, Sequence[Any]]:
    """The query with its parameters as the server counts them. Without any, a % in it is nothing but that."""
    if params is None:
        return query.encode() if isinstance(query, str) else query, ()
    text, names = _parsed(query)
    given = [params[name] for name in names] if isinstance(params, Mapping) else params
    if len(given) != len(names):
        raise psycopg.ProgrammingError(f"{len(names)} parameters are wanted, and {len(given)} given")
    return text, given


@lru_cache
def _parsed(query: str | bytes) -> tuple[bytes, Sequence[str]]:
    """The query with $1 where it says %s, and with the same number wherever it has the same name; and its names."""
    numbers: dict[str, int] = {}

    def numbered(found: re.Match[bytes]) -> bytes:
        if found[0] == b"%%":
            return b"%"
        name = found[1].decode() if found[1] else str(len(numbers))
        return b"$%d" % numbers.setdefault(name, len(numbers) + 1)

    text = _PLACEHOLDER.sub(numbered, query.encode() if isinstance(query, str) else query)
    return text, list(numbers)
