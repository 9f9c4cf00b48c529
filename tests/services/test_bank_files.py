"""Real statements of banks: books that were filled from one agree with it in every line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from ledgerctl.core.currencies import EXPONENTS
from ledgerctl.core.statements import Statement, StatementLine
from ledgerctl.formats import records, statements
from ledgerctl.services import accounts, bank_reconciling, payments
from ledgerctl.services.bank_statements import Delivery, TakenIn
from ledgerctl.services.books import Books
from tests.services.conftest import new, transfer

FILES = sorted(
    file for file in (Path(__file__).parent.parent / "data" / "statements").iterdir()
    if file.suffix in (".sta", ".xml", ".ofx")
)  # fmt: skip


def read(file: Path) -> list[Statement]:
    source = records.open_input(str(file))
    try:
        return statements.read(source, None, None)
    finally:
        source.stream.close()


def fill(books: Books, code: str, told: Sequence[Statement], *, named: bool) -> None:
    """Post what the statements say; `named` with the bank's references and texts, or else amounts and days only."""
    first = told[0]
    moved = sum((line.amount for line in first.lines), Decimal(0))
    opening = first.opening.amount if first.opening else first.closing.amount - moved if first.closing else Decimal(0)
    assert first.begins_on is not None
    lines = [StatementLine("before", first.begins_on, None, opening)]
    lines += [line for one in told for line in one.lines]
    for place, line in enumerate(lines):
        if not line.amount:
            continue
        source, target = (code, "others") if line.amount > 0 else ("others", code)
        request = transfer(
            source,
            target,
            format(abs(line.amount).normalize(), "f"),
            f"{code}-{named}-{place}",
            effective_at=str(line.booked_on),
            description=line.description[:1000] or None if named else None,
            reference=(line.references or (None,))[0] if named else None,
        )
        payments.post_one(books, request)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_books_filled_from_a_statement_agree_with_it(books: Books, file: Path, named: bool) -> None:
    of_account: dict[tuple[str, str], list[Statement]] = defaultdict(list)
    for one in read(file):
        of_account[one.account, one.currency].append(one)
    assert of_account
    for number, ((name, currency), told) in enumerate(of_account.items()):
        code, exponent = f"bank:{number}", EXPONENTS[currency]
        others = new("others", "equity", None, currency, exponent)
        accounts.create(books, [new(code, "asset", None, currency, exponent), others])
        fill(books, code, told, named=named)

        delivery = Delivery(file.name, [one for some in of_account.values() for one in some], name)
        result = bank_reconciling.run(books, code, delivery)

        assert (result.findings, list(result.open_lines), list(result.open_entries)) == ([], [], [])
        assert sum(result.matched.values()) == sum(1 for one in told for line in one.lines if line.amount)
        assert bank_reconciling.run(books, code, delivery).taken == TakenIn(0, 0, len(told))
