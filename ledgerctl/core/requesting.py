"""Requests as they are made: one at a time, or those of many rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import repeat
from typing import Any, NamedTuple
from uuid import UUID

from ledgerctl import errors
from ledgerctl.core import fingerprint, times
from ledgerctl.core.model import Kind, Leg, Original, Request, Side
from ledgerctl.core.texts import are_plain, checked_metadata, idempotency_key, plain_text


class Columns(NamedTuple):
    """Some transfers, field by field, of a file or of a list; without metadata."""

    ids: Sequence[UUID]
    keys: Sequence[str]
    sources: Sequence[str]
    targets: Sequence[str]
    amounts: Sequence[Decimal]
    currencies: Sequence[str | None]
    descriptions: Sequence[str | None]
    references: Sequence[str | None]
    effective_at: Sequence[str | None]
    import_rows: Sequence[int | None]


def transfer(
    transaction_id: UUID,
    key: str,
    source: str,
    target: str,
    amount: Decimal,
    currency: str | None = None,
    **extras: Any,
) -> Request:
    """Debit `source`, credit `target`. The extras are those of `request`."""
    legs = (Leg(source, Side.DEBIT, amount, currency), Leg(target, Side.CREDIT, amount, currency))
    return request(transaction_id, key, Kind.TRANSFER, legs, **extras)


def transfers(columns: Columns, import_id: int | None) -> list[Request] | None:
    """What `transfer` makes of each, in half the time. None when it would refuse one of them, or change its texts."""
    ids, keys, sources, targets, amounts, currencies, descriptions, references, effective_at, rows = columns
    named = {"idempotency_key": keys, "description": descriptions, "reference": references}
    if not all(are_plain(field, [text for text in texts if text is not None]) for field, texts in named.items()):
        return None
    if not all(map(str.strip, keys)) or not "".join(filter(None, effective_at)).isascii():
        return None
    try:
        instants = [None if text is None else times.parse(text) for text in effective_at]
    except errors.BadTime:
        return None
    prints = fingerprint.transfers(sources, targets, amounts, currencies, descriptions, references, effective_at)
    debits = map(Leg._make, zip(sources, repeat(Side.DEBIT), amounts, currencies))
    credits_ = map(Leg._make, zip(targets, repeat(Side.CREDIT), amounts, currencies))
    none, legs = repeat(None), zip(debits, credits_, strict=True)
    requests = zip(
        ids, keys, prints, repeat(Kind.TRANSFER), legs, descriptions, references, instants, none, none,
        repeat(import_id), rows,
    )  # fmt: skip
    return list(map(Request._make, requests))


def reversal(transaction_id: UUID, key: str, original: Original, amount: Decimal | None, reason: str | None) -> Request:
    """The original's legs with their sides changed; with `amount`, each leg by that much."""
    legs = tuple(
        Leg(leg.account, _other(leg.side), leg.amount if amount is None else amount, leg.currency)
        for leg in original.legs
    )
    return request(transaction_id, key, Kind.REVERSAL, legs, description=reason, reverses=original.id)


def request(
    transaction_id: UUID,
    key: str,
    kind: Kind,
    legs: Sequence[Leg],
    description: str | None = None,
    reference: str | None = None,
    effective_at: str | None = None,
    metadata: Mapping[str, str] | None = None,
    reverses: UUID | None = None,
    import_id: int | None = None,
    import_row: int | None = None,
) -> Request:
    """A request with its fingerprint. Checks the texts and the time, not the money: BadText, BadTime."""
    legs = tuple(legs)
    return Request(
        transaction_id,
        idempotency_key(key),
        fingerprint.fingerprint(
            kind,
            legs,
            description := None if description is None else plain_text("description", description),
            reference := None if reference is None else plain_text("reference", reference),
            effective_at,
            metadata := None if metadata is None else checked_metadata(metadata),
            reverses,
        ),
        kind,
        legs,
        description,
        reference,
        None if effective_at is None else times.parse(effective_at),
        metadata,
        reverses,
        import_id,
        import_row,
    )


def _other(side: Side) -> Side:
    return Side.CREDIT if side is Side.DEBIT else Side.DEBIT
