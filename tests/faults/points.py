"""Named points on a request's way, where a process can be killed, and a board that says which one it has reached.

All of it is patched in from here; the program knows nothing of it. `LEDGERCTL_FAILPOINT=written:3` kills the process
when it comes to `written` for the third time; `flying` kills it a moment after COMMIT was handed over.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable
from functools import wraps
from mmap import mmap
from pathlib import Path
from threading import Lock, get_ident
from typing import Any

from psycopg.errors import DeadlockDetected

VARIABLE = "LEDGERCTL_FAILPOINT"
PLACE = "LEDGERCTL_FAULTS_PLACE"
"""Of a process of the REST API on the board."""
TAKEN = "LEDGERCTL_FAULTS_TAKEN"
"""Where it writes down the ids of the requests that it takes."""
PLANTED = "LEDGERCTL_FAULTS_PLANTED"
"""The number of the bug that is planted into it."""

POINTS = (
    "idle",
    "dialling",
    "dialled",
    "begun",
    "locking",
    "held",
    "decided",
    "written",
    "logged",
    "committing",
    "flying",
    "committed",
    "keeping",
    "kept",
    "forgetting",
)
IN_FLIGHT = ("flying",)
"""COMMIT has been handed over, and its answer was not read."""
_FLIGHT_S = 0.003
_FIELD = struct.Struct("=q")
_SLOT_BYTES = 5 * _FIELD.size


class Board:
    """Shared by the processes of a run: where each client is. A client that is killed leaves its last word there.

    Behind the clients stand the processes of the REST API, which find the board by its file.
    """

    def __init__(self, clients: int, apis: int = 0, path: Path | None = None) -> None:
        self.clients = clients
        self._all = clients + apis
        self._path = path
        self._memory = _shared(path, 1 + self._all * _SLOT_BYTES)

    def stop(self) -> None:
        self._memory[0] = 1

    @property
    def stopped(self) -> bool:
        return self._memory[0] == 1

    def slot(self, client: int) -> Slot:
        return Slot(self._memory, 1 + client * _SLOT_BYTES)

    def api(self, number: int) -> Slot:
        return self.slot(self.clients + number)

    def address(self, number: int) -> str:
        """Of an API's place, for `slot_at`."""
        return f"{self._path}:{1 + (self.clients + number) * _SLOT_BYTES}"

    def slowest(self) -> int:
        """The step of the client that is furthest behind, of those that are not done."""
        slots = [self.slot(client) for client in range(self.clients)]
        return min((slot.step for slot in slots if not slot.done), default=0)

    def lost(self) -> int:
        """How many answers to COMMIT the clients, and the API for them, have waited for in vain."""
        return sum(self.slot(one).lost for one in range(self._all))

    def deadlocks(self) -> int:
        """How many of their transactions the server gave up for a deadlock."""
        return sum(self.slot(one).deadlocks for one in range(self._all))


def _shared(path: Path | None, size: int) -> mmap:
    if path is None:
        return mmap(-1, size)
    with path.open("w+b") as file:
        file.truncate(size)
        return mmap(file.fileno(), size)


class Slot:
    """One client's place on the board. Each field is written by itself: a process may have several threads."""

    def __init__(self, memory: mmap, at: int) -> None:
        self._memory = memory
        self._at = at

    def _get(self, field: int) -> int:
        return int(_FIELD.unpack_from(self._memory, self._at + field * _FIELD.size)[0])

    def _set(self, field: int, value: int) -> None:
        _FIELD.pack_into(self._memory, self._at + field * _FIELD.size, value)

    def reach(self, name: str) -> None:
        self._set(0, POINTS.index(name))

    point = property(lambda self: POINTS[self._get(0)], lambda self, name: self.reach(name))
    step = property(lambda self: self._get(1), lambda self, value: self._set(1, value))
    lost = property(lambda self: self._get(2), lambda self, value: self._set(2, value))
    deadlocks = property(lambda self: self._get(4), lambda self, value: self._set(4, value))
    done = property(lambda self: bool(self._get(3)), lambda self, value: self._set(3, value))


class ThreadedSlot(Slot):
    """Of a process of many threads: a commit of it is in flight as long as one of any thread is."""

    def __init__(self, memory: mmap, at: int) -> None:
        super().__init__(memory, at)
        self._flying: set[int] = set()
        self._lock = Lock()

    def reach(self, name: str) -> None:
        with self._lock:
            (self._flying.add if name in IN_FLIGHT else self._flying.discard)(get_ident())
            super().reach(IN_FLIGHT[0] if self._flying else name)


def slot_at(address: str) -> ThreadedSlot:
    path, _, at = address.rpartition(":")
    with Path(path).open("r+b") as file:
        return ThreadedSlot(mmap(file.fileno(), 0), int(at))


def watch(slot: Slot | None) -> None:
    """From now on this process says where it is, and dies where it is told to."""
    from ledgerctl import pending
    from ledgerctl.db import audit, connection, journal
    from ledgerctl.db.answers import WatchedConnection
    from ledgerctl.db.pipeline import Pipeline
    from ledgerctl.services import payments

    reach = _reach(slot)
    _around(connection.Database, "_dial", reach, "dialling", "dialled")
    _around(connection, "_begin", reach, "", "begun")
    _around(journal, "gather", reach, "locking", "held")
    _around(payments, "decide", reach, "", "decided")
    _around(journal, "write", reach, "", "written")
    _around(audit, "log", reach, "", "logged")
    _around(pending, "_write", reach, "keeping", "kept")
    _around(pending, "forget", reach, "forgetting", "")

    execute, hand_over = WatchedConnection.execute, Pipeline.execute

    def watched_execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if query == "COMMIT":
            reach("committing")
            reach("flying")  # it comes back with the answer
        return execute(self, query, *args, **kwargs)

    def watched_hand_over(self: Any, query: Any, params: Any = None) -> Any:
        if query != "COMMIT":
            return hand_over(self, query, params)
        reach("committing")
        answer = hand_over(self, query)
        reach("flying")
        return answer

    once = connection.Database._once
    counting = Lock()

    def watched_once(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = once(self, *args, **kwargs)
        except connection._Failed as failed:
            if slot is not None:
                with counting:
                    slot.lost += failed.unknown
                    slot.deadlocks += isinstance(failed.error, DeadlockDetected)
                slot.point = "idle"
            raise
        reach("committed")
        return answer

    WatchedConnection.execute = watched_execute  # type: ignore[method-assign]
    Pipeline.execute = watched_hand_over  # type: ignore[method-assign]
    connection.Database._once = watched_once  # type: ignore[method-assign]


def _reach(slot: Slot | None) -> Callable[[str], None]:
    name, _, times = os.environ.get(VARIABLE, "").partition(":")
    left = {name: int(times or 1)} if name else {}

    def reach(point: str) -> None:
        if slot is not None:
            slot.point = point
        if point not in left:
            return
        left[point] -= 1
        if left[point]:
            return
        if point != "flying":
            os.kill(os.getpid(), signal.SIGKILL)
        # Not handled, and by default deadly: as sudden as SIGKILL, only later.
        signal.setitimer(signal.ITIMER_REAL, _FLIGHT_S * (1 + os.getpid() % 7) / 7)

    return reach


def _around(owner: Any, name: str, reach: Callable[[str], None], before: str, after: str) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if before:
            reach(before)
        answer = original(*args, **kwargs)
        if after:
            reach(after)
        return answer

    setattr(owner, name, watched)
