"""A connection's own thread: the server works on one batch of a file while the caller thinks about the next."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from ledgerctl.db.connection import Connection

P = ParamSpec("P")
T = TypeVar("T")

_TOLD_MAX = 2
_SWITCH_S = 0.0005
"""Threads of Python change places this often: at the usual 5 ms the server would wait for us at every block."""
_USUAL_S = sys.getswitchinterval()  # asked once: of two workers, the second would take the first one's for usual


class Worker:
    """What is handed over is done in order. As long as it is open, nobody else may use the connection."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._thread = ThreadPoolExecutor(1, "ledgerctl-connection")
        self._told: deque[Future[None]] = deque()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        sys.setswitchinterval(_SWITCH_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sys.setswitchinterval(_USUAL_S)
        if error is not None:
            self._conn.cancel_safe(timeout=2)  # what the thread waits for may be a server that stands still
        self._thread.shutdown(wait=True, cancel_futures=True)

    def ask(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have it done; the answer is the future's result."""

        def guarded() -> T:
            # Once something has failed, all that follows fails of the same: later errors would only say that it had.
            if self._failure is not None:
                raise self._failure
            try:
                return work(*args, **kwargs)
            except BaseException as failure:
                self._failure = failure
                raise

        return self._thread.submit(copy_context().run, guarded)  # its spans are then a part of the caller's

    def tell(self, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have it done, and go on; wait when more than two such are open. Raises what an earlier one raised."""
        self._told.append(self.ask(work, *args, **kwargs))
        while len(self._told) > _TOLD_MAX:
            self._told.popleft().result()

    def finish(self) -> None:
        """Wait until all is done that was told."""
        while self._told:
            self._told.popleft().result()
