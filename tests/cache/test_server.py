"""The one connection to Redis: what it waits for, when it gives up, and what it takes for another Redis."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from ledgerctl.cache import Away
from ledgerctl.cache import server as cache_server
from ledgerctl.cache.server import FAILURES_MAX, Script, Server
from ledgerctl.errors import BadConfig
from tests import redis_servers
from tests.redis_servers import Redis

ECHO = Script("return {KEYS[1], ARGV[1]}")


@pytest.fixture
def server(redis: Redis) -> Iterator[Server]:
    made = Server(redis.url, 0.5)
    yield made
    made.close()


def test_a_script_is_run_by_its_name_also_after_redis_forgot_it(server: Server) -> None:
    assert server.run(ECHO, ["key"], ["argument"]) == [b"key", b"argument"]
    server._connect().script_flush()
    assert server.run(ECHO, ["key"], [7]) == [b"key", b"7"]


def test_a_script_that_fails_is_told_as_a_failure(server: Server) -> None:
    with pytest.raises(Away, match="boom"):
        server.run(Script("return redis.error_reply('boom')"), [], [])
    assert server.run(ECHO, ["key"], [7]) == [b"key", b"7"]


def test_the_process_behind_the_connection_is_known(server: Server, redis: Redis) -> None:
    first = server.instance()
    redis.kill()
    redis.start()
    with pytest.raises(Away):
        server.get("key")

    second = server.instance()

    assert (len(first.run_id), first.unfit, second.unfit) == (81, "", "")
    assert first.run_id != second.run_id


def test_a_connection_that_was_cut_is_not_made_again_unseen(server: Server) -> None:
    """The next command would go to whatever process answers now."""
    server.set_all({"key": b"value"}, 60)
    with Other(server.url) as other:
        other._connect().client_kill_filter(_type="normal", skipme=True)

    with pytest.raises(Away):
        server.get("key")
    assert server.get("key") == b"value"


class Other(Server):
    def __init__(self, url: str) -> None:
        super().__init__(url, 0.5)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(server: Server, redis: Redis) -> None:
    server.set_all({"first": b"1"}, 60)
    server.set_all({"second": b"2"}, 60)
    redis.pause()
    with pytest.raises(Away, match="Timeout"):
        server.get("first")
    redis.resume()

    assert server.get("second") == b"2"


def test_after_an_interrupt_the_connection_is_another_one(server: Server, redis: Redis) -> None:
    server.set_all({"first": b"1"}, 60)
    server.set_all({"second": b"2"}, 60)
    client = server._connect()

    def asked_and_interrupted() -> bytes:
        connection = client.connection
        assert connection is not None
        connection.send_command("GET", "first")  # type: ignore[no-untyped-call]  # the library's
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        server._asked(lambda _client: asked_and_interrupted())

    assert server.get("second") == b"2"


def test_of_many_that_are_sent_together_every_answer_is_read(server: Server) -> None:
    """Else the next command would have theirs."""
    server.set_all({"first": b"1", "second": b"2"}, 60)
    assert server.get_all(["second", "none", "first"]) == [b"2", None, b"1"]
    server._connect().config_set("maxmemory", 1)

    with pytest.raises(Away, match="maxmemory"):
        server.set_all({"third": b"3", "fourth": b"4"}, 60)

    assert server.get("first") == b"1"


def test_it_is_left_alone_after_some_failures_and_tried_again(
    server: Server, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = [100.0]
    monkeypatch.setattr("ledgerctl.cache.server.time.monotonic", lambda: moment[0])
    server.set_all({"key": b"value"}, 60)
    redis.kill()

    rests = []
    for _ in range(FAILURES_MAX + 2):
        with pytest.raises(Away):
            server.get("key")
        rests.append((server.resting, server._rests_until - moment[0]))
        moment[0] = max(moment[0], server._rests_until)

    assert rests[: FAILURES_MAX - 1] == [(False, -100.0)] * (FAILURES_MAX - 1)
    assert rests[FAILURES_MAX - 1 :] == [(True, 1.0), (True, 2.0), (True, 4.0)]
    assert not server.resting  # the rest is over: the next is a trial
    redis.start()
    assert (server.get("key"), server._failures) == (None, 0)


def test_somebody_who_accepts_and_says_nothing_costs_the_timeout_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = Server(f"redis://127.0.0.1:{silent.getsockname()[1]}", 0.05)
        asking = threading.Thread(target=pytest.raises, args=(Away, server.get, "key"))
        asking.start()
        asking.join(20)

    assert not asking.is_alive()


def test_a_redis_that_refuses_us_is_away(redis: Redis) -> None:
    with Other(redis.url) as other:
        other._connect().config_set("requirepass", "secret")
    with pytest.raises(Away) as refused:
        Server(redis.url, 0.5).get("key")
    assert "secret" not in str(refused.value)


def test_a_redis_with_a_replica_is_not_fit_for_balances_nor_is_the_replica(redis: Redis) -> None:
    with redis_servers.replica(redis) as copy:
        found = [Server(one.url, 0.5).instance().unfit for one in (redis, copy)]

    assert ["replicas" in unfit for unfit in found] == [True, True]


def test_a_replica_that_comes_later_is_noticed_and_so_is_that_it_was_one(
    redis: Redis, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_server, "LOOK_S", 0.0)
    first = server.instance()
    with redis_servers.replica(redis) as copy:
        assert "replicas" in server.instance().unfit
        behind = Server(copy.url, 0.5)
        assert "replicas" in behind.instance().unfit
        behind._connect().replicaof("NO", "ONE")
        promoted = behind.instance()

    assert (promoted.unfit, promoted.run_id.split(":")[1] == first.run_id.split(":")[1]) == ("", False)


def test_a_name_that_is_looked_up_for_ever_costs_the_timeout_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is asked here: it is the library of the system that takes its time."""
    go = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: go.wait(30))
    try:
        with pytest.raises(Away, match="TimeoutError"):
            Server("redis://cache.internal", 0.05).get("key")
    finally:
        go.set()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://user:secret@host",
        "redis://host:port",
        "/var/run/redis.sock",
        "redis://host?socket_timeout=3600",
        "redis://host?foo",
    ],
)
def test_what_is_no_address_is_a_wrong_setting_before_anything_is_done(url: str) -> None:
    with pytest.raises(BadConfig, match=r"redis\.url") as wrong:
        Server(url, 0.5)
    assert "secret" not in str(wrong.value)


def test_without_the_library_it_says_what_to_install(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(BadConfig) as wrong:
        Server(redis.url, 0.5).get("key")
    assert wrong.value.advice == "pip install 'ledgerctl[redis]'"
