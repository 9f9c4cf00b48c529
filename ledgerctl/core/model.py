"""The words of the ledger as values: requests, accounts, entries, outcomes.

Sign rule for the whole program: a stored amount is positive for a credit and negative for a debit, so the entries of
a transaction sum to zero. People read balances on the account's normal side; `Account.normal` turns one into the
other. Values made once a row are NamedTuples, which cost a third of a frozen dataclass to make.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID


class Side(StrEnum):
    DEBIT = "debit"
    CREDIT = "credit"


class Kind(StrEnum):
    TRANSFER = "transfer"
    JOURNAL = "journal"
    REVERSAL = "reversal"


class AccountType(StrEnum):
    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    INCOME = "income"
    EXPENSE = "expense"


class Status(StrEnum):
    ACTIVE = "active"
    FROZEN = "frozen"
    CLOSED = "closed"


DEBIT_NORMAL = frozenset({AccountType.ASSET, AccountType.EXPENSE})
FLOORED = frozenset({AccountType.ASSET, AccountType.LIABILITY})
"""Types whose accounts may not go below zero unless told otherwise."""


class Leg(NamedTuple):
    """One side of a request. `currency` is None when the caller left it to the account."""

    account: str
    side: Side
    amount: Decimal
    currency: str | None


class Request(NamedTuple):
    """What somebody asks the ledger to post. `id` becomes the transaction's, however often the request is sent."""

    id: UUID
    key: str
    fingerprint: bytes
    kind: Kind
    legs: tuple[Leg, ...]
    description: str | None = None
    reference: str | None = None
    effective_at: datetime | None = None
    metadata: Mapping[str, str] | None = None
    reverses: UUID | None = None
    import_id: int | None = None
    import_row: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it stands locked. Limits are in minor units on the normal side."""

    id: int
    code: str
    type: str
    currency: str
    exponent: int
    status: str
    min_balance: int | None
    max_balance: int | None

    normal: int = field(init=False)
    """-1 where a debit makes the balance grow, as people see it; 1 where a credit does."""
    lowest: int = field(init=False)
    """With `highest`, what the limits and the ledger's own allow as a stored balance, credits positive."""
    highest: int = field(init=False)

    def __post_init__(self) -> None:
        beyond = 10 ** (30 + self.exponent) - 1
        least = -beyond if self.min_balance is None else max(self.min_balance, -beyond)
        most = beyond if self.max_balance is None else min(self.max_balance, beyond)
        debit_normal = self.type in DEBIT_NORMAL
        set_once = object.__setattr__
        set_once(self, "normal", -1 if debit_normal else 1)
        set_once(self, "lowest", -most if debit_normal else least)
        set_once(self, "highest", -least if debit_normal else most)


class NewAccount(NamedTuple):
    """What an account is created with; the limits are on its normal side, None for no limit."""

    code: str
    type: str
    currency: str
    exponent: int
    name: str | None
    min_balance: Decimal | None
    max_balance: Decimal | None
    metadata: Mapping[str, str] | None


class Standing(NamedTuple):
    """Where an account stands: its balance in minor units, credits positive, and its number of entries."""

    balance: int
    seq: int


class Balance(NamedTuple):
    """What an account holds: `balance` in minor units on its normal side, after `seq` entries."""

    code: str
    type: str
    currency: str
    exponent: int
    balance: int
    seq: int


class Known(NamedTuple):
    """A key that is already used, and by which transaction."""

    key: str
    id: UUID
    fingerprint: bytes
    import_id: int | None
    import_row: int | None


Earlier = Known | Request
"""Who used a key: a transaction in the books, or a request of the same batch that is posted before this one."""


class Original(NamedTuple):
    """A transaction that somebody wants to reverse."""

    id: UUID
    kind: str
    legs: tuple[Leg, ...]
    reversed_by: UUID | None


class Entry(NamedTuple):
    """One line of an account: `amount` and `balance` (after it) in minor units, credits positive."""

    account: Account
    seq: int
    amount: int
    balance: int


Stands = Standing | Entry
"""After an entry, its account stands where the entry says."""


class Posted(NamedTuple):
    request: Request
    posted_at: datetime
    entries: tuple[Entry, ...]


class Replayed(NamedTuple):
    """The same request was posted before; nothing happened now."""

    request: Request
    known: Earlier


class Refused(NamedTuple):
    """`reason` is the code of the error; `details` fill its message."""

    request: Request
    reason: str
    details: Mapping[str, Any]
    known: Earlier | None = None


Outcome = Posted | Replayed | Refused


class Line(NamedTuple):
    """An entry as people read it: `amount` in minor units, credits positive; `balance` on the normal side."""

    account: str
    currency: str
    exponent: int
    seq: int
    amount: int
    balance: int


class Transaction(NamedTuple):
    """A transaction that is in the books, its lines in reading order: debits first, then by account."""

    id: UUID
    kind: str
    idempotency_key: str
    posted_at: datetime
    effective_at: datetime
    description: str | None
    reference: str | None
    metadata: Mapping[str, str] | None
    reverses: UUID | None
    reversed_by: UUID | None
    import_id: int | None
    lines: tuple[Line, ...]


def recorded(posted: Posted) -> Transaction:
    """What the books say of a transaction that was posted just now."""
    request = posted.request
    lines = [
        Line(account.code, account.currency, account.exponent, seq, amount, account.normal * balance)
        for account, seq, amount, balance in posted.entries
    ]
    return Transaction(
        request.id,
        request.kind,
        request.key,
        posted.posted_at,
        request.effective_at or posted.posted_at,
        request.description,
        request.reference,
        request.metadata,
        request.reverses,
        None,
        request.import_id,
        reading_order(lines),
    )


def reading_order(lines: Sequence[Line]) -> tuple[Line, ...]:
    if len(lines) == 2 and lines[0].amount < 0 < lines[1].amount:
        return tuple(lines)  # a transfer as it was decided
    return tuple(sorted(lines, key=lambda line: (line.amount > 0, line.account, line.seq)))
