"""A request as JSON, to be kept until its outcome is known and then sent again exactly as it was.

The fingerprint is kept, not made anew: it covers the caller's own words, of which some (such as how a time was written)
are gone once they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from ledgerctl.core.model import Kind, Leg, Request, Side


def dump(request: Request) -> dict[str, Any]:
    return {
        "transaction_id": str(request.id),
        "idempotency_key": request.key,
        "fingerprint": request.fingerprint.hex(),
        "kind": request.kind.value,
        "entries": [
            {"account": leg.account, leg.side.value: format(leg.amount, "f"), "currency": leg.currency}
            for leg in request.legs
        ],
        "description": request.description,
        "reference": request.reference,
        "effective_at": None if request.effective_at is None else request.effective_at.isoformat(),
        "metadata": None if request.metadata is None else dict(request.metadata),
        "reverses": None if request.reverses is None else str(request.reverses),
    }


def load(shape: Mapping[str, Any]) -> Request:
    """What `dump` was given. ValueError, KeyError or TypeError for anything else."""
    effective_at, reverses = shape["effective_at"], shape["reverses"]
    return Request(
        UUID(shape["transaction_id"]),
        shape["idempotency_key"],
        bytes.fromhex(shape["fingerprint"]),
        Kind(shape["kind"]),
        tuple(_leg(entry) for entry in shape["entries"]),
        shape["description"],
        shape["reference"],
        None if effective_at is None else datetime.fromisoformat(effective_at),
        shape["metadata"],
        None if reverses is None else UUID(reverses),
    )


def _leg(entry: Mapping[str, Any]) -> Leg:
    [side] = [side for side in Side if side.value in entry]
    return Leg(entry["account"], side, Decimal(entry[side.value]), entry["currency"])
