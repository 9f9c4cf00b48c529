"""Imports: every row or none, each row once, and what was tried is kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from ledgerctl import errors
from ledgerctl.db.connection import Connection
from ledgerctl.formats.records import Input, open_input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.services import accounts, import_at_once, importing, tally
from ledgerctl.services.books import Books
from ledgerctl.services.import_job import Options
from ledgerctl.services.importing import Result
from tests.services.conftest import balances, count, new

Import = Callable[..., Result]


@pytest.fixture
def import_(funded: Books) -> Import:
    """Import rows under a header as a file of that name."""

    def run(rows: str, header: str = "from,to,amount,key", name: str = "in.csv", **options: Any) -> Result:
        source = Input(name, BytesIO(f"{header}\n{rows}".encode()))
        columns = {"idempotency_key": "key"} if "key" in header else {}
        file = TransferFile(source, columns, {})
        return importing.run(funded, file, lambda *_: None, options=Options(**options))

    return run


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_at_once, "CHUNK", 3)
    monkeypatch.setattr(import_at_once, "BATCH", 2)


def rejected(result: Result) -> list[tuple[int, str | None, str]]:
    return [(one.row, one.field, one.code) for one in result.tally.rejects]


def outcome(result: Result) -> tuple[str, int, int, int]:
    receipt = result.receipt
    return receipt["status"], receipt["posted"], receipt["replayed"], receipt["rejected"]


def test_a_file_is_posted_once_however_often_it_is_imported(import_: Import, conn: Connection) -> None:
    rows = "alice,bob,1.50,a\nbob,carol,2.25,b\n"

    assert outcome(import_(rows)) == ("complete", 2, 0, 0)
    again = import_(rows, name="copy.csv")

    assert outcome(again) == ("complete", 0, 2, 0)
    assert again.receipt["totals"] == {"EUR": "3.75"}
    assert balances(conn)["carol"] == 2.25


def test_without_keys_the_rows_of_a_file_have_keys_of_their_own(import_: Import, conn: Connection) -> None:
    rows = "alice,bob,1\nalice,bob,1\n"

    assert outcome(import_(rows, "from,to,amount")) == ("complete", 2, 0, 0)
    assert outcome(import_(rows, "from,to,amount")) == ("complete", 0, 2, 0)
    assert outcome(import_(rows + "alice,bob,1\n", "from,to,amount", again=True)) == ("complete", 3, 0, 0)
    assert count(conn, "transactions", "idempotency_key ~ '^f1:[0-9a-f]{32}:[12]$'") == 4


def test_a_file_with_a_bad_row_posts_nothing_and_leaves_its_receipt(import_: Import, conn: Connection) -> None:
    before = balances(conn)

    result = import_("alice,bob,1,a\nnobody,bob,1,b\nalice,bob,x,c\n")

    assert outcome(result) == ("refused", 0, 0, 2)
    assert rejected(result) == [(2, "from", "ACCOUNT_NOT_FOUND"), (3, "amount", "BAD_AMOUNT")]
    assert (balances(conn), count(conn, "transactions")) == (before, 2)
    [line] = conn.execute("SELECT outcome, subject FROM audit_logs WHERE action = 'import'").fetchall()
    assert line == ("refused", str(result.receipt["id"]))


def test_funds_that_run_out_name_the_row(import_: Import, conn: Connection) -> None:
    result = import_("".join(f"alice,bob,{'0.11' if row < 900 else '2'},k{row}\n" for row in range(1, 1001)))

    assert result.receipt["rows"] == 1000
    assert rejected(result)[0] == (900, "from", "INSUFFICIENT_FUNDS")
    assert count(conn, "transactions") == 2


def test_rows_see_what_those_before_them_moved(import_: Import, small_chunks: None, conn: Connection) -> None:
    rows = "".join(f"alice,carol,1,a{n}\n" for n in range(5)) + "carol,bob,5,b\ncarol,bob,0.01,c\n"

    assert rejected(import_(rows)) == [(7, "from", "INSUFFICIENT_FUNDS")]
    assert outcome(import_(rows.replace("carol,bob,0.01,c\n", ""))) == ("complete", 6, 0, 0)
    assert balances(conn)["carol"] == 0


@pytest.mark.parametrize("amount", ["1", "2"])
@pytest.mark.parametrize("distance", [0, 4, 8, 20])  # the same chunk, the same batch, the next, a later one
def test_a_key_that_stands_twice_in_a_file_is_a_bad_row(
    import_: Import, small_chunks: None, amount: str, distance: int
) -> None:
    between = "".join(f"alice,bob,1,x{n}\n" for n in range(distance))

    result = import_(f"alice,bob,1,k\n{between}alice,bob,{amount},k\n")

    assert rejected(result) == [(distance + 2, "idempotency_key", "DUPLICATE_KEY")]


def test_a_key_of_another_file_is_replayed_once_and_not_twice(import_: Import, small_chunks: None) -> None:
    import_("alice,bob,1,k\n", name="yesterday.csv")

    assert outcome(import_("alice,bob,1,n\nalice,bob,1,k\n")) == ("complete", 1, 1, 0)
    rows = "alice,bob,1,n2\nalice,bob,1,k\nalice,bob,1,n3\nalice,bob,1,n4\nalice,bob,1,k\n"
    assert rejected(import_(rows)) == [(5, "idempotency_key", "DUPLICATE_KEY")]


@pytest.fixture
def sample_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample then says nothing of most rows of a file."""
    monkeypatch.setattr("ledgerctl.formats.transfer_csv.SAMPLED", 1)


def test_a_used_key_that_the_sample_misses_is_replayed_all_the_same(
    import_: Import, small_chunks: None, sample_of_one: None, conn: Connection
) -> None:
    new = [f"alice,bob,1,n{number}\n" for number in range(40)]
    import_("".join(new[30:31]), name="yesterday.csv")

    assert outcome(import_("".join(new), again=True)) == ("complete", 39, 1, 0)
    assert count(conn, "transactions", "idempotency_key ~ '^n'") == 40


@pytest.mark.parametrize("options", [{}, {"rejects_max": 0}])
def test_a_row_is_not_refused_while_its_key_says_that_it_was_posted(
    import_: Import, funded: Books, small_chunks: None, sample_of_one: None, options: dict[str, Any]
) -> None:
    new = [f"alice,bob,1,n{number}\n" for number in range(40)]
    new[30] = "alice,carol,1,frozen since\n"
    import_(new[30], name="yesterday.csv")
    accounts.freeze(funded, "carol")

    result = import_("".join(new), again=True, skip_rejects=True, **options)

    assert outcome(result) == ("complete", 39, 1, 0)


def test_a_key_used_for_something_else_names_the_fields_that_differ(import_: Import) -> None:
    import_("alice,bob,1,k\n", name="yesterday.csv")

    result = import_("alice,carol,2,k\n")

    assert rejected(result) == [(1, "idempotency_key", "IDEMPOTENCY_CONFLICT")]
    assert "accounts, amount" in result.tally.rejects[0].message


def test_a_dry_run_shows_all_and_leaves_nothing(import_: Import, conn: Connection) -> None:
    before = balances(conn)

    result = import_("alice,bob,1,a\n", dry_run=True)

    assert outcome(result) == ("dry-run", 1, 0, 0)
    assert (balances(conn), count(conn, "imports"), count(conn, "transactions")) == (before, 0, 2)


def test_totals_are_kept_by_currency_at_its_exponent(import_: Import, funded: Books) -> None:
    pairs = [(code, exponent) for code, exponent in (("JPY", 0), ("KWD", 3))]
    accounts.create(funded, [new(f"{c}-{n}", "equity", None, c, exponent) for c, exponent in pairs for n in range(2)])

    result = import_("JPY-0,JPY-1,5,a\nKWD-0,KWD-1,1.5,b\nalice,bob,2,c\nKWD-0,KWD-1,1,d\n")

    assert result.receipt["totals"] == {"EUR": "2.00", "JPY": "5", "KWD": "2.500"}


def test_a_file_with_a_header_only_is_complete(import_: Import) -> None:
    assert outcome(import_("")) == ("complete", 0, 0, 0)


def test_a_file_that_changes_while_it_is_read_posts_nothing(funded: Books, tmp_path: Path, conn: Connection) -> None:
    path = tmp_path / "in.csv"
    path.write_text("from,to,amount\nalice,bob,1\nalice,bob,2\n")

    class Changing(TransferFile):
        """The same file, to which somebody writes between the two passes."""

        def survey(self, **asked: Any) -> Any:
            found = super().survey(**asked)
            path.write_text("from,to,amount\nalice,bob,1\nalice,bob,9\n")
            return found

    source = open_input(str(path))
    with closing(source.stream), pytest.raises(errors.FileChanged):
        importing.run(funded, Changing(source, {}, {}), lambda *_: None)

    assert count(conn, "transactions") == 2


CHANGES = [
    "from,to,amount,key\n",
    "from,to,amount,key\nalice,bob,1,a\n",
    "from,to,amount,key\nalice,bob,1,a\nalice,bob,9,b\n",
    "from,to,amount,key\nalice,bob,1,a\nalice,bob,2,b\nalice,bob,3,c\n",
    "from,to,amount,key\nalice,bob,1,a\nalice,carol,2,b\n",
    "from,to,amount,key\nalice,bob,1,a\nalice,bob,x,b\n",
    "from,to,amount,key\nalice,bob,1,a\nopening,carol,5,earlier\n",
]


@pytest.mark.parametrize("later", CHANGES)
def test_whatever_changes_in_a_file_between_the_passes_it_posts_nothing(
    import_: Import, funded: Books, tmp_path: Path, conn: Connection, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    # Rows are then decided before the end of the file shows the change.
    monkeypatch.setattr(import_at_once, "CHUNK", 1)
    monkeypatch.setattr(import_at_once, "BATCH", 1)
    import_("opening,carol,5,earlier\n")
    kept = [count(conn, table) for table in ("transactions", "imports", "audit_logs")], balances(conn)
    path = tmp_path / "in.csv"
    path.write_text("from,to,amount,key\nalice,bob,1,a\nalice,bob,2,b\n")

    class Changing(TransferFile):
        def survey(self, **asked: Any) -> Any:
            found = super().survey(**asked)
            path.write_text(later)
            return found

    source = open_input(str(path))
    with closing(source.stream), pytest.raises(errors.FileChanged):
        importing.run(funded, Changing(source, {"idempotency_key": "key"}, {}), lambda *_: None)

    assert ([count(conn, table) for table in ("transactions", "imports", "audit_logs")], balances(conn)) == kept


def test_a_file_on_disk_is_imported_again_under_the_keys_it_derives(
    funded: Books, tmp_path: Path, conn: Connection
) -> None:
    path = tmp_path / "in.csv"
    path.write_text("from,to,amount,currency\nalice,bob,1,EUR\nbob,carol,2,EUR\n")
    digest = sha256(path.read_bytes()).hexdigest()

    outcomes = []
    for _ in range(2):
        source = open_input(str(path))
        with closing(source.stream):
            outcomes.append(outcome(importing.run(funded, TransferFile(source, {}, {}), lambda *_: None)))

    assert outcomes == [("complete", 2, 0, 0), ("complete", 0, 2, 0)]
    keys = "SELECT idempotency_key FROM transactions WHERE import_id IS NOT NULL ORDER BY import_row"
    assert conn.execute(keys).fetchall() == [(f"f1:{digest[:32]}:1",), (f"f1:{digest[:32]}:2",)]


def test_every_import_has_its_line_in_the_audit_log_and_a_dry_run_none(import_: Import, conn: Connection) -> None:
    rows = "alice,bob,1.50,a\nbob,carol,2.25,b\n"
    done = [import_(rows), import_(rows), import_("alice,nobody,1,c\n")]
    import_("alice,bob,1,d\n", dry_run=True)

    lines = conn.execute(
        "SELECT subject, outcome, actor, detail FROM audit_logs WHERE action = 'import' ORDER BY id"
    ).fetchall()
    posted_now = {"transactions": 2, "entries": 4, "volume": {"EUR": "3.75"}}
    details: list[dict[str, Any]] = [posted_now, {}, {"reason": "ROWS_REJECTED", "reasons": {"ACCOUNT_NOT_FOUND": 1}}]
    digests = [sha256(f"from,to,amount,key\n{text}".encode()).hexdigest() for text in (rows, "alice,nobody,1,c\n")]
    assert lines == [
        (
            str(result.receipt["id"]),
            outcome_,
            "tester",
            {"rows": total, "posted": posted, "replayed": replayed, "rejected": refused, "sha256": digest, **more},
        )
        for result, outcome_, total, posted, replayed, refused, digest, more in [
            (done[0], "posted", 2, 2, 0, 0, digests[0], details[0]),
            (done[1], "posted", 2, 0, 2, 0, digests[0], details[1]),
            (done[2], "refused", 1, 0, 0, 1, digests[1], details[2]),
        ]
    ]
    posted = "SELECT DISTINCT l.xid8 = t.xid8 FROM transactions t JOIN audit_logs l ON l.subject = t.import_id::text"
    assert conn.execute(f"{posted} WHERE l.action = 'import'".encode()).fetchall() == [(True,)]


def test_a_dry_run_of_a_bad_file_shows_its_rows_and_keeps_no_receipt(import_: Import, conn: Connection) -> None:
    result = import_("alice,bob,1,a\nalice,nobody,1,b\n", dry_run=True)

    assert (result.receipt["status"], result.receipt["id"]) == ("dry-run", None)
    assert rejected(result) == [(2, "to", "ACCOUNT_NOT_FOUND")]
    assert (count(conn, "imports"), count(conn, "audit_logs", "action = 'import'")) == (0, 0)


def test_a_refused_file_is_posted_once_its_rows_can_be(import_: Import, funded: Books, conn: Connection) -> None:
    rows = "alice,bob,1,a\nalice,dave,2,b\n"
    assert outcome(import_(rows)) == ("refused", 0, 0, 1)

    accounts.create(funded, [new("dave")])

    assert outcome(import_(rows)) == ("complete", 2, 0, 0)
    assert balances(conn)["dave"] == 2


def test_rows_a_file_shares_with_an_earlier_one_are_replayed_and_its_others_posted(
    import_: Import, small_chunks: None, conn: Connection
) -> None:
    import_("".join(f"alice,bob,1,k{n}\n" for n in range(5)), name="monday.csv")

    grown = "".join(f"alice,bob,1,k{n}\n" for n in range(8))

    assert outcome(import_(grown, name="tuesday.csv")) == ("complete", 3, 5, 0)
    assert outcome(import_(grown, name="tuesday.csv")) == ("complete", 0, 8, 0)
    assert balances(conn)["alice"] == 92


def test_more_rejects_than_are_kept_are_all_counted(import_: Import) -> None:
    result = import_("".join(f"alice,nobody,1,k{n}\n" for n in range(150)))

    assert (len(result.tally.rejects), result.receipt["rejected"]) == (tally.SHOWN_MAX, 150)


def test_an_account_that_was_frozen_refuses_its_rows(import_: Import, funded: Books) -> None:
    accounts.freeze(funded, "bob")

    assert rejected(import_("alice,carol,1,a\nalice,bob,1,b\n")) == [(2, "to", "ACCOUNT_FROZEN")]
