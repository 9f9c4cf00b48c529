"""ledgerctl reconcile --account: an account against its bank, from the file to the last open item."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]

STATEMENT = """\
:20:STMT1
:25:XX00 INVENTED 1
:28C:1/1
:60F:C260101EUR0,00
:61:2601020102C100,00NTRFORDER-1001//B1
:86:Payment of order 1001 Ada <Ash>
:61:2601030103C50,50NTRFNONREF//B2
:86:Bea Birch order 1002
:61:2601050105D3,20NCHGNONREF//B3
:86:Account charges January
:62F:C260105EUR147,30
"""
EXTRACT = """\
Date;Who;Text;Amount;Balance
05.01.2026;Bank;Account charges January;-3,20;147,30
03.01.2026;Bea Birch;order 1002;50,50;150,50
02.01.2026;Ada Ash;order 1001;100,00;100,00
"""
MAP = """
[statement.maps.giro]
delimiter = ";"
decimal = ","
date = "%d.%m.%Y"

[statement.maps.giro.map]
date = "Date"
counterparty = "Who"
description = "Text"
amount = "Amount"
balance = "Balance"

[statement.maps.giro.set]
currency = "EUR"
"""


@pytest.fixture
def shop(run: Command, seed: Callable[..., None], directory: Path) -> Command:
    """An account at a bank with two of the three payments of its statement, `jan.sta`."""
    seed([{"code": "bank", "type": "asset", "min_balance": "none"}, {"code": "sales", "type": "income"}])
    for amount, reference, day in (("100", "order-1001", "02"), ("50.50", "order-1002", "03")):
        key = ("-i", reference, "--reference", reference, "--effective-at", f"2026-01-{day}")
        assert run("transfer", "bank", "sales", amount, *key).code == Exit.DONE
    (directory / "jan.sta").write_text(STATEMENT, encoding="utf-8")
    return run


def compare(run: Command, *args: str, file: str = "jan.sta", **options: Any) -> Run:
    return run("reconcile", "--account", "bank", "--statement", file, *args, **options)


def answer(done: Run) -> Any:
    return json.loads(done.out)


def charge(run: Command) -> None:
    run(
        "transfer", "sales", "bank", "3.20", "--description", "charges", "--effective-at", "2026-01-05", "-i", "charges"
    )


def test_what_the_bank_has_and_the_books_do_not_is_told(shop: Command) -> None:
    done = compare(shop, "-o", "json")

    told = answer(done)
    assert done.code == Exit.DIFFERENCES
    assert re.fullmatch(r"\d+", told.pop("run_id"))
    [item] = told.pop("open_items")
    assert told == {
        "status": "differences",
        "mode": "statement",
        "account": "bank",
        "checked": {"statements": 1, "lines": 3, "entries": 2},
        "findings": [
            {
                "check": "bank-line",
                "subject": f"line {item['id']} 2026-01-05 B3 Account charges January",
                "expected": "-3.20 EUR",
                "found": "no entry",
            }
        ],
        "currency": "EUR",
        "taken_in": {"statements": 1, "lines": 3, "known": 0, "before": 0},
        "found": 1,
        "matched": {"date": 1, "reference": 1},
        "totals": {
            "bank": "147.30",
            "books": "150.50",
            "open_lines": "-3.20",
            "open_entries": "0.00",
            "unexplained": "0.00",
        },
        "open": {"lines": 1, "entries": 0},
        "oldest_open_on": "2026-01-05",
        "tells_until": "2026-01-05",
    }


def test_clean_accounts_are_silent_in_cron(shop: Command) -> None:
    charge(shop)

    assert compare(shop) == Run(Exit.DONE, "", "")
    assert compare(shop, "-q") == Run(Exit.DONE, "", "")


def test_the_last_line_for_cron_says_it_all(shop: Command, ledger: str) -> None:
    done = compare(shop)

    assert done.err.splitlines()[-1] == (
        f"ledgerctl reconcile, ledger '{ledger}': account 'bank' and its bank do not agree (findings: 1) (exit 6)"
    )
    assert "matched: 1 by date, 1 by reference\n" in done.out
    assert "bank 147.30 EUR, books 150.50 EUR; open: 1 lines (-3.20), 0 entries (0.00), unexplained 0.00\n" in done.out


def test_the_same_statement_again_is_told_and_changes_nothing(shop: Command) -> None:
    first = answer(compare(shop, "-o", "json"))

    again = compare(shop, "-o", "json")

    assert again.code == Exit.DIFFERENCES
    assert again.err.startswith("this statement was read before; nothing of it was stored now\n")
    assert answer(again)["taken_in"] == {"statements": 0, "lines": 0, "known": 1, "before": 0}
    assert answer(again)["findings"] == first["findings"]


def test_entries_that_come_later_are_compared_without_a_file(shop: Command) -> None:
    compare(shop)
    charge(shop)

    done = shop("reconcile", "--account", "bank", "-o", "json")

    assert (done.code, answer(done)["matched"]) == (Exit.DONE, {"date": 1})


def test_a_csv_is_read_by_its_named_map(shop: Command, directory: Path) -> None:
    charge(shop)
    (directory / "ledgerctl.toml").write_text(MAP, encoding="utf-8")
    (directory / "jan.csv").write_text(EXTRACT, encoding="utf-8")

    done = compare(shop, "--map-name", "giro", "-o", "json", file="jan.csv")

    assert done.code == Exit.DONE
    assert answer(done)["totals"]["bank"] == "147.30"
    assert sum(answer(done)["matched"].values()) == 3


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--account", "bank", "--statement", "missing.sta"), Exit.USAGE, "cannot read 'missing.sta'"),
        (("--account", "nobody", "--statement", "jan.sta"), Exit.NOT_FOUND, "there is no account 'nobody'"),
        (("--account", "bank"), Exit.NOT_FOUND, "account 'bank' was never reconciled with a bank"),
        (("--statement", "jan.sta"), Exit.USAGE, "--statement needs --account CODE"),
        (("--window", "3"), Exit.USAGE, "--window needs --account CODE"),
        (("--account", "bank", "--full"), Exit.USAGE, "--full is for the books"),
        (("--account", "bank", "--statement", "jan.sta", "--map-name", "x"), Exit.USAGE, "there is no map 'x'"),
        (("--account", "bank", "--statement", "jan.sta", "--format", "ofx"), Exit.USAGE, "cannot read 'jan.sta'"),
        (("--account", "bank", "--statement", "jan.sta", "--format", "xls"), Exit.USAGE, "xls"),
        (("--account", "bank", "--statement", "jan.sta", "--bank-account", "other"), Exit.REFUSED, "XX00 INVENTED 1"),
        (("--full", "list"), Exit.USAGE, "--full does not go with list"),
        (("open", "--account", "nobody"), Exit.NOT_FOUND, "there is no account 'nobody'"),
        (("show", "4711000"), Exit.NOT_FOUND, "there is no run '4711000'"),
        (("show", "x"), Exit.NOT_FOUND, "there is no run 'x'"),
        (("match", "--account", "bank"), Exit.USAGE, "there is nothing to match"),
        (("match", "--account", "bank", "--line", "1"), Exit.NOT_FOUND, "line 1 of account 'bank' is not open"),
        (("unmatch", "4711000"), Exit.NOT_FOUND, "there is no match 4711000"),
        (("open", "--account", "bank"), Exit.NOT_FOUND, "account 'bank' was never reconciled with a bank"),
        (("list", "--account", "nobody"), Exit.NOT_FOUND, "there is no account 'nobody'"),
        (("--account", "bank", "--statement", ""), Exit.USAGE, "--statement is empty"),
        (("--account", ""), Exit.USAGE, "--account is empty"),
        (("--accept", "  "), Exit.USAGE, "--accept is empty"),
    ],
)
def test_what_cannot_be_done_is_said(shop: Command, args: tuple[str, ...], code: Exit, words: str) -> None:
    done = shop("reconcile", *args)

    assert (done.code, done.out) == (code, "")
    assert words in done.err


def test_a_damaged_statement_is_refused_with_its_place_and_nothing_is_stored(
    shop: Command, directory: Path, shared_conninfo: str, ledger: str
) -> None:
    (directory / "bad.sta").write_text(STATEMENT.replace("C50,50", "C5O,50"), encoding="utf-8")
    (directory / "off.sta").write_text(STATEMENT.replace("EUR147,30", "EUR147,31"), encoding="utf-8")

    for file, words in (("bad.sta", "line 7"), ("off.sta", "come to 147.30 EUR, its closing balance is 147.31 EUR")):
        done = compare(shop, file=file)
        assert (done.code, done.out) == (Exit.REFUSED, "")
        assert words in done.err
        assert "nothing was stored" in done.err
    with psycopg.connect(shared_conninfo) as conn:
        [[kept]] = conn.execute(
            "SELECT count(*) FROM bank_statements s JOIN ledgers l ON l.id = s.ledger_id WHERE l.name = %s", [ledger]
        ).fetchall()
    assert kept == 0


def test_a_statement_that_is_off_can_be_taken_with_a_reason(shop: Command, directory: Path) -> None:
    charge(shop)
    (directory / "off.sta").write_text(STATEMENT.replace("EUR147,30", "EUR147,31"), encoding="utf-8")

    done = compare(shop, "--accept", "the bank rounds", "-o", "json", file="off.sta")

    assert done.code == Exit.DIFFERENCES
    assert [one["check"] for one in answer(done)["findings"]] == ["balance"]


def test_what_is_open_is_listed_matched_by_hand_and_taken_apart(shop: Command) -> None:
    compare(shop)
    charge(shop)
    items = answer(shop("reconcile", "open", "--account", "bank", "-o", "json"))
    assert [(one["kind"], one["on"], one["amount"]) for one in items] == [
        ("entry", "2026-01-05", "-3.20"),
        ("line", "2026-01-05", "-3.20"),
    ]
    assert all(one["age_days"] > 300 for one in items)

    both = ("--line", str(items[1]["id"]), "--entry", str(items[0]["id"]))
    made = answer(shop("reconcile", "match", "--account", "bank", *both, "-o", "json"))
    assert (made["rule"], made["lines"], made["entries"]) == ("by-hand", [items[1]["id"]], [items[0]["id"]])
    assert answer(shop("reconcile", "open", "--account", "bank", "-o", "json")) == []

    undone = shop("reconcile", "unmatch", made["match_id"], "-o", "json")
    assert answer(undone)["rule"] == "undone"
    assert answer(shop("reconcile", "open", "--account", "bank", "-o", "json")) == items
    assert shop("reconcile", "--account", "bank").code == Exit.DIFFERENCES


def test_an_uneven_match_needs_a_reason(shop: Command) -> None:
    items = answer(compare(shop, "-o", "json"))["open_items"]
    line = ("reconcile", "match", "--account", "bank", "--line", str(items[0]["id"]))

    refused = shop(*line)
    assert (refused.code, "the lines come to -3.20 EUR" in refused.err) == (Exit.REFUSED, True)
    assert shop(*line, "--reason", "written off").code == Exit.DONE


def test_runs_are_listed_and_shown_as_they_were(shop: Command) -> None:
    told = answer(compare(shop, "-o", "json"))
    shop("reconcile")

    listed = answer(shop("reconcile", "list", "--account", "bank", "-o", "json"))
    shown = answer(shop("reconcile", "show", told["run_id"], "-o", "json"))

    assert [(one["run_id"], one["account"], one["findings"]) for one in listed] == [(told["run_id"], "bank", 1)]
    assert {name: shown[name] for name in told} == told
    assert [one["rule"] for one in shown["matches"]] == ["reference", "date"]
    assert [len(one["lines"]) for one in shown["matches"]] == [1, 1]
    assert len(answer(shop("reconcile", "list", "-o", "json"))) == 2


def test_the_matches_of_a_run_are_a_table(shop: Command) -> None:
    told = answer(compare(shop, "-o", "json"))

    done = shop("reconcile", "show", told["run_id"], "--matches")

    assert re.search(r"reference +line \d+ 2026-01-02 100.00 +seq 1 2026-01-02 100.00\n", done.out)


class Page(HTMLParser):
    """Whether what is opened is closed, what is loaded from elsewhere, and what can be read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_a_report_for_people_is_one_page_that_loads_nothing(shop: Command, directory: Path) -> None:
    told = answer(compare(shop, "-o", "json"))

    done = shop("reconcile", "show", told["run_id"], "--html", "report.html")

    assert (done.code, done.out) == (Exit.DONE, "")
    text = (directory / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert (page.open, page.loaded) == ([], [])
    assert "<Ash>" not in text
    for words in ("Account bank: 1 difference", "147.30 EUR", "Ada <Ash>", "-3.20 EUR", "the same amount within"):
        assert words in page.words


@pytest.mark.parametrize("place", ["/dev/full", ".", "/nope/report.html", "-"])
def test_a_report_that_cannot_be_written_is_said(shop: Command, place: str) -> None:
    told = answer(compare(shop, "-o", "json"))

    done = shop("reconcile", "show", told["run_id"], "--html", place)

    assert (done.code, done.out) == (Exit.USAGE, "")
    assert "code: USAGE" in done.err


def test_the_fields_of_a_finding_and_its_run_can_be_asked_for_together(shop: Command) -> None:
    told = compare(shop, "-o", "csv", "--fields", "run_id,check")

    assert re.fullmatch(r"run_id,check\n\d+,bank-line\n", told.out)


def test_lines_that_are_left_out_are_told(shop: Command, directory: Path) -> None:
    (directory / "ledgerctl.toml").write_text(MAP, encoding="utf-8")
    header, latest, *earlier = EXTRACT.splitlines(keepends=True)
    for name, rows in (("new.csv", [latest]), ("all.csv", [latest, *earlier])):
        (directory / name).write_text("".join([header, *rows]), encoding="utf-8")
    compare(shop, "--map-name", "giro", file="new.csv")

    done = compare(shop, "--map-name", "giro", "-o", "json", file="all.csv")

    assert answer(done)["taken_in"] == {"statements": 1, "lines": 0, "known": 0, "before": 2}
    assert done.err.startswith("2 lines are from before the first day that was told of, and were left out\n")


def test_the_report_of_the_books_is_a_page_too(shop: Command, directory: Path) -> None:
    told = answer(shop("reconcile", "-o", "json"))

    shop("reconcile", "show", told["run_id"], "--html", "books.html")

    assert "The books: clean" in Page((directory / "books.html").read_text(encoding="utf-8")).words


def test_differences_end_with_their_code_even_if_nobody_can_read_them(
    shop: Command, directory: Path, surroundings: dict[str, str]
) -> None:
    asked = ("reconcile", "--account", "bank", "--statement", "jan.sta", "-o", "json")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ledgerctl", *asked],
            cwd=directory,
            env={**surroundings, "XDG_STATE_HOME": str(directory)},
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )

    assert done.returncode == Exit.DIFFERENCES


def test_a_run_that_takes_too_long_is_given_up(shop: Command, surroundings: dict[str, str]) -> None:
    """Somebody holds the table for as long as the run may take."""
    with psycopg.connect(surroundings["LEDGERCTL_DATABASE_URL"]) as conn:
        conn.execute("LOCK TABLE reconciliations IN ACCESS EXCLUSIVE MODE")
        done = shop("reconcile", "--deadline", "0.3")

    assert (done.code, done.out) == (Exit.UNAVAILABLE, "")
    assert done.err.startswith(
        "error: not done within 0.3 s: nothing was checked to its end, and nothing has changed\n"
    )


def test_the_metrics_of_a_run_are_of_all_accounts_that_have_a_bank(shop: Command, seed: Any, directory: Path) -> None:
    """One job and one ledger have one group: a clean account hides nothing of another."""
    seed([{"code": "till", "type": "asset", "min_balance": "none"}])
    compare(shop)
    other = STATEMENT.replace("INVENTED 1", "INVENTED 2").replace("C100,00", "C90,00").replace("147,30", "137,30")
    (directory / "till.sta").write_text(other, encoding="utf-8")

    done = shop("reconcile", "--account", "till", "--statement", "till.sta", "--metrics-textfile", "job.prom")

    assert done.code == Exit.DIFFERENCES
    text = (directory / "job.prom").read_text(encoding="utf-8")
    values = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    assert values["ledgerctl_reconcile_findings"] == 1 + 3
    assert values["ledgerctl_reconcile_open_items"] == 1 + 3
    told = values["ledgerctl_reconcile_oldest_statement_timestamp_seconds"]
    assert datetime.fromtimestamp(told, UTC).date() == date(2026, 1, 5)
    oldest = datetime.now(UTC) - timedelta(seconds=values["ledgerctl_reconcile_oldest_open_item_age_seconds"])
    assert oldest.date() == date(2026, 1, 2)
    assert "ledgerctl_job_last_success_timestamp_seconds" not in values
