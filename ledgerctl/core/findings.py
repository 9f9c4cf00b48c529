"""What a reconciliation finds: something that is not as it must be, and where."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """Which check, of what, and the two that should be the same. Texts for people and programs alike."""

    check: str
    subject: str
    expected: str
    found: str
