"""What is done to a run while it works.

Each fault says whether a commit was surely in flight when it struck; None when there was nothing that it could strike.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from tests.faults.apis import Api, Apis
from tests.faults.points import IN_FLIGHT, POINTS, Board
from tests.faults.servers import Server, see_off

_ANSWERS_LOST_S = 0.05
"""So long after the server's processes die, clients still find out that their answer is lost."""
_COMES_THERE_S = 0.5
_LOOKS_S = 0.0001
_FLIGHT_S = 0.003
_SERVES_S = 5
_SAME_TIME_S = 60
_POINTS = POINTS[1 : POINTS.index("keeping")]
_ONCE = ("dialling", "dialled")
"""A connection that holds is not dialled again."""
_SMALL_DISK = 1 << 30
_SESSION = ": ledgerctl bank_"
"""In the title of a process that serves a client of a bank."""


@dataclass
class Victims:
    """What a fault may strike: the client processes by number, and the server that they talk to."""

    server: Server
    conninfo: str
    board: Board
    clients: dict[int, int]
    commands: int
    """So many of the clients run commands, each a process of its own that would outlive them: they are not killed."""
    apis: Apis | None
    draw: random.Random
    start: Callable[[int, str], None]
    """Start a client again, from where it was; with the point at which it is to be killed."""


def kill_client(victims: Victims) -> bool | None:
    """SIGKILL at a random moment."""
    number = _mortal(victims)
    if number is None:
        return None
    os.kill(victims.clients[number], signal.SIGKILL)
    return _buried(victims, number)


def kill_client_at_a_point(victims: Victims) -> bool | None:
    """A client goes on until it comes to a named point for the n-th time, and dies there, or waiting on its way."""
    number = _mortal(victims)
    if number is None:
        return None
    os.kill(victims.clients[number], signal.SIGKILL)
    os.waitpid(victims.clients.pop(number), 0)
    point = victims.draw.choice((*_POINTS, *IN_FLIGHT * 8))
    victims.start(number, f"{point}:{victims.draw.randint(1, 1 if point in _ONCE else 3)}")
    pid, deadline = victims.clients[number], time.monotonic() + _COMES_THERE_S
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:  # it waits for somebody
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    return _buried(victims, number)


def _mortal(victims: Victims) -> int | None:
    numbers = [number for number in victims.clients if number >= victims.commands]
    return victims.draw.choice(numbers) if numbers else None


def _buried(victims: Victims, number: int) -> bool | None:
    """The client is dead when this returns, and another goes on in its place."""
    _, status = os.waitpid(victims.clients.pop(number), 0)
    point = victims.board.slot(number).point
    if not os.WIFSIGNALED(status):  # it came to its end before
        if status:
            raise ChildProcessError(f"client {number} ended with status {status}")
        return None
    victims.start(number, "")
    return point in IN_FLIGHT


def kill_api(victims: Victims) -> bool | None:
    """SIGKILL to a process of the REST API at a random moment; another one listens there soon."""
    return _kill(_serving(victims))


def kill_api_at_a_commit(victims: Victims) -> bool | None:
    """The same, a moment after it has handed over a COMMIT: before it leaves, on its way, or as its answer comes."""
    api = _committing(victims)
    time.sleep(victims.draw.uniform(0, _FLIGHT_S))
    return _kill(api)


def stop_api(victims: Victims) -> bool | None:
    """SIGTERM to one that commits: what it has taken it answers, which is checked later."""
    api = _committing(victims)
    if api is None:
        return None
    flying = api.slot.point in IN_FLIGHT
    api.stop()
    api.start()
    return flying


def _kill(api: Api | None) -> bool | None:
    if api is None:
        return None
    api.kill()
    flying = api.slot.point in IN_FLIGHT  # its last word
    api.start()
    return flying


def _committing(victims: Victims) -> Api | None:
    api, deadline = _serving(victims), time.monotonic() + _COMES_THERE_S
    while api is not None and api.slot.point not in IN_FLIGHT and time.monotonic() < deadline:
        time.sleep(_LOOKS_S)
    return api


def _serving(victims: Victims) -> Api | None:
    """One that serves, once another does too: clients that find nobody ask nothing."""
    if victims.apis is None:
        return None
    deadline = time.monotonic() + _SERVES_S
    while len(serving := victims.apis.serving()) < 2:
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)
    return victims.draw.choice(serving)


def kill_backend(victims: Victims) -> bool | None:
    """SIGKILL to one session's process: the server throws all others out and recovers."""
    sessions = victims.server.named(_SESSION)
    if not sessions:
        return None

    pid = victims.draw.choice(sessions)

    def strike() -> bool:
        if not _killed(pid):
            return False
        see_off(sessions)
        return True

    return _lost(victims, strike)


def kill_server(victims: Victims) -> bool | None:
    """SIGKILL to all of its processes."""
    return _lost(victims, victims.server.kill)


def stop_immediately(victims: Victims) -> bool | None:
    """What an administrator does who has no time for a checkpoint."""
    return _lost(victims, victims.server.quit)


def terminate_session(victims: Victims) -> bool | None:
    return _lost(victims, lambda: _signal_session(victims, "pg_terminate_backend"))


def cancel_statement(victims: Victims) -> bool | None:
    """What a nervous administrator does; a COMMIT is not cancelled by it."""
    return _lost(victims, lambda: _signal_session(victims, "pg_cancel_backend"))


def freeze_process(victims: Victims) -> bool | None:
    """SIGSTOP to a session, the log's writer, the checkpointer or a client, for a while."""
    titles = (_SESSION, "walwriter", "checkpointer")
    processes = [pid for title in titles for pid in victims.server.named(title)[:3]] + list(victims.clients.values())
    if not processes:
        return None
    pid = victims.draw.choice(processes)
    flying = any(victims.board.slot(number).point in IN_FLIGHT for number in victims.clients)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(victims.draw.uniform(0.1, 1.0))
        finally:
            os.kill(pid, signal.SIGCONT)
        return flying
    return None


def fill_disk(victims: Victims) -> bool | None:
    """Nothing is left of the disk for a moment. Only of a small one: nobody else's is filled."""
    place = victims.server.directory
    if shutil.disk_usage(place).total > _SMALL_DISK:
        return None
    ballast = place / "ballast"

    def strike() -> None:
        try:
            with ballast.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(1 << 16))
            for _ in range(victims.draw.randint(5, 15)):
                with suppress(psycopg.Error), psycopg.connect(victims.conninfo, autocommit=True) as conn:
                    conn.execute("SELECT pg_switch_wal()")  # the log too needs room now
                time.sleep(0.1)
        finally:
            ballast.unlink()

    return _lost(victims, strike)


def step_clock(victims: Victims) -> bool | None:
    """The server's clock jumps, an hour at most in either direction."""
    if victims.server.clock is None:
        return None
    flying = any(victims.board.slot(number).point in IN_FLIGHT for number in victims.clients)
    offset_s = victims.draw.randint(-3600, 3600)
    victims.server.clock.write_text(f"{offset_s:+d}\n")
    with psycopg.connect(victims.conninfo, autocommit=True) as conn:
        [[moved_s]] = conn.execute("SELECT extract(epoch FROM clock_timestamp())::float").fetchall()
    return flying if abs(moved_s - time.time() - offset_s) < _SAME_TIME_S else None


def truncate(victims: Victims) -> bool:
    """What must be refused, even to a superuser. It strikes no commit."""
    with psycopg.connect(victims.conninfo, autocommit=True) as conn, suppress(psycopg.errors.RestrictViolation):
        conn.execute("TRUNCATE transaction_entries")
    return False


FAULTS: dict[str, Callable[[Victims], bool | None]] = {
    "kill client": kill_client,
    "kill client at a point": kill_client_at_a_point,
    "kill api": kill_api,
    "kill api at a commit": kill_api_at_a_commit,
    "stop api": stop_api,
    "kill backend": kill_backend,
    "kill server": kill_server,
    "stop immediately": stop_immediately,
    "terminate session": terminate_session,
    "cancel statement": cancel_statement,
    "freeze process": freeze_process,
    "full disk": fill_disk,
    "step clock": step_clock,
    "truncate": truncate,
}
CRASHES = (*(name for name in FAULTS if name.startswith("kill")), "stop immediately")


def _lost(victims: Victims, strike: Callable[[], object]) -> bool | None:
    """Whether a client waited in vain for the answer to its COMMIT after the blow. None when the blow says no."""
    before = victims.board.lost()
    struck = strike()
    if struck is False:
        return None
    victims.server.wait()
    time.sleep(_ANSWERS_LOST_S)
    return victims.board.lost() > before


def _signal_session(victims: Victims, function: str) -> bool:
    """Whether there was one at work."""
    victims.server.wait()
    with psycopg.connect(victims.conninfo, autocommit=True) as conn:
        struck = conn.execute(
            f"SELECT {function}(pid) FROM pg_stat_activity WHERE application_name LIKE 'ledgerctl client%'"
            " AND state <> 'idle' ORDER BY random() LIMIT 1"
        )
        return struck.fetchone() == (True,)


def _killed(pid: int) -> bool:
    """Whether it was there to be killed."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
