"""UUIDv7: what RFC 9562 asks of them, and what an index does."""

from __future__ import annotations

import os
import pickle
import time
from uuid import RFC_4122, UUID

import pytest

from ledgerctl.ids import uuid7, uuid7s


def test_ids_are_of_version_7_and_say_when_they_were_made() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7s(100)
    after = time.time_ns() // 1_000_000

    assert {(one.version, one.variant) for one in made} == {(7, RFC_4122)}
    assert all(before <= one.int >> 80 <= after for one in made)


def test_ids_made_at_once_ascend_and_no_two_are_the_same() -> None:
    made = uuid7s(10_000)

    assert made == sorted(set(made))
    assert len({uuid7() for _ in range(1000)}) == 1000
    assert uuid7s(0) == []


def test_not_even_the_least_random_numbers_make_one_id_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.urandom", bytes)

    assert len(set(uuid7s(3))) == 3


def test_two_processes_do_not_make_the_same_ids() -> None:
    """Random numbers are drawn ahead, and those of a parent are not its child's."""
    uuid7()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, _random_part(uuid7()))
        os._exit(0)
    mine, theirs = _random_part(uuid7()), os.read(reading, 10)
    os.waitpid(child, 0)

    assert len(theirs) == 10
    assert mine != theirs


def _random_part(one: UUID) -> bytes:
    return one.bytes[6:]


def test_ids_are_like_any_other_uuid() -> None:
    one = uuid7()

    assert one == UUID(str(one)) == UUID(one.hex)
    assert hash(one) == hash(UUID(str(one)))
    assert pickle.loads(pickle.dumps(one)) == one
    assert one.is_safe == UUID(str(one)).is_safe
