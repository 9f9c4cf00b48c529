"""Planted bug 30: an import that goes on by counting lines. It is found by asking for every row of the file, once."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from io import BytesIO

import pytest

from ledgerctl.core.decision import Decision, Facts, decide
from ledgerctl.core.model import Replayed, Request
from ledgerctl.db.connection import Connection
from ledgerctl.errors import AlreadyPosted
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.services import accounts, controls, import_in_pieces, importing
from ledgerctl.services.books import Books
from ledgerctl.services.import_job import Options
from tests.services.conftest import new

POSTED = "SELECT description, count(*) FROM transactions GROUP BY description"
LINES = [f"bank,alice,{number},row {number}" for number in range(1, 31)]
DONE = 20
"""Rows that are posted before one cannot be."""
IN_PIECES = Options(commit_every=10)


def test_rows_put_in_above_are_not_taken_for_those_that_were_posted(books: Books, conn: Connection) -> None:
    halfway(books)
    with pytest.raises(AlreadyPosted):
        imported(books, with_rows_above())
    assert missing_or_doubled(conn, LINES[:DONE]) == []


def test_going_on_by_counting_lines_is_found(books: Books, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    halfway(books)

    def counting(requests: Sequence[Request], facts: Facts) -> Decision:
        done = [Replayed(request, request) for request in requests if (request.import_row or 0) <= DONE]
        decision = decide(requests[len(done) :], facts)
        return decision._replace(outcomes=[*done, *decision.outcomes])

    monkeypatch.setattr(import_in_pieces, "decide", counting)
    monkeypatch.setattr(controls, "overlap", lambda *_: None)
    imported(books, with_rows_above())
    assert missing_or_doubled(conn, with_rows_above()) != []


def halfway(books: Books) -> None:
    """Rows are posted, then one cannot be."""
    accounts.create(books, [new("bank", "asset", None), new("alice")])
    imported(books, [*LINES[:DONE], "bank,nobody,1,wrong", *LINES[DONE:]])


def with_rows_above() -> list[str]:
    return [*(f"bank,alice,{Decimal(number)},new {number}" for number in range(1, 6)), *LINES]


def imported(books: Books, lines: Sequence[str]) -> None:
    content = "\n".join(["from,to,amount,description", *lines]).encode()
    importing.run(books, TransferFile(Input("in.csv", BytesIO(content)), {}, {}), lambda *_: None, options=IN_PIECES)


def missing_or_doubled(conn: Connection, lines: Sequence[str]) -> list[str]:
    """Of the rows that the receipt calls done, those that are not in the books exactly once."""
    counts: dict[str, int] = dict(conn.execute(POSTED).fetchall())
    return [line for line in lines if counts.get(line.split(",")[3]) != 1]
