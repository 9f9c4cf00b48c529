"""The fingerprint of a request: tells an honest repeat from another payload under the same key.

Frozen from the first release: fingerprints are stored for ever, so the encoding of version 1 never changes
(`tests/core/fingerprints.json` holds vectors). SHA-256 over the UTF-8 of these fields, one after another:

    the version, the kind, the number of legs,
    each leg's account, side, amount and currency, the legs sorted by (account, side),
    description, reference, effective_at as it was sent,
    the number of metadata pairs, then each key and value, sorted by key,
    the id of the transaction that a reversal reverses

A field is `<its length in code points>:<its text in NFC>`, so that no two payloads share an encoding. A field that
was not sent is a single `-`: an absent currency is not the account's currency, and absent metadata is not an empty map.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from ledgerctl.core.money import canonical

VERSION = "ledgerctl-1"
_HEAD = f"{len(VERSION)}:{VERSION}"

_Leg = tuple[str, str, Decimal, str | None]
"""Account, side, amount, currency."""


def fingerprint(
    kind: str,
    legs: Iterable[_Leg],
    description: str | None,
    reference: str | None,
    effective_at: str | None,
    metadata: Mapping[str, str] | None,
    reverses: UUID | None,
) -> bytes:
    """32 bytes. `effective_at` is the text that the caller sent, not what it was read as."""
    sides = sorted([(account, side, canonical(amount), currency or "") for account, side, amount, currency in legs])
    rest = [description, reference, effective_at]
    rest.append(None if metadata is None else str(len(metadata)))
    rest += [text for pair in sorted((metadata or {}).items()) for text in pair]
    rest.append(None if reverses is None else str(reverses))
    encoding = _encoded(kind, sides, rest)
    if not encoding.isascii():  # else every text is in its normal form
        normal = [tuple([unicodedata.normalize("NFC", text) for text in side]) for side in sides]
        encoding = _encoded(kind, normal, [text and unicodedata.normalize("NFC", text) for text in rest])
    return sha256(encoding.encode()).digest()


def _encoded(kind: str, sides: Sequence[tuple[str, ...]], rest: Iterable[str | None]) -> str:
    parts = [f"{_HEAD}{len(kind)}:{kind}{len(str(len(sides)))}:{len(sides)}"]
    for account, side, amount, currency in sides:
        of_account = f"{len(currency)}:{currency}" if currency else "-"
        parts.append(f"{len(account)}:{account}{len(side)}:{side}{len(amount)}:{amount}{of_account}")
    parts += ["-" if text is None else f"{len(text)}:{text}" for text in rest]
    return "".join(parts)
