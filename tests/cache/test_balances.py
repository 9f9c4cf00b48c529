"""Balances at their names, in every order in which who writes and who reads may come to Redis."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from ledgerctl.cache.balances import Balances
from ledgerctl.cache.keeping import Keeping
from ledgerctl.cache.server import Server
from ledgerctl.core.model import Balance
from tests.redis_servers import Redis


@pytest.fixture
def balances(redis: Redis) -> Iterator[Balances]:
    server = Server(redis.url, 0.5)
    yield Balances(Keeping(server, uuid4(), b"s" * 32))
    server.close()


def holds(amount: int, seq: int) -> Balance:
    return Balance("alice", "liability", "EUR", 2, amount, seq)


def test_a_late_mark_of_who_was_undone_lets_nobody_put_there_what_was_before(balances: Balances) -> None:
    """He stood still before he had marked, and his session was ended; somebody read before the other's commit."""
    balances.mark(["alice"], 2)
    balances.mark(["alice"], 1)  # late
    before = balances.find("alice")
    assert (before.writer, before.replaced is None) == (1, False)

    balances.settle([holds(200, 2)], 2)  # committed, and about to be told
    assert before.replaced is not None
    balances.put(holds(100, 1), before.replaced)

    now = balances.find("alice")
    assert (now.balance, now.writer) == (None, 1)
    assert now.replaced is not None
    balances.put(holds(200, 2), now.replaced)
    assert balances.find("alice").balance == holds(200, 2)


def test_who_has_the_account_now_finds_his_own_mark_after_another_has_settled(balances: Balances) -> None:
    balances.mark(["alice"], 1)
    balances.mark(["alice"], 2)
    balances.settle([holds(100, 1)], 1)
    assert balances.find("alice").writer == 2

    balances.settle([holds(200, 2)], 2)

    assert balances.find("alice").balance == holds(200, 2)


def test_what_is_older_goes_and_what_is_newer_stays(balances: Balances) -> None:
    balances.mark(["alice"], 1)
    balances.settle([holds(300, 3)], 1)

    balances.settle([holds(200, 2)], 2)
    assert balances.find("alice").balance == holds(300, 3)
    balances.settle([holds(400, 4)], 2)
    assert balances.find("alice").balance is None


def test_a_lease_is_gone_when_somebody_settles(balances: Balances) -> None:
    lease = balances.find("alice").replaced
    assert lease is not None
    balances.settle([holds(200, 2)], 2)

    balances.put(holds(100, 1), lease)

    assert balances.find("alice").balance is None
