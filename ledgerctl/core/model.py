"""The words of the ledger as values: requests, accounts, entries, outcomes.

Sign rule for the whole program: a stored amount is positive for a credit and negative for a debit, so the entries of
a transaction sum to zero. People read balances on the account's normal side; `Account.normal` turns one into the
other. Values made once a row are NamedTuples, which cost a third of a frozen dataclass to make.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import repeat
from typing import Any, NamedTuple
from uuid import UUID

from ledgerctl import errors
from ledgerctl.core import fingerprint, times
from ledgerctl.core.money import shown


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


DERIVED = "f1:"
"""How the keys begin that derive from a file, since it brought none."""


def derived_prefix(sha256: bytes) -> str:
    """How those of one file begin; the number of the row follows. Frozen: see `formats.transfer_csv`."""
    return f"{DERIVED}{sha256.hex()[:32]}:"


class Survey(NamedTuple):
    """What the first pass over a file of transfers finds."""

    digests: tuple[bytes, ...]
    """SHA-256 of the file up to the end of each of its blocks; the last is that of the whole file."""
    rows: int
    header: tuple[str, ...]
    accounts: frozenset[str]
    """Every account that a row names."""
    keyed: bool
    """Whether the rows bring keys of their own."""
    sampled: int
    """So many rows were drawn from all over the file."""
    sample: tuple[Request, ...]
    """Those of them that can be read."""
    amounts: Mapping[tuple[str | None, str], Decimal]
    """Sums, if asked for, by the currency that a row names and the account it debits: without the first, it is that
    account's currency."""

    @property
    def sha256(self) -> bytes:
        """Of the whole file."""
        return self.digests[-1]


class Rejected(NamedTuple):
    """A row of a file that cannot be posted: its record number, the field if it is one field's fault, and why.

    `key` is its idempotency key, if that can be told.
    """

    row: int
    field: str | None
    code: str
    message: str
    hint: str = ""
    key: str | None = None


class Chunk(NamedTuple):
    """Some rows of a file: what each says, or why it says nothing; its cells; on which lines."""

    rows: list[Request | Rejected]
    cells: list[list[str]]
    lines: Sequence[int]

    def requests(self) -> list[Request]:
        return [row for row in self.rows if isinstance(row, Request)]

    def row_keys(self) -> list[str]:
        """Also of the rows that cannot be posted."""
        return [row.key for row in self.rows if row.key is not None]


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
        Line(
            entry.account.code,
            entry.account.currency,
            entry.account.exponent,
            entry.seq,
            entry.amount,
            entry.account.normal * entry.balance,
        )
        for entry in posted.entries
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
    return tuple(sorted(lines, key=lambda line: (line.amount > 0, line.account, line.seq)))


_CODE = re.compile(r"[A-Za-z0-9:_.\-]{1,128}")
_TEXT_MAX = {"idempotency_key": 255, "reference": 255, "description": 1000, "name": 200, "metadata": 500, "actor": 200}
_METADATA_PAIRS_MAX = 50


def is_account_code(text: str) -> bool:
    return _CODE.fullmatch(text) is not None


def account_code(text: str) -> str:
    """`text` if it can be an account's code, else BadCode."""
    if not is_account_code(text):
        raise errors.BadCode(text=shown(text))
    return text


def plain_text(field: str, text: str) -> str:
    """Text fit to be kept: NFC, no control characters but tab and line end, no longer than the field takes."""
    longest = _TEXT_MAX[field]
    if len(text) > longest:
        raise errors.BadText(field=field, problem=f"it is longer than {longest} characters ({len(text)})")
    if text.isascii() and text.isprintable():
        return text
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n" for char in text):
        raise errors.BadText(field=field, problem=f"it holds a control character: '{shown(text)}'")
    return unicodedata.normalize("NFC", text)


def are_plain(field: str, texts: Sequence[str]) -> bool:
    """Whether `plain_text` gives each of them back as it is because it is ASCII; asked of many at once."""
    joined = "".join(texts)
    return joined.isascii() and joined.isprintable() and max(map(len, texts), default=0) <= _TEXT_MAX[field]


def idempotency_key(text: str) -> str:
    """`text` if it can be a key: one to 255 characters."""
    if not text.strip():
        raise errors.BadText(field="idempotency_key", problem="it is empty")
    return plain_text("idempotency_key", text)


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


def transfers(
    ids: Sequence[UUID],
    keys: Sequence[str],
    sources: Sequence[str],
    targets: Sequence[str],
    amounts: Sequence[Decimal],
    currencies: Sequence[str | None],
    descriptions: Sequence[str | None],
    references: Sequence[str | None],
    effective_at: Sequence[str | None],
    import_id: int | None,
    import_rows: Iterable[int],
) -> list[Request] | None:
    """What `transfer` makes of each, in half the time. None when it would refuse one of them, or change its texts."""
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
    columns = zip(
        ids, keys, prints, repeat(Kind.TRANSFER), legs, descriptions, references, instants, none, none,
        repeat(import_id), import_rows,
    )  # fmt: skip
    return list(map(Request._make, columns))


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


def checked_metadata(pairs: Mapping[str, str]) -> dict[str, str]:
    """Pairs fit to be kept: at most 50, of plain text."""
    if len(pairs) > _METADATA_PAIRS_MAX:
        raise errors.BadText(field="metadata", problem=f"it has more than {_METADATA_PAIRS_MAX} pairs")
    return {plain_text("metadata", key): plain_text("metadata", value) for key, value in pairs.items()}


def _other(side: Side) -> Side:
    return Side.CREDIT if side is Side.DEBIT else Side.DEBIT
