"""What differs between a request and the transaction that has its key: named, so that a conflict can be understood."""

from __future__ import annotations

from ledgerctl.core import money
from ledgerctl.core.model import Request, Side, Transaction


def differences(stored: Transaction, request: Request) -> list[str]:
    """The fields that differ. Their fingerprints do, so there is always one."""
    same = {
        "kind": request.kind == stored.kind,
        "accounts": {leg.account for leg in request.legs} == {line.account for line in stored.lines},
        "amount": _amounts(request) == _stored_amounts(stored),
        "description": request.description == stored.description,
        "reference": request.reference == stored.reference,
        "effective_at": request.effective_at is None or request.effective_at == stored.effective_at,
        "metadata": (request.metadata or {}) == (stored.metadata or {}),
        "reverses": request.reverses == stored.reverses,
    }
    # Equal in every stored column, so it was written otherwise: 2026-01-01 for 2026-01-01T00:00:00Z, or no currency.
    return [field for field, equal in same.items() if not equal] or ["currency or effective_at, as written"]


def _amounts(request: Request) -> list[tuple[str, str]]:
    return sorted((leg.side.value, money.canonical(leg.amount)) for leg in request.legs)


def _stored_amounts(stored: Transaction) -> list[tuple[str, str]]:
    return sorted(
        (
            Side.CREDIT.value if line.amount > 0 else Side.DEBIT.value,
            money.canonical(money.decimal(abs(line.amount), line.exponent)),
        )
        for line in stored.lines
    )
