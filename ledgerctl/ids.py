"""Identifiers made by the program: UUIDv7 (RFC 9562), which sort by the time they were made."""

from __future__ import annotations

import os
import time
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def uuid7() -> UUID:
    """48 bits of Unix milliseconds, then 74 random bits."""
    random = int.from_bytes(os.urandom(10), "big")
    tail = random & ((1 << 74) - 1)
    high, low = tail >> 62, tail & ((1 << 62) - 1)
    return UUID(int=(time.time_ns() // 1_000_000) << 80 | _VERSION_7 | high << 64 | _VARIANT | low)
