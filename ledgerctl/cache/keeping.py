"""Names and signatures of what is kept: nobody who reads Redis learns whose it is, or can make it up."""

from __future__ import annotations

import hmac
from typing import NamedTuple
from uuid import UUID

from ledgerctl.cache.server import Server

_SIGNATURE = 64
"""Characters of an HMAC-SHA256 in hexadecimal (RFC 2104)."""


class Keeping(NamedTuple):
    """One epoch's values in one Redis."""

    server: Server
    epoch: UUID
    secret: bytes

    def name(self, purpose: str, text: str) -> str:
        """Where something is kept that `text` identifies, which cannot be read from it."""
        digest = hmac.digest(self.secret, f"{purpose}\0{text}".encode(), "sha256").hex()
        return f"ledgerctl:{self.epoch.hex}:{digest[:32]}"

    def signed(self, name: str, text: bytes) -> bytes:
        return hmac.digest(self.secret, name.encode() + b"\0" + text, "sha256").hex().encode() + text

    def verified(self, name: str, value: bytes) -> bytes | None:
        """The text, if it was signed for this name in this epoch."""
        text = value[_SIGNATURE:]
        return text if hmac.compare_digest(value, self.signed(name, text)) else None
