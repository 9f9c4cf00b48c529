"""ledgerctl import --explain: how the first rows of a file would be read, before anything is done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerctl.cli import files
from ledgerctl.core.rows import Rejected

if TYPE_CHECKING:
    from ledgerctl.cli.invocation import Invocation
    from ledgerctl.core.model import Request
    from ledgerctl.formats.transfer_csv import TransferFile

ROWS = 10
COLUMNS = ("row", "from", "to", "amount", "currency", "idempotency_key", "description", "reference", "effective_at",
           "problem")  # fmt: skip


def explain(invocation: Invocation, file: TransferFile) -> None:
    """Show where each field comes from and what the first rows say. RowsRejected when one of them is bad."""
    sources = file.sources()
    read = file.head(ROWS)
    rows = [_row(number, row) for number, row in enumerate(read, 1)]

    width = max(map(len, sources))
    head = "\n".join([*(f"{name.ljust(width)}  {place}" for name, place in sources.items()), ""])
    empty = [name for name in COLUMNS if all(row[name] is None for row in rows)]
    narrow = [name for name in COLUMNS if name not in empty]
    invocation.show({"fields": sources, "rows": rows}, COLUMNS, rows=rows, head=head, narrow=narrow)
    if bad := [row for row in read if isinstance(row, Rejected)]:
        hint = "mend the rows, or say with --map, --set and the other options how they are written"
        raise files.rejection(file.name, bad, len(bad), len(rows), "these are the first; nothing was posted", hint)


def _row(number: int, row: Request | Rejected) -> dict[str, Any]:
    from ledgerctl.core import times

    empty: dict[str, Any] = dict.fromkeys(COLUMNS)
    if isinstance(row, Rejected):
        place = f"{row.field}: " if row.field else ""
        return {**empty, "row": number, "problem": f"{place}{row.message} [{row.code}]"}
    debit, credit = row.legs
    return {
        **empty,
        "row": number,
        "from": debit.account,
        "to": credit.account,
        "amount": format(debit.amount, "f"),
        "currency": debit.currency,
        "idempotency_key": row.key,
        "description": row.description,
        "reference": row.reference,
        "effective_at": None if row.effective_at is None else times.text(row.effective_at),
    }
