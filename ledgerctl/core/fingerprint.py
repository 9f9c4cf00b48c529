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
from collections.abc import Iterable, Mapping
from decimal import Decimal
from hashlib import sha256
from typing import Protocol
from uuid import UUID

from ledgerctl.core.money import canonical

VERSION = "ledgerctl-1"


class _Leg(Protocol):
    @property
    def account(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def amount(self) -> Decimal: ...
    @property
    def currency(self) -> str | None: ...


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
    flat = [(leg.account, leg.side, canonical(leg.amount), leg.currency) for leg in legs]
    flat.sort(key=lambda leg: (*leg[:3], leg[3] or ""))
    fields: list[str | None] = [VERSION, kind, str(len(flat))]
    for leg in flat:
        fields.extend(leg)
    pairs = [text for pair in sorted(metadata.items()) for text in pair] if metadata is not None else []
    count = None if metadata is None else str(len(metadata))
    ending = [description, reference, effective_at, count, *pairs, None if reverses is None else str(reverses)]
    return sha256("".join(map(_encode, [*fields, *ending])).encode()).digest()


def _encode(field: str | None) -> str:
    if field is None:
        return "-"
    if not field.isascii():
        field = unicodedata.normalize("NFC", field)
    return f"{len(field)}:{field}"
