"""How much one subject may ask for in a while, counted in Redis for all processes together.

GCRA, the generic cell rate algorithm, since a single number says all there is to know of a subject: when its allowance
will be full again. A counter for each window would let twice the limit through at once, around the window's edge, and
a log of requests takes room for each of them.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from typing import Literal, NamedTuple

from ledgerctl.cache import Away
from ledgerctl.cache.server import Script, Server

CLOSED_S = 5
"""When to ask again where only Redis could have told."""
INSIDE_MAX = 10_000
"""So many subjects are remembered inside a process."""

# `used` below, in Lua. It keeps what is no further ahead than a full window even where it refuses: after the clock was
# set back, neither the value nor its expiry, which is a time of the same clock, keeps anybody waiting longer.
ASK = Script("""
    local step, window = tonumber(ARGV[1]), tonumber(ARGV[2])
    local clock = redis.call('TIME')
    local now = clock[1] * 1000000 + clock[2]
    local ahead = math.max(0, (tonumber(redis.call('GET', KEYS[1])) or 0) - now)
    local owed = math.min(ahead, window)
    local allowed = owed + step <= window
    if allowed then owed = owed + step end
    if owed ~= ahead then
        redis.call('SET', KEYS[1], string.format('%.0f', now + owed), 'PX', math.ceil(owed / 1000) + 1)
    end
    return {allowed and 1 or 0, owed}
""")


class Policy(NamedTuple):
    """`requests` at once where the allowance is full; what is used of it comes back evenly, all within `window_s`."""

    name: str
    """Of a closed set: it stands in Redis as it is."""
    requests: int
    window_s: int
    without_redis: Literal["closed", "local"]
    """Closed for what may be guessed at, as a login; a limit of each process by itself for what moves money."""

    @property
    def step_us(self) -> int:
        """When one request comes back: rounded up, so that it is never too soon."""
        return -(-self.window_s * 1_000_000 // self.requests)

    @property
    def window_us(self) -> int:
        return self.step_us * self.requests


RESENDS = Policy("resend", 600, 60, "local")
"""For sending a key again whose outcome is unknown: beside the allowance for new requests, which may be used up. Who is
kept from asking what became of a payment makes another."""


class Answer(NamedTuple):
    """What the RateLimit fields say (draft-ietf-httpapi-ratelimit-headers), and Retry-After; seconds are rounded up."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    """Until the whole allowance is there again."""
    retry_s: int
    """Until it is worth trying again, where it was refused; else 0."""
    known: bool = True
    """False where only Redis could have told: then it is refused."""


def used(owed_us: int, policy: Policy) -> tuple[bool, int]:
    """Whether one more is allowed, and what is owed then: the time until the allowance is full."""
    owed_us = min(max(0, owed_us), policy.window_us)
    then_us = owed_us + policy.step_us
    return (True, then_us) if then_us <= policy.window_us else (False, owed_us)


class Inside:
    """The same limits inside one process, for all of its threads."""

    def __init__(self) -> None:
        self._full_at_us: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._full_at_us)

    def ask(self, policy: Policy, name: str) -> tuple[bool, int]:
        with self._lock:
            now_us = _now_us()
            allowed, owed_us = used(self._full_at_us.get(name, 0) - now_us, policy)
            self._full_at_us[name] = now_us + owed_us
            if len(self._full_at_us) > INSIDE_MAX:
                self._forget(now_us)
        return allowed, owed_us

    def _forget(self, now_us: int) -> None:
        # Half of them, so that it is seldom done. Who owes most stays: nobody is rid of a refusal by asking as others.
        latest = sorted(self._full_at_us.items(), key=lambda item: item[1])[-(INSIDE_MAX // 2) :]
        self._full_at_us = {name: full_at_us for name, full_at_us in latest if full_at_us > now_us}


class Limiter:
    """Limits that processes share while Redis is there; without a server, it is taken to be away.

    Not for use by several threads, as its server is not: each has its own, and all of a process the same `inside`.
    """

    def __init__(self, server: Server | None, inside: Inside | None = None) -> None:
        self._server = server
        self._inside = Inside() if inside is None else inside
        self._counts = Counter() if server is None else server.counts

    def ask(self, policy: Policy, subject: str) -> Answer:
        """Use one of the subject's requests, if there is one left."""
        digest = hashlib.sha256(subject.encode(errors="surrogatepass")).hexdigest()
        name = f"ledgerctl:limit:{policy.name}:{digest[:32]}"
        told = self._of_redis(policy, name)
        if told is not None:
            self._counts["limits", "allowed" if told[0] else "refused"] += 1
            return _answer(policy, *told)
        if policy.without_redis == "local":
            self._counts["limits", "fallback"] += 1
            return _answer(policy, *self._inside.ask(policy, name))
        self._counts["limits", "closed"] += 1
        return Answer(False, policy.requests, 0, CLOSED_S, CLOSED_S, known=False)

    def _of_redis(self, policy: Policy, name: str) -> tuple[bool, int] | None:
        if self._server is None or self._server.resting:
            return None
        try:
            allowed, owed_us = self._server.run(ASK, [name], [policy.step_us, policy.window_us])
        except Away:
            return None
        return bool(allowed), owed_us


def _answer(policy: Policy, allowed: bool, owed_us: int) -> Answer:
    left_us = policy.window_us - owed_us
    retry_s = 0 if allowed else _seconds(policy.step_us - left_us)
    return Answer(allowed, policy.requests, left_us // policy.step_us, _seconds(owed_us), retry_s)


def _seconds(us: int) -> int:
    return -(-us // 1_000_000)


def _now_us() -> int:
    return time.monotonic_ns() // 1000
