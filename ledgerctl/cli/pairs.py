"""`KEY=VALUE` options."""

from __future__ import annotations

from collections.abc import Sequence

from ledgerctl.errors import BadUsage


def pairs(texts: Sequence[str] | None, option: str) -> dict[str, str] | None:
    """The pairs as a dict, None when there are none. BadUsage for a text without `=` or a key given twice."""
    found: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise BadUsage(detail=f"{option} takes KEY=VALUE, not '{text}'")
        if key in found:
            raise BadUsage(detail=f"{option} names '{key}' twice")
        found[key] = value
    return found or None
