"""What is done from outside to Redis, to the clients and to the database while they work."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg
import redis as client
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults.servers import Server
from tests.faults.stale_clients import Plan
from tests.redis_servers import Redis

_RARE = {"killed": 0.2, "brought back old": 0.5, "database stopped": 0.05}
"""How often they are drawn, where another is drawn once: they end the epoch, or take long."""
_POLICIES = ("noeviction", "allkeys-random", "volatile-lru")
_INVENTED = b'v1:%b["liability", "EUR", 2, "100", 1]' % (b"0" * 64)


class Faults:
    """One after another, drawn; what lasts is over when the next one strikes, or after `undo`."""

    def __init__(
        self, server: Server, redis: Redis, conninfo: str, draw: random.Random, pids: dict[int, int], plan: Plan
    ) -> None:
        self._server, self._redis, self._conninfo, self._draw = server, redis, conninfo, draw
        self._pids, self._writers = pids, plan.writers
        self._undo: list[Callable[[], object]] = []
        self._faults: dict[str, Callable[[], object]] = {
            "emptied": lambda: self._ask("FLUSHALL"),
            "killed": self._kill,
            "brought back old": self._bring_back,
            "paused": self._pause,
            "filled up": self._fill_up,
            "forged": self._forge,
            "swapped": self._swap,
            "cut off": lambda: self._ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
            "client stopped": self._stop_client,
            "writer killed": self._kill_writer,
            "session ended": self._end_session,
            "database stopped": self._stop_database,
        }
        self._weights = [_RARE.get(name, 1) * (not plan.faults or name in plan.faults) for name in self._faults]

    def strike(self) -> str:
        """The fault's name."""
        self.undo()
        [name] = self._draw.choices(list(self._faults), self._weights)
        self._faults[name]()
        return name

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _ask(self, *command: object) -> object:
        connection = client.Redis.from_url(self._redis.url, retry=Retry(NoBackoff(), 0), socket_timeout=5)
        with connection:
            return connection.execute_command(*command)  # type: ignore[no-untyped-call]  # the library's

    def _keys(self) -> list[bytes]:
        keys = self._ask("KEYS", "ledgerctl:*")
        assert isinstance(keys, list)
        return keys

    def _kill(self) -> None:
        self._redis.kill()
        time.sleep(self._draw.uniform(0, 0.1))
        self._redis.start()

    def _bring_back(self) -> None:
        """Killed, and started with a dump of a moment ago."""
        self._ask("SAVE")
        time.sleep(self._draw.uniform(0.02, 0.3))
        self._redis.kill()
        self._redis.start()

    def _pause(self) -> None:
        self._redis.pause()
        self._undo.append(self._redis.resume)
        time.sleep(self._draw.uniform(0, 0.4))

    def _fill_up(self) -> None:
        """Nothing can be written, or something else must go for it."""
        self._ask("CONFIG", "SET", "maxmemory-policy", self._draw.choice(_POLICIES))
        self._ask("CONFIG", "SET", "maxmemory", "1")
        self._undo.append(lambda: self._ask("CONFIG", "SET", "maxmemory", "0"))

    def _forge(self) -> None:
        for key in self._keys():
            value = self._ask("GET", key)
            text = value if isinstance(value, bytes) else b""
            forged = self._draw.choice([_INVENTED, b"", b"m", b"l", b"v9999999" + text[2:], text[:-3]])
            self._ask("SET", key, forged)

    def _swap(self) -> None:
        """Each holds what another should."""
        keys = self._keys()
        if len(keys) < 2:  # what one holds is its own, and was true a moment ago
            return
        values = [self._ask("GET", key) for key in keys]
        for key, value in zip(keys, values[1:] + values[:1], strict=True):
            if isinstance(value, bytes):
                self._ask("SET", key, value)

    def _stop_client(self) -> None:
        pid = self._draw.choice(list(self._pids.values()))
        self._signal(pid, signal.SIGSTOP)
        self._undo.append(lambda: self._signal(pid, signal.SIGCONT))
        time.sleep(self._draw.uniform(0, 0.5))

    def _kill_writer(self) -> None:
        self._signal(self._pids[self._draw.randrange(self._writers)], signal.SIGKILL)

    def _end_session(self) -> None:
        ended = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
        )
        with suppress(psycopg.Error), psycopg.connect(self._conninfo, autocommit=True) as conn:
            conn.execute(ended)

    def _stop_database(self) -> None:
        self._server.kill()
        self._server.start()
        self._server.wait()

    @staticmethod
    def _signal(pid: int, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
