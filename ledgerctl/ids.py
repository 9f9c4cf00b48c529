"""Identifiers made by the program: UUIDv7 (RFC 9562), which sort by the time they were made."""

from __future__ import annotations

import os
import time
from array import array
from collections import deque
from itertools import accumulate, repeat
from typing import Any
from uuid import UUID, SafeUUID

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_RAND_A = 0xFFF << 64
_RAND_B = (1 << 61) - 1
"""One bit less than there is room for, so that the steps from it never reach the variant."""
_set_int: Any = vars(UUID)["int"].__set__
_set_is_safe: Any = vars(UUID)["is_safe"].__set__


_DRAWN_BYTES, _DRAWN_AT_ONCE = 10, 64
_drawn: deque[bytes] = deque()
"""Random bytes for as many ids. To ask the system for each would let another thread run in between, for long."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)  # else both processes would make the same ids


def uuid7() -> UUID:
    """48 bits of Unix milliseconds, then 73 random bits."""
    return _uuids([_first(_draw())])[0]


def uuid7s(count: int) -> list[UUID]:
    """So many, made at once, in ascending order: an index takes those that ascend side by side.

    The first is random, and each of the others a random step of up to 2**32 above the one before it (RFC 9562, 6.2,
    method 2).
    """
    steps = map((1).__add__, array("I", os.urandom(4 * max(count - 1, 0))))  # never zero
    return _uuids(list(accumulate(steps, initial=_first(_draw())))[:count])


def _draw() -> bytes:
    while True:
        try:
            return _drawn.popleft()
        except IndexError:
            random = os.urandom(_DRAWN_BYTES * _DRAWN_AT_ONCE)
            _drawn.extend(random[at : at + _DRAWN_BYTES] for at in range(0, len(random), _DRAWN_BYTES))


def _first(random: bytes) -> int:
    drawn = int.from_bytes(random, "big")
    return (time.time_ns() // 1_000_000) << 80 | _VERSION_7 | drawn & _RAND_A | _VARIANT | drawn & _RAND_B


def _uuids(numbers: list[int]) -> list[UUID]:
    """UUID(int=number) of each, without asking each time what it may be made of: a quarter of the time."""
    made = list(map(object.__new__, repeat(UUID, len(numbers))))
    deque(map(_set_int, made, numbers), 0)
    deque(map(_set_is_safe, made, repeat(SafeUUID.unknown)), 0)
    return made
