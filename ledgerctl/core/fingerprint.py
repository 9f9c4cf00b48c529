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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from itertools import product
from uuid import UUID

from ledgerctl.core import times
from ledgerctl.core.money import canonical

VERSION = "ledgerctl-1"
_MIXED_MAX = 8
"""Of a journal with more legs it is not tried which currencies were given: there are too many ways."""
_HEAD = f"{len(VERSION)}:{VERSION}"

_Leg = tuple[str, str, Decimal, str | None]
"""Account, side, amount, currency."""


def fingerprint(
    kind: str,
    legs: Sequence[_Leg],
    description: str | None,
    reference: str | None,
    effective_at: str | None,
    metadata: Mapping[str, str] | None,
    reverses: UUID | None,
) -> bytes:
    """32 bytes. `effective_at` is the text that the caller sent, not what it was read as."""
    encoding = _encoded(kind, legs, description, reference, effective_at, metadata, reverses)
    if not encoding.isascii():  # else every text is in its normal form
        encoding = _encoded(
            kind,
            [(_nfc(account) or "", side, amount, _nfc(currency)) for account, side, amount, currency in legs],
            _nfc(description),
            _nfc(reference),
            _nfc(effective_at),
            None if metadata is None else {_nfc(key) or "": _nfc(value) or "" for key, value in metadata.items()},
            reverses,
        )
    return sha256(encoding.encode()).digest()


def transfers(
    sources: Iterable[str],
    targets: Iterable[str],
    amounts: Iterable[Decimal],
    currencies: Iterable[str | None],
    descriptions: Iterable[str | None],
    references: Iterable[str | None],
    effective_at: Iterable[str | None],
) -> list[bytes]:
    """The fingerprints of as many transfers, each with two legs and without metadata, in half the time.

    Every text is ASCII. The encoding is that of `_encoded`, written out; tests hold the two together.
    """
    found = []
    columns = zip(sources, targets, amounts, currencies, descriptions, references, effective_at, strict=True)
    for source, target, amount, currency, description, reference, effective in columns:
        text = canonical(amount)
        money = f"{len(text)}:{text}{'-' if currency is None else f'{len(currency)}:{currency}'}"
        debit, credit = f"{len(source)}:{source}5:debit{money}", f"{len(target)}:{target}6:credit{money}"
        encoding = (
            f"{_HEAD}8:transfer1:2{debit + credit if source < target else credit + debit}"
            f"{'-' if description is None else f'{len(description)}:{description}'}"
            f"{'-' if reference is None else f'{len(reference)}:{reference}'}"
            f"{'-' if effective is None else f'{len(effective)}:{effective}'}--"
        )
        found.append(sha256(encoding.encode()).digest())
    return found


def fits(
    found: bytes,
    kind: str,
    accounts: Sequence[str],
    amounts: Sequence[Decimal],
    currencies: Sequence[str],
    description: str | None,
    reference: str | None,
    effective_at: datetime | None,
    metadata: Mapping[str, str] | None,
    reverses: UUID | None,
) -> bool:
    """Whether some request for what is in the books has this fingerprint; amounts as stored, credits positive.

    The books do not keep how a request spelled its time, nor whether it left a currency to the account. True where
    that cannot be told, of more than _MIXED_MAX legs.
    """
    sides = ["debit" if amount.is_signed() else "credit" for amount in amounts]
    moved = [amount.copy_abs() for amount in amounts]
    for spelled in [None] if effective_at is None else times.spellings(effective_at):
        for given in _given(currencies):
            legs = list(zip(accounts, sides, moved, given, strict=True))
            if fingerprint(kind, legs, description, reference, spelled, metadata, reverses) == found:
                return True
    return len(currencies) > _MIXED_MAX


def _given(currencies: Sequence[str]) -> Iterator[Sequence[str | None]]:
    """What a request may have said of its legs' currencies: all of them, none, or some."""
    yield currencies
    yield [None] * len(currencies)
    if len(currencies) <= _MIXED_MAX:
        yield from product(*((currency, None) for currency in currencies))


def _encoded(
    kind: str,
    legs: Sequence[_Leg],
    description: str | None,
    reference: str | None,
    effective_at: str | None,
    metadata: Mapping[str, str] | None,
    reverses: UUID | None,
) -> str:
    # Written out where a row of a file comes by: a call for each field would take as long again.
    sides = []
    for account, side, amount, currency in legs:
        text = canonical(amount)
        of_account = "-" if currency is None else f"{len(currency)}:{currency}"
        encoded = f"{len(account)}:{account}{len(side)}:{side}{len(text)}:{text}{of_account}"
        sides.append((account, side, text, currency or "", encoded))
    sides.sort()
    number = str(len(sides))
    beginning = (
        f"{_HEAD}{len(kind)}:{kind}{len(number)}:{number}{''.join([side[4] for side in sides])}"
        f"{'-' if description is None else f'{len(description)}:{description}'}"
        f"{'-' if reference is None else f'{len(reference)}:{reference}'}"
        f"{'-' if effective_at is None else f'{len(effective_at)}:{effective_at}'}"
    )
    if metadata is None and reverses is None:
        return f"{beginning}--"
    pairs = [text for pair in sorted((metadata or {}).items()) for text in pair]
    count = None if metadata is None else str(len(metadata))
    rest = [count, *pairs, None if reverses is None else str(reverses)]
    return beginning + "".join(["-" if text is None else f"{len(text)}:{text}" for text in rest])


def _nfc(text: str | None) -> str | None:
    return None if text is None else unicodedata.normalize("NFC", text)
