"""A CSV of transfers: rows in, requests out.

Columns `from,to,amount,currency` and optionally `idempotency_key,description,reference,effective_at`, in any order and
under any name (see `columns`). Without a key column a row's key derives from the file, and this is frozen from the
first release: `f1:<first 32 hex of the SHA-256 of the bytes>:<record number from 1>`, whatever the options. So the
same file is always safe to send again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import repeat
from operator import itemgetter
from typing import cast
from uuid import UUID

from ledgerctl.core import money, requesting, texts
from ledgerctl.core.model import Request
from ledgerctl.core.rows import Chunk, Rejected, Survey, derived_prefix
from ledgerctl.errors import BadAmount, BadFile, BadText, BadTime, LedgerError
from ledgerctl.formats.bad_rows import misfit, unreadable
from ledgerctl.formats.columns import Cell, Column, EmptyColumn, cell, is_template
from ledgerctl.formats.dialect import PLAIN, Dialect
from ledgerctl.formats.records import Input, Records
from ledgerctl.formats.sample import Sample
from ledgerctl.ids import uuid7s

FIELDS = ("from", "to", "amount", "currency", "idempotency_key", "description", "reference", "effective_at")
ALIASES = {"key": "idempotency_key"}
AMOUNT, KEY = FIELDS.index("amount"), FIELDS.index("idempotency_key")
REQUIRED = ("from", "to", "amount")
SAMPLED = 256
CHUNK = 500
"""The survey reads so many rows at once: they stay in the processor's cache."""
_ZERO = Decimal(0)


def derived_key(sha256: bytes, row: int) -> str:
    """The key of a row that has none of its own. Frozen: see the module."""
    return f"{derived_prefix(sha256)}{row}"


@dataclass(frozen=True, slots=True)
class TransferFile:
    """A file of transfers, read twice: once to survey it, once to post it."""

    source: Input
    columns: Mapping[str, str]
    constants: Mapping[str, str]
    dialect: Dialect = PLAIN

    @property
    def name(self) -> str:
        return self.source.name

    def survey(self, *, amounts: bool = False) -> Survey:
        """Hash the file, count its rows, collect its accounts and, if asked, its sums. BadFile."""
        records = Records(self.source, self.dialect)
        getters = self._getters(records.header)
        source, target, amount, currency = getters[:4]
        width = len(records.header)
        accounts: set[str | None] = set()
        sample = Sample[list[str]](SAMPLED)
        sums: dict[tuple[str | None, str], Decimal] = {}
        for rows in records.chunks(CHUNK):
            sample.add(records.record - len(rows) + 1, rows)
            whole = rows if set(map(len, rows)) == {width} else [row for row in rows if len(row) == width]
            _collect(accounts, source, whole)
            _collect(accounts, target, whole)
            if amounts:
                _sum(sums, source, amount, currency, self.dialect, whole)
        digests = records.digests()
        sha256 = digests[-1]
        keyed, codes = getters[KEY] is not _nothing, frozenset(filter(texts.is_account_code, filter(None, accounts)))
        reader = _Reader(getters, width, keyed, dict(zip(codes, codes, strict=True)), sha256, self.dialect)
        read = [row for one in sample.rows for row in reader.requests([one.row], one.number)]
        return Survey(
            digests,
            records.record,
            tuple(records.header),
            codes,
            keyed,
            len(read),
            tuple(row for row in read if isinstance(row, Request)),
            sums,
        )

    def chunks(self, survey: Survey, import_id: int, size: int) -> Iterator[Chunk]:
        """So many rows at a time. FileChanged before any row that the survey did not read."""
        records = Records(self.source, self.dialect, survey.digests)
        getters, width = self._getters(records.header), len(records.header)
        codes = dict(zip(survey.accounts, survey.accounts, strict=True))
        reader = _Reader(getters, width, survey.keyed, codes, survey.sha256, self.dialect, import_id)
        for cells in records.chunks(size):
            yield Chunk(reader.requests(cells, records.record - len(cells) + 1), cells, records.lines)

    def head(self, count: int) -> list[Request | Rejected]:
        """What the first rows say. Reads the whole file once where keys derive from it. BadFile."""
        records = Records(self.source, self.dialect)
        getters, width = self._getters(records.header), len(records.header)
        keyed = getters[KEY] is not _nothing
        rows = next(records.chunks(count), [])
        reader = _Reader(getters, width, keyed, {}, b"" if keyed else self.source.digest(), self.dialect)
        return reader.requests(rows, 1)

    def sources(self) -> dict[str, str]:
        """Where each field comes from, in words. BadFile."""
        header = Records(self.source, self.dialect).header
        self._getters(header)
        mapped = self._mapped(header)
        return {name: self._source_of(name, header, mapped) for name in FIELDS}

    def _source_of(self, name: str, header: list[str], mapped: Mapping[str, str]) -> str:
        if name in self.constants:
            return f"always '{self.constants[name]}'"
        if name in mapped:
            wanted = mapped[name]
            return f"{'template' if is_template(wanted) else 'column'} '{wanted}'"
        if name in header:
            return f"column '{name}'"
        absent = {"idempotency_key": "derived from the file and the row", "currency": "that of the account"}
        return absent.get(name, "not in the file")

    def _mapped(self, header: list[str]) -> Mapping[str, str]:
        """The columns of the fields, also of those that the file calls by their other name."""
        mapped = dict(self.columns)
        for alias, name in ALIASES.items():
            if alias not in header or name in self.columns or name in self.constants:
                continue
            if name in header:
                raise BadFile(
                    file=self.name,
                    problem=f"it has a column '{name}' and a column '{alias}', which mean the same",
                    hint=f"say which of them is meant: --map {alias}={name}, or --map {alias}={alias}",
                )
            mapped[name] = alias
        return mapped

    def _getters(self, header: list[str]) -> list[Cell]:
        """For each field, how to find it in a row."""
        mapped = self._mapped(header)
        cells = {name: cell(self.name, header, name, mapped, self.constants) for name in FIELDS}
        for name in REQUIRED:
            if cells[name] is None:
                raise BadFile(
                    file=self.name,
                    problem=f"there is no column '{name}'",
                    hint=f"its columns are: {', '.join(map(money.shown, header))}; name one with --map {name}=COLUMN",
                )
        return [found or _nothing for found in cells.values()]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes requests of the rows of one file."""

    getters: Sequence[Cell]
    width: int
    keyed: bool
    codes: Mapping[str, str]
    """What is known to be a code, by itself: rows that name one account then share one text, which is found faster."""
    sha256: bytes
    dialect: Dialect
    import_id: int | None = None

    def requests(self, rows: list[list[str]], first: int) -> list[Request | Rejected]:
        """What the rows from number `first` on say."""
        numbers, ids = range(first, first + len(rows)), uuid7s(len(rows))
        return list(self._all(rows, numbers, ids) or map(self._row, rows, numbers, ids))

    def _all(self, rows: list[list[str]], numbers: range, ids: list[UUID]) -> Sequence[Request] | None:
        """By columns, which takes half the time; None when a row among them needs to be looked at by itself."""
        if set(map(len, rows)) != {self.width}:
            return None
        try:
            columns = [_texts(get, rows) for get in self.getters]
            amounts = money.parse_all(list(map(self.dialect.amount, columns[AMOUNT])))
            times = [self.dialect.time(text) if text else None for text in columns[-1]]
        except (EmptyColumn, BadAmount, BadTime):
            return None
        _, _, _, currencies, keys, descriptions, references, _ = columns
        sources, targets = (list(map(self.codes.get, column)) for column in columns[:2])
        if (
            amounts is None
            or None in sources
            or None in targets
            or not all(map(money.is_currency_code, set(currencies) - {""}))
        ):
            return None
        read = requesting.Columns(
            ids,
            keys if self.keyed else [derived_key(self.sha256, number) for number in numbers],
            cast(list[str], sources),
            cast(list[str], targets),
            amounts,
            _or_none(currencies),
            _or_none(descriptions),
            _or_none(references),
            times,
            numbers,
        )
        return requesting.transfers(read, self.import_id)

    def _row(self, row: list[str], number: int, new_id: UUID) -> Request | Rejected:
        if len(row) != self.width:
            return misfit(number, len(row), self.width)._replace(key=self._key(row, number))
        try:
            read = self._request([get(row) for get in self.getters], number, new_id)
        except EmptyColumn as error:
            read = unreadable(number, None, error)
        return read if isinstance(read, Request) else read._replace(key=self._key(row, number))

    def _key(self, row: list[str], number: int) -> str | None:
        """The key of a row that cannot be read, if that much can be told."""
        if not self.keyed:
            return derived_key(self.sha256, number)
        try:
            return texts.idempotency_key(self.getters[KEY](row) or "") if len(row) == self.width else None
        except (EmptyColumn, BadText):
            return None

    def _request(self, cells: Sequence[str | None], number: int, new_id: UUID) -> Request | Rejected:
        source, target, written, currency, key, description, reference, effective_at = cells
        field: str | None
        try:
            field = "from"
            source = texts.account_code(source or "")
            field = "to"
            target = texts.account_code(target or "")
            field = "amount"
            amount = self.dialect.read_amount(written or "")
            field = "currency"
            if currency:
                money.currency_code(currency)
            field = "idempotency_key"
            if not key:
                if self.keyed:
                    raise BadText(field="idempotency_key", problem="it is empty")
                key = derived_key(self.sha256, number)
            field = None
            return requesting.transfer(
                new_id,
                key,
                source,
                target,
                amount,
                currency or None,
                description=description or None,
                reference=reference or None,
                effective_at=self.dialect.time(effective_at) if effective_at else None,
                import_id=self.import_id,
                import_row=number,
            )
        except LedgerError as error:
            return unreadable(number, field or ("effective_at" if isinstance(error, BadTime) else None), error)


def _column(get: Cell, rows: list[list[str]]) -> Iterable[str | None]:
    if get is _nothing:
        return repeat(None)
    return map(itemgetter(get.index) if isinstance(get, Column) else get, rows)


def _texts(get: Cell, rows: list[list[str]]) -> list[str]:
    found = [""] * len(rows) if get is _nothing else list(_column(get, rows))
    return [text or "" for text in found] if None in found else cast(list[str], found)


def _or_none(texts: list[str]) -> list[str | None]:
    return [text or None for text in texts]


def _nothing(_row: Sequence[str]) -> None:
    """The cell of a field that the file does not have."""


def _collect(accounts: set[str | None], get: Cell, rows: list[list[str]]) -> None:
    try:
        accounts.update(_column(get, rows))
    except EmptyColumn:  # that row will be rejected
        for row in rows:
            with suppress(EmptyColumn):
                accounts.add(get(row))


def _sum(
    sums: dict[tuple[str | None, str], Decimal],
    source: Cell,
    amount: Cell,
    currency: Cell,
    dialect: Dialect,
    rows: list[list[str]],
) -> None:
    for row in rows:
        with suppress(EmptyColumn, BadAmount):  # that row will be rejected
            place = currency(row), source(row) or ""
            sums[place] = money.EXACT.add(sums.get(place, _ZERO), dialect.read_amount(amount(row) or ""))
