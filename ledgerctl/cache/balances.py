"""Balances in Redis: values, marks of who is changing one, and leases of who is reading one from the database.

A name holds one of three things, each signed where it is believed: a value; the mark of a transaction that changes the
account and may not have ended; or the lease of a reader who found nothing and is on his way from the database. What is
put in the place of something else is only put if that still stands there, so no two can cross unseen. This is the lease
of Nishtala et al., "Scaling Memcache at Facebook" (NSDI 2013), with the writer's mark before the commit.

docs/caching.md tells the whole protocol; the half of it that needs the database is `services/balances.py`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from ledgerctl.cache.keeping import Keeping
from ledgerctl.cache.server import Script
from ledgerctl.core.model import Balance

VALUE_S = 3600
MARK_S = 86_400
"""Longer than any transaction takes; what stands of one that was cut short is replaced by the next reader."""
LEASE_MS = 3000
CHUNK = 500
"""So many names are marked by one script: Redis does nothing else in the meantime."""

LEASE = Script("""
    local held = redis.call('GET', KEYS[1])
    if held then return held end
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return ARGV[1]
""")
REPLACE = Script("""
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
    return 1
""")
DROP = Script("""
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('DEL', KEYS[1])
""")
MARK = Script("""
    for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'EX', ARGV[2]) end
    return #KEYS
""")
# Another's mark is that of who has the account now; or it came late, of one who has long been undone, and whoever read
# it before our commit is about to replace it by what was true until then. So it stays a mark and becomes another one.
# Without any mark - ours may have been lost - what stands here may be older than ours, or about to be: nothing is put
# in its place, since ours may be old by now, too.
SETTLE = Script("""
    local function seq(held) return tonumber(string.match(held, '^v(%d+):')) end
    local function mark(held) return string.match(held, '^m[^:]*') end
    for i, key in ipairs(KEYS) do
        local held, ours = redis.call('GET', key), ARGV[i + 3]
        if held and mark(held) == ARGV[1] then
            redis.call('SET', key, ours, 'EX', ARGV[2])
        elseif held and mark(held) then
            redis.call('SET', key, mark(held) .. ':' .. ARGV[1], 'EX', ARGV[3])
        elseif held and (seq(held) or -1) < seq(ours) then
            redis.call('DEL', key)
        end
    end
    return #KEYS
""")
Item = TypeVar("Item")


class Found(NamedTuple):
    """What stands at a name: a balance, or what must first be asked of the database."""

    balance: Balance | None = None
    replaced: bytes | None = None
    """What may be replaced by what the database says; None where another reader is on his way already."""
    writer: int | None = None
    """The transaction whose mark it is: it must have ended before it may be replaced."""


class Balances:
    """One epoch's balances. Every method but `name` raises `Away`."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping
        self._server = keeping.server

    def find(self, code: str) -> Found:
        """The account's balance, or the way to put it there."""
        name = self._name(code)
        held = self._server.get(name)
        if held is None:
            lease = b"l" + secrets.token_hex(16).encode()
            held = self._server.run(LEASE, [name], [lease, LEASE_MS])
            if held == lease:
                return Found(replaced=lease)
        if held.startswith(b"v"):
            balance = self._balance(name, code, held)
            if balance is not None:
                return Found(balance)
        if held.startswith(b"m"):
            writer = self._writer(held)
            if writer is not None:
                return Found(replaced=held, writer=writer)
        if not held.startswith(b"l"):  # not ours: gone is what it should be
            self._server.run(DROP, [name], [held])
        return Found()

    def put(self, balance: Balance, replaced: bytes) -> None:
        """Keep what the database said, unless something happened at its name since `replaced` was found."""
        name = self._name(balance.code)
        self._server.run(REPLACE, [name], [replaced, self._value(name, balance), VALUE_S])

    def mark(self, codes: Sequence[str], writer: int) -> None:
        """From now on nobody is told what these accounts hold but by the database. Before the commit."""
        mark = self._mark(writer)
        for names in _chunks([self._name(code) for code in codes]):
            self._server.run(MARK, names, [mark, MARK_S])

    def settle(self, balances: Sequence[Balance], writer: int) -> None:
        """Let nothing older stand than these, which were committed, or read under locks, by this transaction."""
        mark = self._mark(writer)
        for some in _chunks(balances):
            names = [self._name(balance.code) for balance in some]
            values = [self._value(name, balance) for name, balance in zip(names, some, strict=True)]
            self._server.run(SETTLE, names, [mark, VALUE_S, MARK_S, *values])

    def _name(self, code: str) -> str:
        return self._keeping.name("balance", code)

    def _mark(self, writer: int) -> bytes:
        return b"m" + self._keeping.signed("mark", str(writer).encode())

    def _writer(self, mark: bytes) -> int | None:
        text = self._keeping.verified("mark", mark[1:].partition(b":")[0])
        return None if text is None else int(text)

    def _value(self, name: str, balance: Balance) -> bytes:
        _, type_, currency, exponent, amount, seq = balance
        text = json.dumps([type_, currency, exponent, str(amount), seq]).encode()
        return b"v%d:%b" % (seq, self._keeping.signed(name, text))

    def _balance(self, name: str, code: str, value: bytes) -> Balance | None:
        head, _, signed = value.partition(b":")
        text = self._keeping.verified(name, signed)
        if text is None:
            return None
        type_, currency, exponent, amount, seq = json.loads(text)
        return Balance(code, type_, currency, exponent, int(amount), seq) if head == b"v%d" % seq else None


def _chunks(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
