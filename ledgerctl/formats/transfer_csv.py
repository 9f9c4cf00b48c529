"""A CSV of transfers: rows in, requests out.

Columns `from,to,amount,currency` and optionally `idempotency_key,description,reference,effective_at`, in any order and
under any name (see `columns`). Without a key column a row's key derives from the file, and this is frozen from the
first release: `f1:<first 32 hex of the SHA-256 of the bytes>:<record number from 1>`, whatever the options. So the
same file is always safe to send again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ledgerctl.core import model, money
from ledgerctl.core.model import Rejected, Request, Survey
from ledgerctl.errors import BadFile, BadText, BadTime, FileChanged, LedgerError
from ledgerctl.formats.columns import Cell, EmptyColumn, cell
from ledgerctl.formats.records import Input, Records
from ledgerctl.ids import uuid7

FIELDS = ("from", "to", "amount", "currency", "idempotency_key", "description", "reference", "effective_at")
ALIASES = {"key": "idempotency_key"}
REQUIRED = ("from", "to", "amount")


def derived_key(sha256: bytes, row: int) -> str:
    """The key of a row that has none of its own. Frozen: see the module."""
    return f"f1:{sha256.hex()[:32]}:{row}"


@dataclass(frozen=True, slots=True)
class TransferFile:
    """A file of transfers, read twice: once to survey it, once to post it."""

    source: Input
    columns: Mapping[str, str]
    constants: Mapping[str, str]
    delimiter: str = ","

    @property
    def name(self) -> str:
        return self.source.name

    def survey(self) -> Survey:
        """Hash the file, count its rows and collect its accounts. BadFile when it cannot be read to its end."""
        records = Records(self.source, self.delimiter)
        cells = self._cells(records.header)
        source, target, width = cells["from"], cells["to"], len(records.header)
        accounts: set[str] = set()
        for row in records:
            if len(row) != width:
                continue
            for side in (source, target):
                try:
                    accounts.add((side and side(row)) or "")
                except EmptyColumn:
                    continue
        return Survey(records.digest(), records.record, frozenset(filter(model.is_account_code, accounts)))

    def requests(self, survey: Survey, import_id: int) -> Iterator[Request | Rejected]:
        """One request or one rejection a row, in order. FileChanged at the end if these are not the surveyed bytes."""
        records = Records(self.source, self.delimiter)
        cells, width = self._cells(records.header), len(records.header)
        for row in records:
            number = records.record
            if len(row) != width:
                message = f"it has {len(row)} cells where the header has {width}"
                yield Rejected(number, None, "BAD_ROW", message)
                continue
            yield _request(row, number, cells, survey.sha256, import_id)
        if records.digest() != survey.sha256:
            raise FileChanged(file=self.name)

    def _cells(self, header: list[str]) -> dict[str, Cell | None]:
        cells = {name: cell(self.name, header, name, self.columns, self.constants) for name in FIELDS}
        for name in REQUIRED:
            if cells[name] is None:
                raise BadFile(
                    file=self.name,
                    problem=f"there is no column '{name}'",
                    hint=f"its columns are: {', '.join(map(money.shown, header))}; name one with --map {name}=COLUMN",
                )
        return cells


def _request(
    row: list[str], number: int, cells: Mapping[str, Cell | None], sha256: bytes, import_id: int
) -> Request | Rejected:
    field = None
    values: dict[str, str | None] = {}
    try:
        for field, read in cells.items():
            values[field] = None if read is None else read(row)
        field = "from"
        source = model.account_code(values["from"] or "")
        field = "to"
        target = model.account_code(values["to"] or "")
        field = "amount"
        amount = money.parse(values["amount"] or "")
        field = "currency"
        currency = values["currency"]
        if currency is not None:
            money.currency_code(currency)
        field = "idempotency_key"
        key = values["idempotency_key"]
        if key is None and cells["idempotency_key"] is not None:
            raise BadText(field="idempotency_key", problem="it is empty")
        field = None
        return model.transfer(
            uuid7(),
            derived_key(sha256, number) if key is None else key,
            source,
            target,
            amount,
            currency,
            description=values["description"],
            reference=values["reference"],
            effective_at=values["effective_at"],
            import_id=import_id,
            import_row=number,
        )
    except EmptyColumn as error:
        return Rejected(number, field, "BAD_TEXT", f"the column '{error.column}' is empty")
    except LedgerError as error:
        of_time = "effective_at" if isinstance(error, BadTime) else None
        return Rejected(number, field or of_time or error.details.get("field"), error.code, str(error))
