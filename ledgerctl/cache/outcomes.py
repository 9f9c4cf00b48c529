"""Finished outcomes in Redis: what was posted under a key, so that a repeat of it need not ask the database.

The database is the record. Only what is committed is kept, and what is kept never changes; anything but a request that
is the same as the one that was posted is for the database to answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from ledgerctl.cache.keeping import Keeping
from ledgerctl.core.model import Leg, Line, Request, Side, Transaction

KEPT_S = 86_400


class Outcomes:
    """One epoch's outcomes. Every method raises `Away`."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping
        self._server = keeping.server

    def find(self, requests: Sequence[Request]) -> list[Transaction | None]:
        """What was posted under the key of each, if it is known to be this very request.

        `reversed_by` is not told: it may have changed since.
        """
        names = [self._name(request) for request in requests]
        values = self._server.get_all(names)
        return [self._known(*one) for one in zip(requests, names, values, strict=True)]

    def _known(self, request: Request, name: str, value: bytes | None) -> Transaction | None:
        text = None if value is None else self._keeping.verified(name, value)
        if text is None:
            self._server.counts["outcomes", "miss" if value is None else "mismatch"] += 1
            return None
        fingerprint, transaction_id, posted_at, import_id, lines = json.loads(text)
        if fingerprint != request.fingerprint.hex():
            self._server.counts["outcomes", "mismatch"] += 1
            return None
        self._server.counts["outcomes", "hit"] += 1
        return _transaction(request, UUID(transaction_id), datetime.fromisoformat(posted_at), import_id, lines)

    def keep(self, posted: Sequence[tuple[Request, Transaction]]) -> None:
        """What is committed, and no less."""
        self._server.set_all(dict(self._value(*one) for one in posted), KEPT_S)

    def _value(self, request: Request, posted: Transaction) -> tuple[str, bytes]:
        """With its name. In the order of the request's legs, without the accounts, which it names."""
        lines = [(line.currency, line.exponent, line.seq, str(line.amount), str(line.balance)) for line in posted.lines]
        stamp, mark = posted.posted_at.isoformat(), request.fingerprint.hex()
        text = json.dumps([mark, str(posted.id), stamp, posted.import_id, lines])
        name = self._name(request)
        return name, self._keeping.signed(name, text.encode())

    def _name(self, request: Request) -> str:
        return self._keeping.name("outcome", request.key)


def _transaction(
    request: Request,
    transaction_id: UUID,
    posted_at: datetime,
    import_id: int | None,
    lines: Sequence[tuple[str, int, int, str, str]],
) -> Transaction:
    """The transaction again. Requests of one fingerprint have the same accounts in the order of reading."""
    codes = [leg.account for leg in sorted(request.legs, key=_reading)]
    return Transaction(
        transaction_id,
        request.kind,
        request.key,
        posted_at,
        request.effective_at or posted_at,
        request.description,
        request.reference,
        request.metadata,
        request.reverses,
        None,
        import_id,
        tuple(
            Line(code, currency, exponent, seq, int(amount), int(balance))
            for code, (currency, exponent, seq, amount, balance) in zip(codes, lines, strict=True)
        ),
    )


def _reading(leg: Leg) -> tuple[bool, str]:
    return leg.side is Side.CREDIT, leg.account
