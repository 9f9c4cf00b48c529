"""How a row that cannot be read is told."""

from __future__ import annotations

from ledgerctl.core.rows import Rejected
from ledgerctl.errors import BadText, LedgerError
from ledgerctl.formats.columns import EmptyColumn


def misfit(number: int, cells: int, columns: int) -> Rejected:
    """A row with too few cells, or too many."""
    has = "1 cell" if cells == 1 else f"{cells} cells"
    return Rejected(number, None, "BAD_ROW", f"it has {has} where the header has {columns}")


def unreadable(number: int, field: str | None, error: LedgerError | EmptyColumn) -> Rejected:
    """A row with an error in it. What names its field in front of the message does not name it there again."""
    if isinstance(error, EmptyColumn):
        return Rejected(number, error.field, "BAD_TEXT", f"the column '{error.column}' is empty")
    field = field or error.details.get("field")
    message = error.details["problem"] if isinstance(error, BadText) else str(error)
    return Rejected(number, field, error.code, message, error.advice)
