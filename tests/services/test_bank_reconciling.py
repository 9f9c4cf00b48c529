"""An account against its bank: what is taken in, what is matched, what is told, and what stays as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledgerctl import errors
from ledgerctl.core.statements import Balance, Statement, StatementLine
from ledgerctl.db import reports
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, bank_matching, bank_reconciling, payments, reconciling
from ledgerctl.services.bank_reconciling import Compared, Totals
from ledgerctl.services.bank_statements import Delivery, TakenIn
from ledgerctl.services.books import Books
from tests.services.conftest import count, new, transfer

JANUARY = date(2026, 1, 1)
Line = tuple[int, str, str, str]
"""Day of January, amount, reference, description."""


def line(place: int, given: Line) -> StatementLine:
    day, amount, reference, description = given
    on = JANUARY + timedelta(day - 1)
    references = (reference,) if reference else ()
    return StatementLine(f"line {place}", on, on, Decimal(amount), Decimal(0), references, "", description)


def sheet(number: int, opening: str, lines: Sequence[Line], closing: str | None = None, **more: Any) -> Statement:
    """A statement of a series; its closing balance is what its lines come to unless it is said."""
    read = tuple(line(place, given) for place, given in enumerate(lines, 1))
    first, last = (min(one[0] for one in lines), max(one[0] for one in lines)) if lines else (1, 1)
    end = Decimal(opening) + sum(one.amount for one in read) if closing is None else Decimal(closing)
    given = {
        "account": "XX00 INVENTED 1",
        "currency": "EUR",
        "opening": Balance(Decimal(opening), JANUARY + timedelta(first - 1)),
        "closing": Balance(end, JANUARY + timedelta(last - 1)),
        **more,
    }
    return Statement(place=f"statement {number}", identifier=str(number), lines=read, **given)


def extract(lines: Sequence[Line], closing: str | None = None) -> Statement:
    """What happened lately, as a bank's download has it."""
    last = max(one[0] for one in lines)
    end = None if closing is None else Balance(Decimal(closing), JANUARY + timedelta(last - 1))
    return replace(sheet(0, "0", lines), opening=None, closing=end)


def pay(books: Books, day: int, amount: str, key: str, **more: Any) -> None:
    """What the bank credits debits the account, from the day given on."""
    on = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(day - 1)
    source, target = ("bank", "sales") if not amount.startswith("-") else ("sales", "bank")
    payments.post_one(books, transfer(source, target, amount.lstrip("-"), key, effective_at=on.isoformat(), **more))


@pytest.fixture
def shop(books: Books) -> Books:
    """An account at a bank, and sales."""
    accounts.create(
        books, [new("bank", "asset", None), new("sales", "income", None), new("yen", "asset", None, "JPY", 0)]
    )
    return books


def compare(books: Books, *statements: Statement, code: str = "bank", window: int = 5, **more: Any) -> Compared:
    delivery = Delivery("january.sta", statements, **more) if statements else None
    return bank_reconciling.run(books, code, delivery, window)


def found(compared: Compared) -> list[tuple[str, str, str]]:
    return [(one.check, one.expected, one.found) for one in compared.findings]


def test_an_account_that_says_what_its_bank_says_is_clean(shop: Books) -> None:
    pay(shop, 1, "100", "a", reference="INV-1")
    pay(shop, 2, "-30.50", "b", description="refund of an order")

    result = compare(shop, sheet(1, "0", [(1, "100.00", "INV-1", ""), (3, "-30.50", "", "refund")]))

    assert (result.status, result.findings) == ("clean", [])
    assert result.matched == {"date": 1, "reference": 1}
    assert result.totals == Totals(Decimal("69.50"), Decimal("69.50"), Decimal(0), Decimal(0))
    assert result.totals.unexplained == 0
    assert result.checked == {"statements": 1, "lines": 2, "entries": 2}


def test_what_one_side_does_not_have_is_a_finding(shop: Books) -> None:
    pay(shop, 1, "100", "a")
    pay(shop, 2, "20", "b")

    result = compare(shop, sheet(1, "0", [(1, "100", "", ""), (9, "-7", "FEE-1", "charges")]))

    assert found(result) == [
        ("bank-line", "-7.00 EUR", "no entry"),
        ("book-entry", "20.00 EUR", "no line by 2026-01-09"),
    ]
    assert "2026-01-09 FEE-1 charges" in result.findings[0].subject
    assert result.findings[1].subject.startswith("account bank seq 2 transaction ")
    assert result.totals.unexplained == 0


def test_an_entry_that_the_bank_may_still_show_is_open_and_no_finding(shop: Books) -> None:
    pay(shop, 1, "100", "a")
    pay(shop, 4, "20", "b")

    result = compare(shop, sheet(1, "0", [(1, "100", "", ""), (9, "0", "", "")]))

    assert result.findings == []
    assert [entry.amount for entry in result.open_entries] == [20]
    assert result.oldest == date(2026, 1, 4)


def test_the_same_file_again_changes_nothing(shop: Books, conn: Connection) -> None:
    pay(shop, 1, "100", "a")
    statement = sheet(1, "0", [(1, "100", "", ""), (2, "5", "", "")])
    compare(shop, statement)
    before = [count(conn, table) for table in ("bank_statements", "bank_lines", "bank_matches")]

    again = compare(shop, statement)

    assert again.taken == TakenIn(0, 0, 1)
    assert found(again) == [("bank-line", "5.00 EUR", "no entry")]
    assert [count(conn, table) for table in ("bank_statements", "bank_lines", "bank_matches")] == before


def test_what_was_open_is_matched_once_the_other_side_comes(shop: Books) -> None:
    pay(shop, 3, "20", "early")
    compare(shop, sheet(1, "0", [(1, "100", "", "")]))

    pay(shop, 1, "100", "late")
    assert compare(shop).matched == {"date": 1}
    assert compare(shop, sheet(2, "100", [(4, "20", "", "")])).matched == {"date": 1}
    assert compare(shop).findings == []


def test_statements_of_one_file_are_taken_in_the_order_of_their_days(shop: Books) -> None:
    result = compare(shop, sheet(2, "100", [(2, "1", "", "")]), sheet(1, "0", [(1, "100", "", "")]))

    assert result.taken.statements == 2
    assert result.totals.bank == 101


def test_a_statement_that_does_not_tie_is_refused_and_nothing_is_stored(shop: Books, conn: Connection) -> None:
    good, bad = sheet(1, "0", [(1, "100", "", "")]), sheet(2, "100", [(2, "1", "", "")], "101.01")

    with pytest.raises(errors.BadStatement) as caught:
        compare(shop, good, bad)

    assert str(caught.value) == (
        "'january.sta', statement 2: its opening balance and its lines come to 101.00 EUR, its closing balance is "
        "101.01 EUR; nothing was stored"
    )
    assert count(conn, "bank_statements") == count(conn, "bank_accounts") == count(conn, "reconciliations") == 0


def test_a_statement_that_does_not_follow_the_one_before_it_is_refused(shop: Books) -> None:
    compare(shop, sheet(1, "0", [(1, "100", "", "")]))

    with pytest.raises(
        errors.BadStatement, match=r"begins with 90.00 EUR, but the statement before it \(1\) ended with"
    ):
        compare(shop, sheet(3, "90", [(3, "1", "", "")]))

    taken = compare(shop, sheet(3, "90", [(3, "1", "", "")]), accept="sheet 2 was lost by the bank")
    assert taken.taken.statements == 1
    assert ("balance", "91.00 EUR", "101.00 EUR") in found(taken)


def test_extracts_may_overlap_and_each_line_is_taken_once(shop: Books) -> None:
    coffee = (2, "-3.20", "", "coffee")
    compare(shop, extract([(1, "100", "", ""), coffee, coffee], "93.60"))

    more = compare(shop, extract([coffee, coffee, coffee, (3, "1", "", "")], "91.40"))

    assert (more.taken.lines, more.totals.bank) == (2, Decimal("91.40"))
    assert len(more.open_lines) == 5


def test_an_extract_that_tells_nothing_new_need_not_lead_on(shop: Books) -> None:
    compare(shop, extract([(1, "10", "", ""), (15, "20", "", "")], "30"))
    compare(shop, extract([(15, "20", "", ""), (20, "30", "", "")], "60"))

    older = compare(shop, extract([(15, "20", "", "")], "30"))

    assert (older.taken, older.totals.bank) == (TakenIn(1, 0, 0), Decimal(60))


def test_a_sheet_that_is_found_later_leaves_the_balance_at_that_of_the_latest_day(shop: Books) -> None:
    compare(shop, sheet(1, "0", [(1, "10", "", "")]))
    compare(shop, sheet(3, "30", [(20, "30", "", "")]), accept="sheet 2 was lost")

    assert compare(shop, sheet(2, "10", [(10, "20", "", "")]), accept="it was found").totals.bank == 60


def test_a_month_that_is_missing_in_the_books_stays_open_and_not_the_latest(shop: Books) -> None:
    rent = [(1, "500", "RENT-4711", ""), (32, "500", "RENT-4711", ""), (60, "500", "RENT-4711", "")]
    compare(shop, sheet(1, "0", rent[:1]))
    for number, (day, amount, _, _) in enumerate(rent[1:], 2):
        pay(shop, day, amount, f"rent-{number}", reference="RENT-4711")
        result = compare(shop, sheet(number, str(500 * (number - 1)), rent[number - 1 : number]))

    assert [one.booked_on for one in result.open_lines] == [JANUARY]


def test_a_reversal_that_is_taken_apart_stays_apart(shop: Books, conn: Connection) -> None:
    pay(shop, 1, "10", "a")
    wrong = shop.database.read(reports.transaction, shop.ledger, "a")
    payments.reverse(shop, uuid7(), "undo", wrong.id, None, None)
    compare(shop, sheet(1, "0", [(1, "0", "", ""), (400, "0", "", "")]))
    [[match_id]] = conn.execute("SELECT id FROM bank_matches").fetchall()

    bank_matching.unmatch(shop, match_id)

    assert compare(shop).matched == {}


def test_days_at_the_ends_of_the_calendar_are_days(shop: Books) -> None:
    payments.post_one(shop, transfer("bank", "sales", "7", "late", effective_at="9999-12-31"))
    first = replace(extract([(1, "1", "", "")]), lines=(replace(line(1, (1, "1", "", "")), booked_on=date.min),))

    result = compare(shop, first)

    assert [one.amount for one in result.open_lines] == [1]
    assert [one.amount for one in result.open_entries] == [7]


def test_a_line_of_nothing_but_its_fee_is_compared(shop: Books) -> None:
    pay(shop, 1, "0.35", "gross")
    pay(shop, 1, "-0.35", "fee")
    nothing_left = replace(line(1, (1, "0", "", "")), fee=Decimal("-0.35"))

    result = compare(shop, replace(sheet(1, "0", [(1, "0", "", "")]), lines=(nothing_left,)))

    assert (result.matched, result.findings) == ({"fee": 1}, [])


def test_more_findings_than_are_listed_are_counted(shop: Books) -> None:
    result = compare(shop, extract([(1 + n % 28, f"{n + 1}", "", "") for n in range(1_001)]))

    assert (len(result.findings), result.found) == (1_000, 1_001)


def test_an_account_keeps_its_name_at_the_bank(shop: Books) -> None:
    compare(shop, sheet(1, "0", [(1, "1", "", "")]))

    with pytest.raises(errors.WrongBankAccount, match="at the bank it is XX00 INVENTED 1, and not B9"):
        compare(shop, sheet(2, "1", [(2, "1", "", "")], account="B9"), bank_account="B9")


def test_lines_before_the_first_day_that_was_told_of_are_in_its_balance(shop: Books) -> None:
    compare(shop, extract([(10, "100", "", "")], "150"))

    more = compare(shop, extract([(8, "50", "", ""), (10, "100", "", ""), (11, "1", "", "")], "151"))

    assert more.taken == TakenIn(1, 1, 0, before=1)


def test_an_extract_that_leaves_out_days_is_refused(shop: Books) -> None:
    compare(shop, extract([(1, "100", "", "")], "100"))

    with pytest.raises(errors.BadStatement, match=r"begins with 120\.00 EUR"):
        compare(shop, extract([(9, "1", "", "")], "121"))


def test_an_extract_without_balances_is_compared_line_by_line(shop: Books) -> None:
    pay(shop, 1, "100", "a")

    result = compare(shop, extract([(1, "100", "", "")]))

    assert (result.totals.bank, result.totals.unexplained, result.findings) == (None, None, [])


@pytest.mark.parametrize(("opening_day", "first_line"), [(1, 2), (2, 2), (1, 1)])
def test_what_is_in_the_opening_balance_is_not_open(shop: Books, opening_day: int, first_line: int) -> None:
    """Banks date an opening balance by the evening before, or by the first day itself."""
    pay(shop, 1, "400", "first")
    pay(shop, first_line, "7", "second")
    opening = Balance(Decimal(400), JANUARY + timedelta(opening_day - 1))

    result = compare(shop, replace(sheet(1, "400", [(first_line, "7", "", "")]), opening=opening))

    assert (result.findings, list(result.open_entries)) == ([], [])


def test_what_is_posted_later_for_an_earlier_day_is_open(shop: Books) -> None:
    pay(shop, 1, "400", "first")
    compare(shop, sheet(1, "400", [(8, "7", "", "")]))

    pay(shop, 2, "50", "late")

    assert [one.check for one in compare(shop).findings] == ["bank-line", "book-entry"]


def test_books_that_hold_something_else_than_the_opening_balance_are_told(shop: Books) -> None:
    pay(shop, 8, "7", "a")

    result = compare(shop, sheet(1, "400", [(8, "7", "", "")]))

    assert found(result) == [("balance", "407.00 EUR", "7.00 EUR")]


def test_a_match_by_hand_needs_even_sums_or_a_reason(shop: Books, conn: Connection) -> None:
    pay(shop, 8, "10", "a")
    [wrong] = compare(shop, sheet(1, "0", [(8, "9.50", "", "")])).open_lines

    with pytest.raises(errors.UnevenMatch, match=r"lines come to 9.50 EUR and the entries to 10.00 EUR"):
        bank_matching.match(shop, "bank", [wrong.id], [1], None)
    bank_matching.match(shop, "bank", [wrong.id], [1], "the bank kept a fee")

    assert found(compare(shop)) == [("balance", "9.50 EUR", "10.00 EUR")]
    assert count(conn, "audit_logs", "action = 'match' AND detail->>'reason' = 'the bank kept a fee'") == 1


def test_only_what_is_open_can_be_matched(shop: Books) -> None:
    pay(shop, 8, "10", "a")
    compare(shop, sheet(1, "0", [(8, "10", "", "")]))

    for lines, entries in (([], [1]), ([], [2]), ([4711], [])):
        with pytest.raises(errors.NotOpen):
            bank_matching.match(shop, "bank", lines, entries, "why not")


def test_what_is_taken_apart_stays_apart_until_it_is_matched_by_hand(shop: Books, conn: Connection) -> None:
    pay(shop, 8, "10", "a")
    compare(shop, sheet(1, "0", [(8, "10", "", "")]))
    [[match_id, line_id]] = conn.execute("SELECT match_id, line_id FROM bank_match_lines").fetchall()

    account, parts = bank_matching.unmatch(shop, match_id)
    assert (account, parts.lines, parts.entries) == ("bank", (line_id,), (1,))
    assert len(compare(shop).findings) == 1  # the entry is open, but not late
    with pytest.raises(errors.MatchNotFound):
        bank_matching.unmatch(shop, match_id)

    bank_matching.match(shop, "bank", [line_id], [1], None)
    assert compare(shop).findings == []


def test_a_reversed_posting_is_settled_once_the_bank_is_past_it(shop: Books) -> None:
    pay(shop, 1, "10", "a")
    wrong = shop.database.read(reports.transaction, shop.ledger, "a")
    payments.reverse(shop, uuid7(), "undo", wrong.id, None, None)

    result = compare(shop, sheet(1, "0", [(1, "0", "", ""), (400, "0", "", "")]))

    assert (result.matched, result.findings) == ({"reversed": 1}, [])


def test_an_account_that_was_never_compared_has_nothing_to_compare_again(shop: Books) -> None:
    with pytest.raises(errors.NeverReconciled):
        compare(shop)
    with pytest.raises(errors.AccountNotFound):
        compare(shop, code="nobody")


def test_a_file_of_several_accounts_needs_to_be_told_which(shop: Books) -> None:
    ours, other = sheet(1, "0", [(1, "1", "", "")]), sheet(1, "0", [(1, "2", "", "")], account="XX00 INVENTED 2")

    with pytest.raises(errors.WrongBankAccount, match="it tells of XX00 INVENTED 1, XX00 INVENTED 2"):
        compare(shop, ours, other)
    assert compare(shop, ours, other, bank_account="xx00invented2").totals.bank == 2
    with pytest.raises(
        errors.WrongBankAccount, match="it is of XX00 INVENTED 1, and this is xx00invented2 at the bank"
    ):
        compare(shop, ours)


def test_a_file_in_another_currency_is_refused(shop: Books) -> None:
    with pytest.raises(errors.WrongBankAccount, match="it is in EUR, and the account in JPY"):
        compare(shop, sheet(1, "0", [(1, "1", "", "")]), code="yen")


def test_an_amount_with_more_decimals_than_the_currency_is_refused(shop: Books) -> None:
    assert compare(shop, sheet(1, "0", [(1, "1.500", "", "")])).totals.bank == Decimal("1.5")
    with pytest.raises(errors.BadStatement, match=r"line 1: 0\.005 is no amount in EUR"):
        compare(shop, sheet(2, "1.5", [(1, "0.005", "", "")], "1.5"))
    with pytest.raises(errors.BadStatement, match=r"statement 2: 1\.505 is no amount in EUR"):
        compare(shop, sheet(2, "1.505", []))


def test_a_second_run_for_the_account_is_told_who_runs(shop: Books, open_main: Callable[..., Books]) -> None:
    compare(shop, sheet(1, "0", [(1, "1", "", "")]))
    other = open_main()

    def meanwhile(*_: object) -> None:
        with pytest.raises(errors.AlreadyRunning, match="account 'bank' is being reconciled already, by process"):
            compare(other)

    with shop.database.connect().transaction():
        shop.database.connect().execute(
            "SELECT pg_advisory_xact_lock(1650552427, id::int) FROM accounts WHERE code = 'bank'"
        )
        meanwhile()
    assert compare(other).taken.known == 0


def test_runs_that_meet_take_a_statement_in_once(
    shop: Books, open_main: Callable[..., Books], conn: Connection
) -> None:
    """The snapshot of one may be older than the commit of the other, whose lock it then finds free."""
    pay(shop, 1, "100", "a")
    delivery = Delivery("january.sta", [sheet(1, "0", [(1, "100", "", ""), (2, "1", "", "")])])
    several = [open_main() for _ in range(4)]

    def one(books: Books) -> str:
        try:
            return str(bank_reconciling.run(books, "bank", delivery).taken)
        except errors.AlreadyRunning:
            return "another runs"

    with ThreadPoolExecutor(len(several)) as pool:
        outcomes = Counter(result for _ in range(5) for result in pool.map(one, several))

    assert outcomes.pop(str(TakenIn(1, 2, 0))) == 1
    assert outcomes.keys() <= {"another runs", str(TakenIn(0, 0, 1))}
    assert [count(conn, table) for table in ("bank_statements", "bank_lines", "bank_matches")] == [1, 2, 1]


def test_runs_are_kept_and_the_books_stay_clean(shop: Books, conn: Connection) -> None:
    pay(shop, 1, "100", "a")
    result = compare(shop, sheet(1, "0", [(1, "100", "", ""), (2, "1", "", "")]))

    [[mode, status, findings, detail]] = conn.execute(
        "SELECT mode, status, findings, detail FROM reconciliations WHERE id = %s", [result.id]
    ).fetchall()
    assert (mode, status, len(findings)) == ("statement", "differences", 1)
    assert detail["totals"] == {
        "bank": "101.00",
        "books": "100.00",
        "open_lines": "1.00",
        "open_entries": "0.00",
        "unexplained": "0.00",
    }
    assert [item["kind"] for item in detail["open_items"]] == ["line"]
    assert count(conn, "audit_logs", "action = 'reconcile account' AND subject = 'bank'") == 1
    assert reconciling.run(shop, lambda *_: None).findings == []
