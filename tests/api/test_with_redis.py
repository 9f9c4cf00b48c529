"""The API beside a Redis: what it answers from there, what servers share there, and that it goes on without it."""

from __future__ import annotations

import re
import time

from tests.api.conftest import Client, Serve, filled
from tests.redis_servers import Redis


def counted(api: Client) -> dict[tuple[str, str], int]:
    """What came of asking Redis, by use and result."""
    found = re.findall(
        r'^ledgerctl_http_cache_requests_total\{result="(\w+)",use="(\w+)"\} (\S+)$', api.get("/metrics").text, re.M
    )
    return {(use, result): int(float(number)) for result, use, number in found}


def test_repeats_and_balances_are_answered_from_redis_and_counted(serve: Serve, redis: Redis) -> None:
    api = serve(redis={"url": redis.url, "balances": True})
    filled(api)

    repeated = api.transfer("bank", "alice", "100.00", "deposit")
    balances, reads = set(), 0
    while reads < 30 or ("balances", "hit") not in counted(api):  # on a busy machine, leave to read there comes later
        time.sleep(0.05 if reads >= 30 else 0)
        balances.add(api.balance("alice"))
        reads += 1

    assert (repeated.status_code, repeated.headers["Idempotent-Replayed"]) == (201, "true")
    assert balances == {"100.00"}
    counts = counted(api)
    assert counts["outcomes", "hit"] == 1
    assert counts["limits", "allowed"] > 30
    assert counts["balances", "hit"] + counts["balances", "miss"] + counts.get(("balances", "fallback"), 0) == reads


def test_servers_share_what_a_subject_may_ask(serve: Serve, redis: Redis) -> None:
    first, second = (serve(redis={"url": redis.url}, api={"requests": 4, "window_s": 3600}) for _ in range(2))

    answers = [api.get("/api/v1/accounts/nobody").status_code for api in (first, second, first, second, first, second)]

    assert answers == [404, 404, 404, 404, 429, 429]


def test_it_goes_on_without_redis(serve: Serve, redis: Redis) -> None:
    api = serve(redis={"url": redis.url, "balances": True, "timeout_ms": 50}, database={"deadline_s": 5})
    filled(api)
    redis.kill()

    assert api.transfer("alice", "bob", "1.00", "first").status_code == 201
    assert api.transfer("alice", "bob", "1.00", "first").headers["Idempotent-Replayed"] == "true"
    assert (api.balance("alice"), api.balance("bob")) == ("99.00", "1.00")
    assert counted(api)["limits", "fallback"] > 0
