"""What differs between a request and the transaction that has its key: named, so that a conflict can be understood."""

from __future__ import annotations

from itertools import chain

from ledgerctl.core import money
from ledgerctl.core.model import Request, Side, Transaction


def differences(stored: Transaction, request: Request) -> list[str]:
    """The fields that differ. Their fingerprints do, so there is always one."""
    same = {
        "kind": request.kind == stored.kind,
        "accounts": _amounts(request).keys() == _stored_amounts(stored).keys(),
        "amount": _amounts_agree(request, stored),
        "description": request.description == stored.description,
        "reference": request.reference == stored.reference,
        "effective_at": request.effective_at is None or request.effective_at == stored.effective_at,
        "metadata": (request.metadata or {}) == (stored.metadata or {}),
        "reverses": request.reverses == stored.reverses,
    }
    # Equal in every stored column, so it was written otherwise: 2026-01-01 for 2026-01-01T00:00:00Z, or no currency.
    return [field for field, equal in same.items() if not equal] or ["currency or effective_at, as written"]


def _amounts_agree(request: Request, stored: Transaction) -> bool:
    """Account by account where the accounts agree; else whether the same amounts were moved at all."""
    asked, there = _amounts(request), _stored_amounts(stored)
    if asked.keys() == there.keys():
        return asked == there
    return sorted(chain(*asked.values())) == sorted(chain(*there.values()))


def _amounts(request: Request) -> dict[tuple[str, str], list[str]]:
    """By account and side: what is debited and what is credited."""
    found: dict[tuple[str, str], list[str]] = {}
    for leg in request.legs:
        found.setdefault((leg.account, leg.side.value), []).append(money.canonical(leg.amount))
    return {place: sorted(amounts) for place, amounts in found.items()}


def _stored_amounts(stored: Transaction) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for line in stored.lines:
        side = Side.CREDIT if line.amount > 0 else Side.DEBIT
        amount = money.canonical(money.decimal(abs(line.amount), line.exponent))
        found.setdefault((line.account, side.value), []).append(amount)
    return {place: sorted(amounts) for place, amounts in found.items()}
