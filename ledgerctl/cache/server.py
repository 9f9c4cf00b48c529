"""One connection to one Redis process: short waits, no retries, and a breaker for when it is gone."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from threading import Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, urlsplit

from ledgerctl.cache import Away
from ledgerctl.errors import BadConfig

if TYPE_CHECKING:
    from redis import Redis
    from redis.connection import Connection, ConnectionPool

T = TypeVar("T")

FAILURES_MAX = 3
"""After so many in a row, Redis is left alone for a while."""
LOOK_S = 1.0
"""Whether it has replicas, or is one, is asked again after so long."""
LEAST_REST_S, LONGEST_REST_S = 1.0, 30.0
"""For how long: twice as long each time that it is still gone."""
_SCHEMES = ("redis://", "rediss://", "unix://")
_OPTIONS = {"db", "username", "password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}


class Script:
    """A text in Lua, which Redis runs in one piece, and the name that Redis gives it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.name = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Instance(NamedTuple):
    """The Redis process that a connection leads to."""

    run_id: str
    """Its run_id and the name of its data set (master_replid): others after each start, and after it was a replica, so
    that what it held before is not taken for what it holds."""
    unfit: str
    """Why balances cannot be kept there, or nothing: it may lose or bring back what it has confirmed."""


class Server:
    """Opened when first asked. After any failure the connection is another: its process may be, too.

    Not for use by several threads. Every answer takes `timeout_s` at most, twice that where it must first connect.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        """BadConfig for what is no address of a Redis."""
        if not _is_address(url):
            raise _not_an_address()
        self.url = url
        self.counts: Counter[tuple[str, str]] = Counter()
        """What Redis was asked for and what came of it: (balances, hit), (outcomes, miss), (..., fallback)."""
        self._timeout_s = timeout_s
        self._client: Redis | None = None
        self._opening: Future[tuple[Redis, dict[str, Any], float]] | None = None
        """A connection that is on its way."""
        self._run_id = ""
        self._instance = Instance("", "")
        self._looked_at = 0.0
        self._failures = 0
        self._rest_s = 0.0
        self._rests_until = 0.0

    @property
    def resting(self) -> bool:
        """Whether the breaker is open: what can do without Redis need not try."""
        return self._failures >= FAILURES_MAX and time.monotonic() < self._rests_until

    def instance(self) -> Instance:
        """The process on the other side of the connection that the next command goes through. Away.

        That it has become a replica, or has one, is noticed within LOOK_S.
        """
        client = self._connect()
        if time.monotonic() > self._looked_at + LOOK_S:
            found = self._asked(lambda _client: client.info("replication"))
            self._instance, self._looked_at = _instance({**found, "run_id": self._run_id}), time.monotonic()
        return self._instance

    def get(self, key: str) -> bytes | None:
        """The value of a key. Away."""
        answer: bytes | None = self._asked(lambda client: _command(client, "GET", key))
        return answer

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each, in one answer. Away."""
        answer: list[bytes | None] = self._asked(lambda client: _command(client, "MGET", *keys))
        return answer

    def set_all(self, values: Mapping[str, bytes], seconds: int) -> None:
        """Each of them, sent together. Away: then some may be there, and others not."""
        self._asked(lambda client: _commands(client, [("SET", *item, "EX", seconds) for item in values.items()]))

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:
        """What the script returns. Away."""
        from redis.exceptions import NoScriptError

        def ask(client: Redis) -> Any:
            try:
                return _command(client, "EVALSHA", script.name, len(keys), *keys, *arguments)
            except NoScriptError:
                return _command(client, "EVAL", script.text, len(keys), *keys, *arguments)

        return self._asked(ask)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _asked(self, ask: Callable[[Redis], Any]) -> Any:
        from redis.exceptions import RedisError, ResponseError

        client = self._connect()
        try:
            answer = ask(client)
        except ResponseError as error:  # an answer, at once: it is full, or something else stands at the name
            raise Away(f"{type(error).__name__}: {error}") from error
        except BaseException as error:
            # Also after an interrupt: an answer that is still on its way must not be taken for the next one's.
            self.close()
            if isinstance(error, RedisError | OSError):
                raise self._failed(error) from error
            raise
        self._failures = 0
        return answer

    def _connect(self) -> Redis:
        if self._client is not None:
            return self._client
        redis = _library()
        from redis.backoff import NoBackoff
        from redis.connection import ConnectionPool, parse_url
        from redis.retry import Retry

        # One connection and no second try: the client would connect again unseen, perhaps to another process. Ours come
        # after those of the address, which may not wait longer, either.
        ours = {
            "socket_timeout": self._timeout_s,
            "socket_connect_timeout": self._timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,
        }
        try:
            if self._opening is None:
                pool = ConnectionPool(**{**parse_url(self.url), **ours})  # type: ignore[no-untyped-call]  # the library's
                self._opening = _begun(lambda: _opened(pool))
            client, info, self._looked_at = self._opening.result(2 * self._timeout_s)
        except (ValueError, TypeError):  # an option that there is not, too; its words may hold the password
            raise _not_an_address() from None
        except (redis.RedisError, OSError) as error:
            raise self._failed(error) from error
        finally:
            if self._opening is not None and self._opening.done():  # else it is waited for again the next time
                self._opening = None
        self._run_id = str(info["run_id"])
        self._instance = _instance(info)
        self._client = client
        return client

    def _failed(self, error: Exception) -> Away:
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            first = self._failures == FAILURES_MAX
            self._rest_s = LEAST_REST_S if first else min(2 * self._rest_s, LONGEST_REST_S)
            self._rests_until = time.monotonic() + self._rest_s
        return Away(f"{type(error).__name__}: {error}")


def _command(client: Redis, *words: str | bytes | int) -> Any:
    """By the connection itself, in half the time: the client would ask whether to try again or to look elsewhere."""
    connection = _connection(client)
    connection.send_command(*words, check_health=False)  # type: ignore[no-untyped-call]  # the library's
    return connection.read_response()


def _connection(client: Redis) -> Connection:
    assert client.connection is not None  # noqa: S101 - a client of a single connection has it
    return client.connection


def _commands(client: Redis, commands: Sequence[Sequence[str | bytes | int]]) -> None:
    """Many at once. Every answer is read before any is raised, or it would be taken for a later command's."""
    from redis.exceptions import ResponseError

    connection = _connection(client)
    connection.send_packed_command(connection.pack_commands(commands), check_health=False)  # type: ignore[no-untyped-call]  # the library's
    refusal = None
    for _ in commands:
        try:
            connection.read_response()
        except ResponseError as error:
            refusal = error
    if refusal is not None:
        raise refusal


def _is_address(url: str) -> bool:
    """As far as can be told without the library, before anything is done that it would stop."""
    try:
        parts = urlsplit(url)
        options = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        return url.startswith(_SCHEMES) and (parts.port is None or parts.port > 0) and options.keys() <= _OPTIONS
    except ValueError:
        return False


def _not_an_address() -> BadConfig:
    return BadConfig(detail="redis.url is not a redis://, rediss:// or unix:// address")


def _opened(pool: ConnectionPool) -> tuple[Redis, dict[str, Any], float]:
    """The client, what its server says of itself, and when."""
    import redis

    client: Redis = redis.Redis(connection_pool=pool, single_connection_client=True)
    return client, client.info(), time.monotonic()


def _begun(work: Callable[[], T]) -> Future[T]:
    """In a thread that need not be waited for: a name is looked up without a limit, and accounts may be locked."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, name="redis", daemon=True).start()
    return done


def _library() -> ModuleType:
    try:
        import redis
    except ModuleNotFoundError:
        hint = "pip install 'ledgerctl[redis]'"
        raise BadConfig(detail="[redis] url needs the redis library", hint=hint) from None
    return redis


def _instance(info: dict[str, Any]) -> Instance:
    unfit = ""
    if info.get("cluster_enabled"):
        unfit = "it is a cluster"
    elif info["role"] != "master" or info.get("connected_slaves"):
        unfit = "it has replicas, or is one: a failover loses what it has confirmed"
    return Instance(f"{info['run_id']}:{info['master_replid']}", unfit)
