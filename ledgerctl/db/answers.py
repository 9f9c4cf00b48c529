"""A connection that does not wait for ever: a server that stands still says nothing and hangs up on nobody."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import TupleRow

from ledgerctl.db.pipeline import Executor, Pipeline, Statement

LATER_S = 2.0
"""So much longer than the server allows a statement we wait for its answer, and then for that of a cancel."""

SLOW_S = 0.3
"""An answer that takes longer may be waiting for somebody's lock."""

Slow = Callable[[], Callable[[float], None]]
"""Called once an answer is slow; what it returns is told how many seconds the answer took in the end."""


class WatchedConnection(psycopg.Connection[TupleRow]):
    """`limit_s`: so many seconds an answer may take; None for no limit.

    Then the server is asked to cancel, which also ends a COMMIT's wait for a standby. If that has no answer either, the
    connection is closed: OperationalError.
    """

    limit_s: float | None = None
    slow: Slow | None = None
    """Who is told of slow answers, among those that have a limit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._statements: dict[Statement, bytes] = {}

    @property
    def hung_up(self) -> bool:
        """Whether the server has ended the connection while nothing was asked, as it does when it is stopped."""
        if self.info.transaction_status != TransactionStatus.IDLE or self.pgconn.pipeline_status:
            return False
        looking = select.poll()
        looking.register(self.fileno(), select.POLLIN)
        try:
            while looking.poll(0):
                self.pgconn.consume_input()
        except psycopg.OperationalError:
            self.close()
            return True
        return False

    def together(self) -> AbstractContextManager[Executor]:
        """Within it, statements that are given to what it returns travel together."""
        return Pipeline(self, None if self.prepare_threshold is None else self._statements)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        if self.pgconn.pipeline_status != PipelineStatus.OFF:
            raise psycopg.ProgrammingError("a cursor within a pipeline would be given its answers")
        return super().cursor(*args, **kwargs)

    def rollback(self) -> None:
        """As psycopg's, after which the server still knows what was prepared."""
        if self.info.transaction_status != TransactionStatus.IDLE:
            with self.together() as pipeline:
                pipeline.execute("ROLLBACK")

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        return super().wait(gen if self.limit_s is None else self._watched(gen, self.limit_s), *args, **kwargs)

    def _watched(self, gen: PQGen[RV], limit_s: float) -> PQGen[RV]:
        started = time.monotonic()
        deadline, cancelled = started + limit_s, False
        ended: Callable[[float], None] | None = None
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and ended is None and self.slow is not None and time.monotonic() > started + SLOW_S:
                    ended = self.slow()
                if not ready and time.monotonic() > deadline:
                    if cancelled:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(f"the server did not answer for {limit_s + LATER_S:.0f} s")
                    with suppress(psycopg.Error):
                        self.cancel_safe(timeout=LATER_S)
                    deadline, cancelled = time.monotonic() + LATER_S, True
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: RV = end.value
            return answer
        except (KeyboardInterrupt, SystemExit):
            with suppress(RuntimeError, psycopg.Error):  # else it would fail when it is collected, and say so on stderr
                gen.close()
            raise
        finally:
            if ended is not None:
                ended(time.monotonic() - started)
