"""Ways to import: in pieces, past the rows that cannot be posted, only if the file is the one that was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from io import BytesIO
from itertools import islice
from typing import Any

import pytest

from ledgerctl import errors
from ledgerctl.core.rows import Chunk, Rejected, Survey
from ledgerctl.db import journal
from ledgerctl.db.connection import Connection
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile, derived_key
from ledgerctl.services import accounts, import_at_once, importing, payments
from ledgerctl.services.books import Books
from ledgerctl.services.controls import Expected
from ledgerctl.services.import_job import Options
from ledgerctl.services.importing import Result
from ledgerctl.services.tally import Bad
from tests.services.conftest import balances, count, new, transfer

HEADER = "from,to,amount,description"
Import = Callable[..., Result]


class Kept:
    """Rejected rows, in memory."""

    name = "kept.csv"

    def __init__(self) -> None:
        self.begun = 0
        self.rows: list[Bad] = []

    def begin(self, _survey: Survey) -> None:
        self.begun += 1
        self.rows = []

    def add(self, bad: Bad) -> None:
        self.rows.append(bad)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def import_(funded: Books, kept: Kept) -> Import:
    """Import rows under a header, with the options of an import."""

    def run(rows: str, header: str = HEADER, **options: Any) -> Result:
        file = TransferFile(Input("in.csv", BytesIO(f"{header}\n{rows}".encode())), {}, {})
        return importing.run(funded, file, lambda *_: None, kept, Options(**options))

    return run


def outcome(result: Result) -> tuple[str, int, int, int]:
    receipt = result.receipt
    return receipt["status"], receipt["posted"], receipt["replayed"], receipt["rejected"]


def rows(count: int, source: str = "alice", target: str = "bob", amount: str = "1", text: str = "no.") -> str:
    return "".join(f"{source},{target},{amount},{text} {number}\n" for number in range(count))


# -- in pieces -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 10, 50_000])
def test_in_pieces_every_row_is_posted_once(import_: Import, conn: Connection, size: int) -> None:
    assert outcome(import_(rows(10), commit_every=size)) == ("complete", 10, 0, 0)
    assert outcome(import_(rows(10), commit_every=size)) == ("complete", 0, 10, 0)

    assert balances(conn)["bob"] == 110
    written = "SELECT count(DISTINCT xid8) FROM transactions WHERE import_id IS NOT NULL"
    assert conn.execute(written).fetchall() == [(-(-10 // size),)]


def test_a_piece_with_a_bad_row_is_not_posted_and_ends_the_import(
    import_: Import, kept: Kept, conn: Connection
) -> None:
    text = rows(5) + "alice,nobody,1,wrong\n" + rows(5, text="later")

    result = import_(text, commit_every=2)

    assert outcome(result) == ("partial", 4, 0, 1)
    assert [(one.rejected.row, one.rejected.code) for one in kept.rows] == [(6, "ACCOUNT_NOT_FOUND")]
    assert (result.receipt["rows"], result.receipt["rejects_file"]) == (11, "kept.csv")
    assert balances(conn)["bob"] == 104


def test_what_was_left_is_posted_when_the_same_file_comes_again(
    import_: Import, funded: Books, conn: Connection
) -> None:
    text = rows(5) + "alice,dave,1,not yet there\n" + rows(5, text="later")
    import_(text, commit_every=2)
    accounts.create(funded, [new("dave")])

    again = import_(text, commit_every=3)

    assert outcome(again) == ("complete", 7, 4, 0)
    assert [one["posted"] for one in again.earlier] == [4]
    assert [str(balances(conn)[code]) for code in ("bob", "dave")] == ["110.00", "1.00"]


class Dying(TransferFile):
    """A file whose reader dies after two pieces, as a killed process does."""

    def chunks(self, survey: Survey, import_id: int, size: int) -> Iterator[Chunk]:
        yield from islice(super().chunks(survey, import_id, size), 2)
        raise KeyboardInterrupt


def test_the_receipt_follows_the_pieces(funded: Books, conn: Connection) -> None:
    file = Dying(Input("in.csv", BytesIO(f"{HEADER}\n{rows(7)}".encode())), {}, {})
    with pytest.raises(KeyboardInterrupt):
        importing.run(funded, file, lambda *_: None, None, Options(commit_every=2))

    columns = "status, rows, posted, totals, finished_at"
    assert conn.execute(f"SELECT {columns} FROM imports".encode()).fetchall() == [
        ("partial", 4, 4, {"EUR": "4.00"}, None)
    ]
    assert count(conn, "audit_logs", "action = 'import' AND outcome = 'started'") == 1


class Replaced(TransferFile):
    """A file whose end is another one by the time it is read again, as when somebody still writes it."""

    def survey(self, **asked: Any) -> Survey:
        survey = super().survey(**asked)
        stream = self.source.stream
        stream.seek(0)
        whole = stream.read()
        stream.seek(len(whole) - 300_000)
        stream.write(whole[-300_000:].replace(b",1,", b",9,"))
        return survey


def test_a_file_that_changes_while_its_pieces_are_posted(
    funded: Books, conn: Connection, import_: Import, kept: Kept
) -> None:
    """What was posted is of the file as it was surveyed, and it is said how much that is."""
    text = rows(10, "nobody") + rows(12_000, "opening", "alice", "1", "x" * 110)
    file = Replaced(Input("in.csv", BytesIO(f"{HEADER}\n{text}".encode())), {}, {})

    done = importing.run(funded, file, lambda *_: None, kept, Options(commit_every=1_000, skip_rejects=True))

    assert outcome(done) == ("partial", 6_990, 0, 10)
    assert done.receipt["finished_at"] is not None
    assert str(done.error) == "'in.csv' changed while it was read; its first 7,000 rows are done, the others are not"
    assert balances(conn)["alice"] == 7_090
    assert len(kept.rows) == 10

    again = import_(text, commit_every=1_000, skip_rejects=True)

    assert outcome(again) == ("partial", 5_010, 6_990, 10)
    assert balances(conn)["alice"] == 12_100


def test_a_file_that_cannot_be_read_to_its_end_says_how_much_of_it_is_done(funded: Books, conn: Connection) -> None:
    class Unreadable(TransferFile):
        def chunks(self, survey: Survey, import_id: int, size: int) -> Iterator[Chunk]:
            yield from islice(super().chunks(survey, import_id, size), 2)
            raise errors.BadFile(file=self.name, problem="input/output error", hint="nothing was changed")

    file = Unreadable(Input("in.csv", BytesIO(f"{HEADER}\n{rows(7)}".encode())), {}, {})

    done = importing.run(funded, file, lambda *_: None, None, Options(commit_every=2))

    assert outcome(done) == ("partial", 4, 0, 0)
    assert isinstance(done.error, errors.BadFile)
    assert done.error.advice.startswith("its first 4 rows are done, the others are not")


def test_rows_of_later_pieces_see_what_those_before_them_moved(import_: Import, kept: Kept) -> None:
    text = rows(3, "alice", "carol", "10") + rows(2, "carol", "bob", "15") + "carol,bob,0.01,one too many\n"

    assert outcome(import_(text, commit_every=1)) == ("partial", 5, 0, 1)
    assert kept.rows[0].rejected.code == "INSUFFICIENT_FUNDS"


@pytest.mark.parametrize("options", [{"commit_every": 1}, {}])
def test_a_key_that_stands_twice_is_refused_across_pieces_too(
    import_: Import, kept: Kept, options: dict[str, Any]
) -> None:
    header, text = "from,to,amount,idempotency_key", "alice,bob,1,k\nalice,bob,2,m\nalice,bob,1,k\n"

    assert import_(text, header, skip_rejects=True, **options).receipt["posted"] == 2
    assert import_(text, header, skip_rejects=True, **options).receipt["replayed"] == 2
    assert [(one.rejected.row, one.rejected.code) for one in kept.rows] == [(3, "DUPLICATE_KEY")]


# -- past the rows that cannot be posted -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"commit_every": 2}])
def test_what_can_be_posted_is_and_the_rest_is_kept_as_it_stands(
    import_: Import, kept: Kept, conn: Connection, options: dict[str, Any]
) -> None:
    text = 'alice,bob,60,a\nalice,bob,60,"b\nb"\nalice,bob,x,c\nalice,bob,40,d\nalice,bob\n'

    result = import_(text, skip_rejects=True, **options)

    assert outcome(result) == ("partial", 2, 0, 3)
    assert result.receipt["totals"] == {"EUR": "100.00"}
    assert [(one.rejected.row, one.line, one.cells, one.rejected.code) for one in kept.rows] == [
        (2, 3, ["alice", "bob", "60", "b\nb"], "INSUFFICIENT_FUNDS"),
        (3, 5, ["alice", "bob", "x", "c"], "BAD_AMOUNT"),
        (5, 7, ["alice", "bob"], "BAD_ROW"),
    ]
    assert all(one.rejected.hint for one in kept.rows[:2])
    assert balances(conn)["bob"] == 200


def test_a_file_of_which_nothing_can_be_posted_is_refused(import_: Import) -> None:
    assert outcome(import_(rows(3, "nobody"), skip_rejects=True)) == ("refused", 0, 0, 3)


@pytest.mark.parametrize(("options", "posted"), [({}, 0), ({"commit_every": 2}, 4)])
def test_too_many_rejected_rows_end_the_import(
    import_: Import, conn: Connection, options: dict[str, Any], posted: int
) -> None:
    text = rows(3) + rows(2, "nobody") + rows(200)

    result = import_(text, skip_rejects=True, rejects_max=1, **options)

    assert result.receipt["posted"] == posted
    assert balances(conn)["bob"] == 100 + posted
    assert result.receipt["status"] == ("partial" if posted else "refused")


@pytest.mark.parametrize("keys", ["new", "looked up"])
def test_giving_up_does_not_wait_for_the_end_of_a_batch(import_: Import, keys: str) -> None:
    """Batches grow, and the largest are of sixteen chunks."""
    chunk, header = import_at_once.CHUNK, "from,to,amount,idempotency_key"
    good = "".join(f"alice,bob,0.01,k{row}\n" for row in range(56 * chunk))
    if keys == "looked up":
        import_("alice,bob,0.01,k0\n", header)
    bad = "".join(f"alice,nobody,1,bad{row}\n" for row in range(5 * chunk))

    done = import_(good + bad, header, rejects_max=0)

    assert done.tally.rejected == chunk


def test_a_dry_run_finds_more_than_the_rows_that_an_import_would_give_up_at(import_: Import) -> None:
    text = rows(3) + rows(2, "nobody") + rows(1_000, amount="0.01")

    done = import_(text, skip_rejects=True, rejects_max=0, dry_run=True)

    assert [one.row for one in done.tally.rejects] == [4, 5]


def test_an_attempt_that_lost_a_race_starts_its_rejects_anew(
    funded: Books, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{HEADER}\nalice,nobody,1,a\nalice,bob,1,b\n".encode()
    key = derived_key(sha256(text).digest(), 2)
    copy = journal.copy
    raced: list[bool] = []

    def racing(*args: Any) -> None:
        if not raced:
            raced.append(True)
            second = Books(replace(funded.database, _open=None), funded.ledger, "main", "other", "r")
            payments.post_one(second, transfer("opening", "carol", "1", key))
            second.database.close()
        copy(*args)

    monkeypatch.setattr(journal, "copy", racing)
    file = TransferFile(Input("in.csv", BytesIO(text)), {}, {})

    result = importing.run(funded, file, lambda *_: None, kept, Options(skip_rejects=True))

    assert kept.begun == 2
    assert [one.rejected.code for one in kept.rows] == ["ACCOUNT_NOT_FOUND", "IDEMPOTENCY_CONFLICT"]
    assert outcome(result) == ("refused", 0, 0, 2)


def test_what_was_left_out_stays_out_until_it_is_asked_for_again(
    import_: Import, funded: Books, kept: Kept, conn: Connection
) -> None:
    text = "carol,bob,5,too early\n" + rows(3, "alice", "carol", "10")
    for options in ({}, {"commit_every": 2}, {"commit_every": 2}):
        import_(text, skip_rejects=True, **options)
    assert [one.rejected.code for one in kept.rows] == ["REJECTED_BEFORE"]
    assert outcome(import_(text)) == ("refused", 0, 3, 1)
    accounts.freeze(funded, "carol")
    import_(text, skip_rejects=True)
    assert [one.rejected.code for one in kept.rows] == ["ACCOUNT_FROZEN"]
    accounts.unfreeze(funded, "carol")
    assert balances(conn)["carol"] == 30

    assert outcome(import_(text, again=True)) == ("complete", 1, 3, 0)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_an_import_that_died_ends_as_if_it_had_not(
    funded: Books, conn: Connection, import_: Import, kept: Kept, size: int
) -> None:
    """The first row could be posted once the second is; it was decided before that."""
    text = "carol,bob,5,too early\n" + rows(3, "alice", "carol", "10") + "carol,nobody,1,wrong\n" + rows(2)

    file = Dying(Input("in.csv", BytesIO(f"{HEADER}\n{text}".encode())), {}, {})
    with pytest.raises(KeyboardInterrupt):
        importing.run(funded, file, lambda *_: None, None, Options(commit_every=size, skip_rejects=True))

    result = import_(text, commit_every=size, skip_rejects=True)

    assert result.receipt["rejected"] == 2
    assert [one.rejected.row for one in kept.rows] == [1, 5]
    assert [str(balances(conn)[code]) for code in ("alice", "bob", "carol")] == ["68.00", "102.00", "30.00"]


# -- what was expected -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (Expected(3), "it has 2 rows, not 3"),
        (Expected(2, {"EUR": Decimal("3.51")}), "its amounts in EUR sum to 3.50, not 3.51"),
        (Expected(2, {"USD": Decimal(1)}), "its amounts in USD sum to 0, not 1"),
        (Expected(1, {"EUR": Decimal(3)}), "it has 2 rows, not 1; its amounts in EUR sum to 3.50, not 3"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"commit_every": 1}])
def test_a_file_that_was_not_expected_posts_nothing(
    import_: Import, conn: Connection, expected: Expected, found: str, options: dict[str, Any]
) -> None:
    with pytest.raises(errors.ControlTotals) as refusal:
        import_("alice,bob,1.50,a\nalice,bob,2,b\n", expected=expected, **options)

    assert refusal.value.details["found"] == found
    assert count(conn, "transactions") == 2
    assert conn.execute("SELECT status, rows FROM imports").fetchall() == [("refused", 2)]


def test_a_dry_run_says_what_was_not_expected_and_goes_on_to_the_rows(import_: Import, conn: Connection) -> None:
    done = import_("alice,bob,1.50,a\nalice,nobody,2,b\n", expected=Expected(3), dry_run=True)

    assert isinstance(done.error, errors.ControlTotals)
    assert "not 3; nothing would be posted" in str(done.error)
    assert [reject.code for reject in done.tally.rejects] == ["ACCOUNT_NOT_FOUND"]
    assert (count(conn, "transactions"), count(conn, "imports")) == (2, 0)


def test_the_expected_file_is_posted_whether_its_rows_name_the_currency_or_not(import_: Import, funded: Books) -> None:
    accounts.create(funded, [new("yen", "equity", None, "JPY", 0), new("yen-2", "liability", "0", "JPY", 0)])
    text = "alice,bob,1.50,EUR\nalice,bob,2,\nyen,yen-2,7,\nyen,yen-2,bad,\n"
    expected = Expected(4, {"EUR": Decimal("3.5"), "JPY": Decimal(7)})

    result = import_(text, "from,to,amount,currency", skip_rejects=True, expected=expected)

    assert outcome(result) == ("partial", 3, 0, 1)


# -- posted before, under other keys ---------------------------------------------------------------------------------


def test_a_corrected_copy_of_a_partly_posted_file_is_refused_until_it_is_asked_for_again(
    import_: Import, conn: Connection
) -> None:
    text = rows(6) + "alice,bob,x,typo\n" + rows(2, text="more")
    first = import_(text, skip_rejects=True)
    mended = text.replace(",x,", ",5,")

    with pytest.raises(errors.AlreadyPosted) as refusal:
        import_(mended)

    assert refusal.value.details["import_id"] == first.receipt["id"]
    assert balances(conn)["bob"] == 108
    assert outcome(import_(mended, again=True)) == ("complete", 9, 0, 0)


@pytest.mark.parametrize("later", [1, 40, 400])
def test_however_little_of_a_file_was_posted_its_corrected_copy_is_refused(import_: Import, later: int) -> None:
    text = rows(6, amount="0.01") + "alice,nobody,1,typo\n" + rows(later, amount="0.01", text="more")
    first = import_(text, commit_every=2)
    assert first.receipt["posted"] == 6

    with pytest.raises(errors.AlreadyPosted) as refusal:
        import_(text.replace("nobody", "bob"))

    assert refusal.value.details["import_id"] == first.receipt["id"]
    assert outcome(import_(text.replace("nobody", "bob"), again=True))[1] == 7 + later


def test_a_file_that_repeats_less_than_half_of_one_posted_in_part_is_new(import_: Import) -> None:
    import_(rows(10) + "alice,nobody,1,typo\n", skip_rejects=True)

    assert outcome(import_(rows(4) + rows(9, text="new"))) == ("complete", 13, 0, 0)


def test_a_rejects_file_is_not_taken_for_a_copy_of_the_file_that_it_comes_from(import_: Import, kept: Kept) -> None:
    """Two rows alike, of which one was posted, are two payments."""
    alike = "bob,carol,60,rent\n"
    import_(alike + alike, skip_rejects=True)
    [bad] = kept.rows
    import_("alice,bob,20,more\n")

    rest = f"{','.join(bad.cells)},{bad.rejected.key}\n"
    assert outcome(import_(rest, f"{HEADER},idempotency_key")) == ("complete", 1, 0, 0)


@pytest.mark.parametrize("options", [{}, {"commit_every": 2}])
def test_an_export_that_overlaps_the_last_one_is_refused(import_: Import, options: dict[str, Any]) -> None:
    import_(rows(10))

    for longer in (15, 20):
        assert isinstance(import_(rows(longer), dry_run=True).error, errors.AlreadyPosted)
        with pytest.raises(errors.AlreadyPosted):
            import_(rows(longer), **options)
    import_(rows(4, text="new") + rows(3), **options)


@pytest.mark.parametrize(("before", "now", "percent"), [(1, 9, None), (4, 9, None), (5, 9, 56), (9, 9, 100)])
def test_rows_that_are_alike_are_as_many_payments_as_there_are_rows(
    import_: Import, before: int, now: int, percent: int | None
) -> None:
    alike = "alice,bob,1,coffee\n"
    import_(alike * before + "alice,carol,1,tea\n")

    error = import_(alike * now, dry_run=True).error

    assert (None if error is None else error.details["percent"]) == percent


@pytest.mark.parametrize(("before", "refused"), [(10, False), (1_999, False), (2_100, True)])
def test_of_rows_that_are_alike_a_sample_has_its_share(import_: Import, before: int, refused: bool) -> None:
    alike = "alice,bob,0.01,coffee\n"
    import_(alike * before)

    error = import_(alike * 4_000, dry_run=True).error

    assert isinstance(error, errors.AlreadyPosted) == refused


def test_a_file_mended_after_nothing_of_it_was_posted_is_not_refused(import_: Import) -> None:
    assert outcome(import_(rows(6) + "alice,bob,x,typo\n")) == ("refused", 0, 0, 1)
    assert outcome(import_(rows(6) + "alice,bob,5,typo\n")) == ("complete", 7, 0, 0)


def test_rows_with_keys_of_their_own_are_payments_of_their_own(import_: Import) -> None:
    header = "from,to,amount,idempotency_key"
    import_("".join(f"alice,bob,1,mon-{n}\n" for n in range(5)), header)

    assert outcome(import_("".join(f"alice,bob,1,tue-{n}\n" for n in range(5)), header)) == ("complete", 5, 0, 0)


def test_rows_that_were_posted_without_keys_are_not_posted_again_with_them(import_: Import) -> None:
    import_("alice,bob,1\nbob,carol,2\n", "from,to,amount")

    with pytest.raises(errors.AlreadyPosted):
        import_("alice,bob,1,k1\nbob,carol,2,k2\n", "from,to,amount,idempotency_key")


def test_rows_that_were_reversed_may_be_posted_again(import_: Import, funded: Books) -> None:
    from ledgerctl.services import import_reversal

    first = import_(rows(5))
    import_reversal.reverse(funded, import_reversal.Asked(first.receipt["id"]), lambda *_: None)

    assert outcome(import_(rows(6))) == ("complete", 6, 0, 0)


def test_a_transfer_like_a_row_that_no_import_posted_does_not_count(import_: Import, funded: Books) -> None:
    payments.post(funded, [transfer("alice", "bob", "1", description=f"no. {n}") for n in range(5)])

    assert outcome(import_(rows(5))) == ("complete", 5, 0, 0)


# -- a dry run -------------------------------------------------------------------------------------------------------


def test_a_dry_run_tells_what_the_accounts_would_hold_the_largest_move_first(import_: Import, conn: Connection) -> None:
    result = import_(
        "alice,bob,5,a\nalice,carol,1,b\nalice,nobody,1,c\n" + rows(150, "nobody"), dry_run=True, skip_rejects=True
    )

    moves = [(move.account.code, move.before, move.after) for move in result.moves]
    assert moves == [("alice", 10_000, 9_400), ("bob", 10_000, 10_500), ("carol", 0, 100)]
    assert len(result.tally.rejects) == 151
    assert all(isinstance(one, Rejected) for one in result.tally.rejects)
    assert balances(conn)["carol"] == 0


@pytest.mark.parametrize("commit_every", [None, 1, 4, 7, 100])
@pytest.mark.parametrize(
    ("skip_rejects", "rejects_max"), [(False, None), (True, None), (True, 1), (True, 2), (False, 1)]
)
def test_a_dry_run_shows_what_the_import_does_then(
    import_: Import, conn: Connection, commit_every: int | None, skip_rejects: bool, rejects_max: int | None
) -> None:
    text = "".join(f"alice,{'nobody' if row in (6, 9, 13) else 'bob'},{row + 1},no. {row}\n" for row in range(15))
    options = {"commit_every": commit_every, "skip_rejects": skip_rejects, "rejects_max": rejects_max}
    before = balances(conn)

    would = import_(text, dry_run=True, **options)
    did = import_(text, **options)

    assert [would.receipt[name] for name in ("posted", "replayed")] == [
        did.receipt[name] for name in ("posted", "replayed")
    ]
    assert [one.row for one in would.tally.rejects] == [7, 10, 14]
    after = {code: balance for code, balance in balances(conn).items() if balance != before[code]}
    assert {move.account.code: Decimal(move.after) / 100 for move in would.moves} == after
    if did.receipt["status"] != "refused":
        assert (would.receipt["totals"], would.done) == (did.receipt["totals"], did.tally.rows)


# -- rows that were mended meanwhile ---------------------------------------------------------------------------------


@pytest.mark.parametrize("commit_every", [None, 2])
def test_a_row_that_cannot_be_read_says_that_it_was_posted_mended(
    import_: Import, kept: Kept, commit_every: int | None
) -> None:
    """Somebody who mends it once more, under another key, would post it twice."""
    text = rows(3) + "alice,bob,x,unreadable\n" + rows(3, text="later") + "alice,bob,y,never mended\n"
    import_(text, skip_rejects=True, commit_every=commit_every)
    key = kept.rows[0].rejected.key
    import_(f"alice,bob,5,unreadable,{key}\n", f"{HEADER},key")

    again = import_(text, skip_rejects=True, commit_every=commit_every)

    assert outcome(again) == ("partial", 0, 6, 2)
    mended, never = (one.rejected for one in kept.rows)
    assert (mended.row, mended.code, mended.key) == (4, "BAD_AMOUNT", key)
    assert mended.message.endswith("was posted under its key")
    assert "posted" not in never.message


def test_a_key_that_was_posted_is_found_also_if_only_a_row_that_cannot_be_read_has_it(
    import_: Import, kept: Kept
) -> None:
    """The keys of a file that is taken for new are not looked up before its rows are decided."""
    import_("alice,bob,5,a,k\n", f"{HEADER},key")

    import_("alice,bob,x,a,k\nalice,bob,5,a,other\n", f"{HEADER},key", skip_rejects=True, again=True)

    [bad] = kept.rows
    assert "was posted under its key" in bad.rejected.message
