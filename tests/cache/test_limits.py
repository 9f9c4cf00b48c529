"""Limits that several processes share, and what is left of them without Redis. Against a real server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis as Client

from ledgerctl.cache import limits
from ledgerctl.cache import server as server_module
from ledgerctl.cache.limits import ASK, CLOSED_S, RESENDS, Inside, Limiter, Policy, used
from ledgerctl.cache.server import FAILURES_MAX, Script, Server
from tests import redis_servers
from tests.redis_servers import Redis

LONG_S = 1_000_000
"""A window in which nothing comes back while a test runs: a hundredth of it takes hours."""
LOGINS = Policy("login", 5, LONG_S, "closed")
WRITES = Policy("write", 5, LONG_S, "local")


@pytest.fixture(scope="module")
def shared() -> Iterator[Redis]:
    with redis_servers.running() as redis:
        yield redis


@pytest.fixture
def looking(shared: Redis) -> Iterator[Client]:
    """A plain connection to the server, which holds nothing."""
    with Client.from_url(shared.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def server(shared: Redis, looking: Client) -> Iterator[Server]:
    server = Server(shared.url, 5.0)
    yield server
    server.close()


@pytest.fixture
def limiter(server: Server) -> Limiter:
    return Limiter(server)


@pytest.fixture
def failing() -> Iterator[Redis]:
    """A server for one test, which may do to it what it likes."""
    with redis_servers.running() as redis:
        yield redis


@pytest.fixture
def hurried(failing: Redis) -> Iterator[Server]:
    """Does not wait long for it."""
    server = Server(failing.url, 0.1)
    yield server
    server.close()


def _allowed(limiter: Limiter, policy: Policy, subject: str, asked: int) -> int:
    return sum(limiter.ask(policy, subject).allowed for _ in range(asked))


def _counts(server: Server) -> dict[str, int]:
    return {what: count for (_, what), count in server.counts.items()}


def _now_us(client: Client) -> int:
    seconds, us = client.time()
    return int(seconds) * 1_000_000 + int(us)


def _only(client: Client) -> bytes:
    [name] = _names(client)
    return name


def _names(client: Client) -> list[bytes]:
    return [name for name in client.scan_iter() if isinstance(name, bytes)]


def _value(client: Client, name: bytes) -> bytes:
    value = client.get(name)
    return value if isinstance(value, bytes) else b""


def _expiry_ms(client: Client, name: bytes) -> int:
    expiry_ms = client.pttl(name)
    assert isinstance(expiry_ms, int)
    return expiry_ms


# With Redis


def test_exactly_as_many_are_allowed_at_once(limiter: Limiter, server: Server) -> None:
    answers = [limiter.ask(LOGINS, "alice") for _ in range(7)]

    assert [answer.allowed for answer in answers] == [True] * 5 + [False] * 2
    assert [answer.remaining for answer in answers] == [4, 3, 2, 1, 0, 0, 0]
    assert {answer.limit for answer in answers} == {5}
    assert _counts(server) == {"allowed": 5, "refused": 2}


def test_an_answer_says_when_it_is_worth_asking_again(limiter: Limiter) -> None:
    first, *_, last, refused = [limiter.ask(LOGINS, "alice") for _ in range(6)]

    assert (first.reset_s, first.retry_s) == (LONG_S // 5, 0)
    assert LONG_S - 1000 < last.reset_s <= LONG_S
    assert LONG_S - 1000 < refused.reset_s <= LONG_S
    assert LONG_S // 5 - 1000 < refused.retry_s <= LONG_S // 5


@pytest.mark.parametrize("back", [1, 50, 99, 100])
def test_what_was_used_comes_back_evenly(limiter: Limiter, looking: Client, back: int) -> None:
    """Time passes by the server's clock: what was written is set to an earlier time."""
    policy = Policy("write", 100, LONG_S, "closed")
    assert _allowed(limiter, policy, "alice", 101) == 100

    name = _only(looking)
    looking.set(name, _now_us(looking) + policy.window_us - back * policy.step_us)

    assert _allowed(limiter, policy, "alice", 101) == back


def test_who_waits_as_long_as_he_is_told_is_allowed(limiter: Limiter) -> None:
    policy = Policy("write", 2, 1, "closed")
    while (answer := limiter.ask(policy, "alice")).allowed:
        pass
    time.sleep(answer.retry_s)

    assert limiter.ask(policy, "alice").allowed


def test_no_more_than_the_rate_is_allowed_over_time(limiter: Limiter, looking: Client) -> None:
    policy = Policy("write", 10, 1, "closed")
    began = _now_us(looking)
    allowed = 0
    while allowed < 15:
        allowed += limiter.ask(policy, "alice").allowed
    took = _now_us(looking) - began

    assert allowed <= policy.requests + took // policy.step_us


def test_nothing_is_kept_of_who_has_his_allowance_again(limiter: Limiter, looking: Client) -> None:
    limiter.ask(WRITES, "alice")
    assert 0 < _expiry_ms(looking, _only(looking)) <= WRITES.step_us // 1000 + 1

    looking.flushall()
    limiter.ask(Policy("write", 5, 1, "closed"), "alice")
    while looking.dbsize():
        time.sleep(0.05)


ASKING = """
import sys
from ledgerctl.cache.limits import Limiter, Policy
from ledgerctl.cache.server import Server

server = Server(sys.argv[1], 30.0)
limiter = Limiter(server)
limiter.ask(Policy("ready", 1, 1, "closed"), "everybody")
print(flush=True)
sys.stdin.readline()
print(sum(limiter.ask(Policy("write", 100, 1_000_000, "closed"), "alice").allowed for _ in range(200)))
server.close()
"""


def test_processes_share_one_limit_exactly(shared: Redis, looking: Client) -> None:
    command = [sys.executable, "-c", ASKING, shared.url]
    some = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in some:
        assert process.stdout is not None
        process.stdout.readline()

    for process in some:  # all are ready, and now ask at once
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    allowed = [int(process.communicate()[0]) for process in some]

    assert sum(allowed) == 100


def test_subjects_and_policies_have_allowances_of_their_own(limiter: Limiter) -> None:
    assert _allowed(limiter, LOGINS, "alice", 6) == 5
    assert _allowed(limiter, LOGINS, "bob", 6) == 5
    assert _allowed(limiter, WRITES, "alice", 6) == 5


def test_no_subject_can_be_read_in_redis(limiter: Limiter, looking: Client) -> None:
    subjects = ["alice", "bob@example.org", "müller", "\ud800"]  # the last is no text, but JSON may hold it
    for subject in subjects:
        limiter.ask(LOGINS, subject)
    names = _names(looking)
    dump = b"".join(name + _value(looking, name) for name in names).decode("ascii")

    assert len(names) == len(subjects)
    assert not any(subject in dump for subject in subjects)
    for name in names:
        _, _, policy, digest = name.decode().split(":")
        assert policy == "login"
        assert len(bytes.fromhex(digest)) == 16


@pytest.mark.parametrize("ahead_s", [1, 3600, 10**9])
def test_a_clock_that_is_set_back_keeps_nobody_out_for_longer_than_a_window(
    limiter: Limiter, looking: Client, ahead_s: int
) -> None:
    """What an hour ahead had written stands there, and would stand for an hour."""
    policy = Policy("login", 5, 1, "closed")
    limiter.ask(LOGINS, "alice")
    name = _only(looking)
    looking.set(name, _now_us(looking) + (ahead_s + 1) * 1_000_000, px=(ahead_s + 1) * 1000)

    refused = limiter.ask(policy, "alice")
    expiry_ms, full_at_us = _expiry_ms(looking, name), int(_value(looking, name) or 0)

    assert not refused.allowed
    assert (refused.retry_s, refused.reset_s) == (1, 1)
    assert expiry_ms <= 1001
    assert full_at_us <= _now_us(looking) + policy.window_us
    while not limiter.ask(policy, "alice").allowed:
        time.sleep(0.05)


@pytest.mark.parametrize("value", ["", "nonsense", "nan", "-1"])
def test_what_is_no_time_is_replaced(limiter: Limiter, looking: Client, value: str) -> None:
    limiter.ask(LOGINS, "alice")
    looking.set(_only(looking), value)

    assert _allowed(limiter, LOGINS, "alice", 6) == 5


def test_one_question_is_one_command(limiter: Limiter, looking: Client) -> None:
    limiter.ask(LOGINS, "alice")  # the first brings the script
    looking.config_resetstat()

    _allowed(limiter, LOGINS, "alice", 9)

    calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in looking.info("commandstats").items()}
    calls.pop("config|resetstat", None)
    inside = {"time": 9, "get": 9, "set": 4}  # the script's own
    assert calls == {"evalsha": 9, **inside}


def test_an_emptied_redis_begins_anew_and_is_asked_as_before(limiter: Limiter, looking: Client, server: Server) -> None:
    assert _allowed(limiter, LOGINS, "alice", 6) == 5
    looking.flushall()
    looking.script_flush()

    assert _allowed(limiter, LOGINS, "alice", 6) == 5
    assert _counts(server) == {"allowed": 10, "refused": 2}


# Without Redis


def _killed(redis: Redis) -> None:
    redis.kill()


def _paused(redis: Redis) -> None:
    redis.pause()


def _full(redis: Redis) -> None:
    with Client.from_url(redis.url) as client:
        client.config_set("maxmemory", 1)


def _in_the_way(redis: Redis) -> None:
    """Something else stands at the subject's name."""
    with Client.from_url(redis.url) as client:
        for name in _names(client):
            client.delete(name)
            client.lpush(name, "something")


LOSSES = pytest.mark.parametrize("lost", [_killed, _paused, _full, _in_the_way])


@LOSSES
def test_what_may_be_guessed_at_is_refused_without_redis(
    failing: Redis, hurried: Server, lost: Callable[[Redis], None]
) -> None:
    limiter = Limiter(hurried)
    assert limiter.ask(LOGINS, "alice").allowed
    lost(failing)

    answers = [limiter.ask(LOGINS, "alice") for _ in range(8)]

    assert set(answers) == {(False, 5, 0, CLOSED_S, CLOSED_S, False)}
    assert _counts(hurried) == {"allowed": 1, "closed": 8}


@LOSSES
def test_what_moves_money_is_limited_inside_the_process_without_redis(
    failing: Redis, hurried: Server, lost: Callable[[Redis], None]
) -> None:
    limiter = Limiter(hurried)
    assert limiter.ask(WRITES, "alice").allowed
    lost(failing)

    answers = [limiter.ask(WRITES, "alice") for _ in range(8)]

    assert [answer.allowed for answer in answers] == [True] * 5 + [False] * 3
    assert [answer.remaining for answer in answers] == [4, 3, 2, 1, 0, 0, 0, 0]
    assert _counts(hurried) == {"allowed": 1, "fallback": 8}


def test_a_key_may_be_sent_again_when_no_new_request_is_allowed(failing: Redis, hurried: Server) -> None:
    limiter = Limiter(hurried)
    assert _allowed(limiter, WRITES, "alice", 6) == 5
    assert limiter.ask(RESENDS, "alice").allowed

    failing.kill()

    assert _allowed(limiter, WRITES, "alice", 6) == 5
    assert limiter.ask(RESENDS, "alice").allowed


def test_a_server_that_rests_is_not_asked(failing: Redis, hurried: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LEAST_REST_S", 3600.0)
    limiter = Limiter(hurried)
    failing.kill()
    _allowed(limiter, WRITES, "alice", FAILURES_MAX)
    failing.start()

    limiter.ask(LOGINS, "alice")
    limiter.ask(WRITES, "alice")

    assert _counts(hurried) == {"fallback": FAILURES_MAX + 1, "closed": 1}


def test_redis_is_asked_again_when_it_is_back(failing: Redis, hurried: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LEAST_REST_S", 0.0)
    limiter = Limiter(hurried)
    failing.kill()
    assert _allowed(limiter, WRITES, "alice", FAILURES_MAX) == FAILURES_MAX
    failing.start()

    assert limiter.ask(LOGINS, "alice").allowed
    assert _counts(hurried) == {"fallback": FAILURES_MAX, "allowed": 1}


def test_no_server_is_one_that_is_away() -> None:
    limiter = Limiter(None)

    assert not limiter.ask(LOGINS, "alice").allowed
    assert _allowed(limiter, WRITES, "alice", 8) == 5


def test_limiters_of_one_process_share_what_is_inside() -> None:
    inside = Inside()
    one, other = Limiter(None, inside), Limiter(None, inside)

    assert _allowed(one, WRITES, "alice", 3) == 3
    assert _allowed(other, WRITES, "alice", 3) == 2


def test_threads_share_one_limit_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, policy = Inside(), Policy("write", 100, LONG_S, "local")
    allowed: list[int] = []

    def slowly_used(owed_us: int, policy: Policy) -> tuple[bool, int]:
        time.sleep(0.0001)  # between reading and writing
        return used(owed_us, policy)

    def ask() -> None:
        allowed.append(_allowed(Limiter(None, inside), policy, "alice", 200))

    monkeypatch.setattr(limits, "used", slowly_used)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(allowed) == 100


def test_what_was_used_inside_comes_back_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    now_us = 0
    monkeypatch.setattr(limits, "_now_us", lambda: now_us)
    limiter = Limiter(None)
    assert _allowed(limiter, WRITES, "alice", 6) == 5

    now_us = 2 * WRITES.step_us
    assert _allowed(limiter, WRITES, "alice", 6) == 2
    now_us += 100 * WRITES.step_us
    assert _allowed(limiter, WRITES, "alice", 6) == 5


def test_only_so_many_subjects_are_remembered_and_those_first_who_used_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INSIDE_MAX", 10)
    inside = Inside()
    limiter = Limiter(None, inside)
    assert _allowed(limiter, WRITES, "alice", 6) == 5

    for number in range(100):
        limiter.ask(WRITES, f"subject-{number}")
        assert len(inside) <= 10

    assert not limiter.ask(WRITES, "alice").allowed


def test_who_has_his_allowance_again_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now_us = 0
    monkeypatch.setattr(limits, "_now_us", lambda: now_us)
    monkeypatch.setattr(limits, "INSIDE_MAX", 10)
    inside = Inside()
    limiter = Limiter(None, inside)
    for number in range(10):
        limiter.ask(WRITES, f"subject-{number}")

    now_us = WRITES.window_us
    limiter.ask(WRITES, "alice")

    assert len(inside) == 1


# The algorithm

POLICIES = st.builds(Policy, st.just("some"), st.integers(1, 12), st.integers(1000, 9000), st.just("local"))


def _bucket(policy: Policy) -> Callable[[int], bool]:
    """The model: a bucket that holds `requests`, is full, and gets one every step. Told the time, it gives one."""
    tokens, last_us = Fraction(policy.requests), 0

    def ask(now_us: int) -> bool:
        nonlocal tokens, last_us
        tokens = min(tokens + Fraction(now_us - last_us, policy.step_us), Fraction(policy.requests))
        last_us = now_us
        if tokens < 1:
            return False
        tokens -= 1
        return True

    return ask


@settings(deadline=None)  # the machine may be busy
@given(POLICIES, st.data())
def test_the_algorithm_is_a_bucket_of_tokens(policy: Policy, data: st.DataObject) -> None:
    ask = _bucket(policy)
    now_us = full_at_us = 0
    for pause_us in data.draw(_pauses(policy, least_us=0)):
        now_us += pause_us
        allowed, owed_us = used(full_at_us - now_us, policy)
        full_at_us = now_us + owed_us

        assert allowed == ask(now_us)


@settings(deadline=None)  # the machine may be busy
@given(POLICIES, st.data())
def test_redis_and_the_process_agree(shared: Redis, policy: Policy, data: st.DataObject) -> None:
    """Also where the clock is set back. The script is told the time here, and nothing else of it is another."""
    text = ASK.text.replace("redis.call('TIME')", "{ARGV[3], ARGV[4]}")
    assert text != ASK.text
    script, name = Script(text), "told-the-time"
    now_us = 1_700_000_000_000_000
    full_at_us = 0
    server = Server(shared.url, 5.0)
    try:
        server.run(Script("return redis.call('DEL', KEYS[1])"), [name], [])
        for pause_us in data.draw(_pauses(policy, least_us=-2 * policy.window_us)):
            now_us += pause_us
            allowed, owed_us = used(full_at_us - now_us, policy)
            full_at_us = now_us + owed_us
            time_: list[Any] = [now_us // 1_000_000, now_us % 1_000_000]
            assert server.run(script, [name], [policy.step_us, policy.window_us, *time_]) == [allowed, owed_us]
            assert server.get(name) == str(full_at_us).encode()
    finally:
        server.close()


def _pauses(policy: Policy, least_us: int) -> st.SearchStrategy[list[int]]:
    """About as long as matters: none, a step, one microsecond less or more, a window."""
    steps = st.sampled_from([0, 0, 1, 1, 2, policy.requests])
    some = st.builds(lambda step, more: step * policy.step_us + more, steps, st.integers(-1, 1))
    return st.lists(some.filter(lambda us: us >= least_us) | st.integers(least_us, policy.window_us), max_size=40)
