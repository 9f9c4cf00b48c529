"""What is known of a file of transfers: as a whole, and some rows at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from ledgerctl.core.model import Request

DERIVED = "f1:"
"""How the keys begin that derive from a file, since it brought none."""


def derived_prefix(sha256: bytes) -> str:
    """How those of one file begin; the number of the row follows. Frozen: see `formats.transfer_csv`."""
    return f"{DERIVED}{sha256.hex()[:32]}:"


def origin_prefix(key: str) -> str:
    """Of a derived key, what it has in common with those of the same file, wherever it stands now; "" of another."""
    prefix, _, row = key.rpartition(":")
    return f"{prefix}:" if key.startswith(DERIVED) and prefix and row.isdecimal() else ""


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
