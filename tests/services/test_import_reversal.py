"""Reversing an import: every row of it, once, or nothing and the reasons."""

from __future__ import annotations

from decimal import Decimal
from io import BytesIO
from uuid import UUID

import pytest

from ledgerctl import errors
from ledgerctl.db import reports
from ledgerctl.db.connection import Connection
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, import_reversal, importing, payments, reconciling
from ledgerctl.services.books import Books
from ledgerctl.services.import_reversal import Asked, Reversal
from tests.services.conftest import balances, count, transfer


def imported(books: Books, rows: str) -> int:
    source = Input("in.csv", BytesIO(f"from,to,amount,idempotency_key\n{rows}".encode()))
    receipt = importing.run(books, TransferFile(source, {}, {}), lambda *_: None).receipt
    assert receipt["status"] == "complete"
    return int(receipt["id"])


def reverse(books: Books, import_id: int, *, skip_partial: bool = False, dry_run: bool = False) -> Reversal:
    asked = Asked(import_id, "sent twice", skip_partial)
    return import_reversal.reverse(books, asked, lambda *_: None, dry_run=dry_run)


@pytest.fixture(params=[2, 5_000])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_reversal, "CHUNK", request.param)


ROWS = "alice,bob,30,a\nbob,carol,130,b\ncarol,alice,100,c\nalice,carol,0.01,d\nbank,opening,7,e\n"


def test_every_account_stands_as_before_and_each_row_is_linked(funded: Books, conn: Connection, chunk: None) -> None:
    before = balances(conn)
    import_id = imported(funded, ROWS)

    done = reverse(funded, import_id)

    assert (done.reversed, done.replayed, done.stuck, done.totals) == (5, 0, [], {"EUR": "267.01"})
    assert balances(conn) == before
    reversals = "kind = 'reversal' AND description = 'sent twice' AND import_id IS NULL"
    assert count(conn, "transactions", reversals) == 5
    links = "SELECT count(*) FROM transactions r JOIN transactions t ON t.id = r.reverses WHERE t.import_id = %s"
    assert conn.execute(links, [import_id]).fetchall() == [(5,)]
    assert reconciling.run(funded, lambda *_: None).findings == []
    [line] = conn.execute("SELECT subject, outcome, detail FROM audit_logs WHERE action = 'import reverse'").fetchall()
    counts = {"reversed": 5, "replayed": 0, "partial": 0, "stuck": 0}
    posted = {"transactions": 5, "entries": 10, "volume": {"EUR": "267.01"}}
    assert line == (str(import_id), "posted", {**counts, **posted})


def test_once_more_changes_nothing(funded: Books, conn: Connection, chunk: None) -> None:
    import_id = imported(funded, ROWS)
    reverse(funded, import_id)
    posted = count(conn, "transactions")

    again = reverse(funded, import_id)

    assert (again.reversed, again.replayed, again.stuck) == (0, 5, [])
    assert count(conn, "transactions") == posted


def test_rows_that_cannot_be_reversed_are_named_and_nothing_changes(
    funded: Books, conn: Connection, chunk: None
) -> None:
    import_id = imported(funded, ROWS)
    ids: dict[int, UUID] = dict(
        conn.execute("SELECT import_row, id FROM transactions WHERE import_id IS NOT NULL").fetchall()
    )
    payments.reverse(funded, uuid7(), "half of it", ids[3], Decimal(50), None)
    payments.post_one(funded, transfer("alice", "opening", "100"))
    accounts.freeze(funded, "bank")
    before = balances(conn), count(conn, "transactions")

    done = reverse(funded, import_id)

    assert [(stuck.row, stuck.transaction_id, stuck.code) for stuck in done.stuck] == [
        (5, ids[5], "ACCOUNT_FROZEN"),
        (3, ids[3], "REVERSED_IN_PART"),
        *[(row, ids[row], "INSUFFICIENT_FUNDS") for row in (2, 1)],
    ]
    assert (done.reversed, done.totals) == (0, {})
    assert (balances(conn), count(conn, "transactions")) == before
    assert count(conn, "audit_logs", "action = 'import reverse' AND outcome = 'refused'") == 1


def test_a_row_that_was_reversed_by_itself_is_not_in_the_way(funded: Books, conn: Connection, chunk: None) -> None:
    before = balances(conn)
    import_id = imported(funded, ROWS)
    [(fourth,)] = conn.execute("SELECT id FROM transactions WHERE import_row = 4").fetchall()
    payments.reverse(funded, uuid7(), "one of them", fourth, None, None)

    done = reverse(funded, import_id)

    assert (done.reversed, done.replayed, done.stuck, done.totals) == (4, 1, [], {"EUR": "267.00"})
    assert balances(conn) == before


def test_a_row_that_was_reversed_in_part_is_left_alone_when_asked(funded: Books, conn: Connection, chunk: None) -> None:
    import_id = imported(funded, "alice,bob,30,a\nbob,carol,40,b\n")
    [(first,)] = conn.execute("SELECT id FROM transactions WHERE import_row = 1").fetchall()
    payments.reverse(funded, uuid7(), "half of it", first, Decimal(10), None)
    assert [stuck.code for stuck in reverse(funded, import_id).stuck] == ["REVERSED_IN_PART"]
    assert reports.imports(conn, funded.ledger, import_id)[0]["reversed_at"] is None

    done = reverse(funded, import_id, skip_partial=True)

    assert (done.reversed, done.replayed, done.partial, done.stuck) == (1, 0, 1, [])
    assert str(balances(conn)["bob"]) == "120.00"
    again = reverse(funded, import_id, skip_partial=True)
    assert (again.reversed, again.replayed, again.partial) == (0, 1, 1)


def test_the_receipt_says_that_its_import_was_reversed_and_when_first(funded: Books, conn: Connection) -> None:
    import_id = imported(funded, "alice,bob,30,a\n")
    reverse(funded, import_id, dry_run=True)
    assert reports.imports(conn, funded.ledger, import_id)[0]["reversed_at"] is None

    reverse(funded, import_id)

    [receipt] = reports.imports(conn, funded.ledger, import_id)
    assert receipt["reversed_at"] > receipt["finished_at"]
    reverse(funded, import_id)
    assert reports.imports(conn, funded.ledger, import_id) == [receipt]


def test_the_way_back_does_not_need_more_funds_than_the_way_there(funded: Books, conn: Connection) -> None:
    """Reversed first row first, carol would have to give back what she has passed on."""
    import_id = imported(funded, "alice,carol,100,a\ncarol,bob,100,b\nbob,carol,200,c\ncarol,alice,200,d\n")

    assert reverse(funded, import_id).stuck == []
    assert balances(conn)["carol"] == 0


def test_a_dry_run_leaves_nothing(funded: Books, conn: Connection) -> None:
    import_id = imported(funded, ROWS)
    posted = count(conn, "transactions")

    assert reverse(funded, import_id, dry_run=True).reversed == 5
    assert (count(conn, "transactions"), count(conn, "audit_logs", "action = 'import reverse'")) == (posted, 0)


def test_an_import_that_there_is_not(funded: Books) -> None:
    with pytest.raises(errors.ImportNotFound):
        reverse(funded, 4711)


def test_rows_that_an_import_replayed_are_not_its_own(funded: Books, conn: Connection) -> None:
    imported(funded, "alice,bob,1,a\n")
    second = imported(funded, "alice,bob,1,a\nalice,bob,2,b\n")

    assert reverse(funded, second).reversed == 1
    assert balances(conn)["bob"] == 101
