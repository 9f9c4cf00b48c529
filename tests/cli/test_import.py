"""ledgerctl import, imports: every row or none, and a clear word about each that cannot be posted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledgerctl.db.connection import Connection
from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]
Look = Callable[[], dict[str, Any]]
HEADER = "from,to,amount,currency,idempotency_key\n"
GOOD = "bank,alice,1.00,EUR,g-{}\n"


@pytest.fixture
def write(directory: Path) -> Callable[[str | bytes], str]:
    """Writes in.csv; its name."""

    def write_(content: str | bytes) -> str:
        (directory / "in.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        return "in.csv"

    return write_


Write = Callable[[str | bytes], str]


def test_a_file_is_posted_with_its_receipt(funded: Command, write: Write) -> None:
    content = "from,to,amount,currency\nbank,bob,1.50,EUR\nbank,alice,2,EUR\n"

    done = funded("-o", "json", "import", write(content))

    receipt = json.loads(done.out)
    assert (done.code, done.err) == (Exit.DONE, "")
    assert receipt.pop("import_id").isdecimal()
    assert receipt.pop("started_at") <= receipt.pop("finished_at")
    assert 0 <= receipt.pop("duration_s") < 60
    assert receipt.pop("actor")
    assert receipt == {
        "file": "in.csv", "sha256": sha256(content.encode()).hexdigest(), "rows": 2, "posted": 2, "replayed": 0,
        "rejected": 0, "totals": {"EUR": "3.50"}, "status": "complete", "rejects_file": None,
        "reversed_at": None,
    }  # fmt: skip
    assert [row["balance"] for row in json.loads(funded("-o", "json", "balance", "alice", "bob").out)] == [
        "102.00",
        "1.50",
    ]


def test_the_same_file_again_posts_nothing(funded: Command, write: Write, books_as_they_are: Look) -> None:
    file = write("from,to,amount\nbank,bob,1.50\nbank,bob,1.50\n")
    funded("import", file)
    before = books_as_they_are()

    for options, verb in (((), "was"), (("--dry-run",), "would be")):
        again = funded("-o", "json", "import", file, *options)
        receipt = json.loads(again.out)
        assert (again.code, receipt["posted"], receipt["replayed"]) == (Exit.DONE, 0, 2)
        assert re.fullmatch(
            f"this file was imported before .import [0-9]+, .*Z.; nothing {verb} posted now\n", again.err
        )
    assert books_as_they_are() == before


def test_the_same_file_read_with_other_options_is_a_conflict_and_not_a_second_posting(
    funded: Command, write: Write, books_as_they_are: Look
) -> None:
    file = write("from,to,amount,other\nbank,bob,1.50,alice\n")
    funded("import", file)
    before = books_as_they_are()

    done = funded("import", file, "--map", "to=other")

    assert done.code == Exit.REFUSED
    assert "code: ROWS_REJECTED" in done.err
    assert "[IDEMPOTENCY_CONFLICT]" in done.err
    assert books_as_they_are() == before


def test_a_dry_run_leaves_nothing(funded: Command, write: Write, books_as_they_are: Look) -> None:
    before = books_as_they_are()

    receipt = json.loads(funded("-o", "json", "import", write(HEADER + GOOD.format(1)), "-n").out)

    assert (receipt["status"], receipt["dry_run"], receipt["posted"]) == ("dry-run", True, 1)
    assert books_as_they_are() == before
    assert json.loads(funded("-o", "json", "imports", "list").out) == []


@pytest.mark.parametrize(
    ("line", "field", "code", "words"),
    [
        ("nosuch,alice,1,EUR,k", "from", "ACCOUNT_NOT_FOUND", "there is no account 'nosuch'"),
        ("bank,nosuch,1,EUR,k", "to", "ACCOUNT_NOT_FOUND", "there is no account 'nosuch'"),
        ("bank,alice,1,USD,k", "currency", "CURRENCY_MISMATCH", "account 'bank' is kept in EUR, not in USD"),
        ("bank,yen,1,EUR,k", "currency", "CURRENCY_MISMATCH", "account 'yen' is kept in JPY, not in EUR"),
        ("bank,yen,1,,k", "currency", "CURRENCY_MISMATCH", "account 'yen' is kept in JPY, not in EUR"),
        ("bank,alice,1e3,EUR,k", "amount", "BAD_AMOUNT", "'1e3' is not an amount: exponents are not read"),
        ("bank,alice,NaN,EUR,k", "amount", "BAD_AMOUNT", "'NaN' is not an amount: it is not a plain number"),
        ("bank,alice,-5,EUR,k", "amount", "BAD_AMOUNT", "'-5' is not an amount: it is negative"),
        ("bank,alice,0,EUR,k", "amount", "BAD_AMOUNT", "'0' is not an amount: it is zero"),
        ('bank,alice,"1,234.50",EUR,k', "amount", "BAD_AMOUNT", "a ',' is neither read as a decimal point"),
        ("bank,alice,12.345,EUR,k", "amount", "TOO_MANY_DECIMALS", "12.345 has more decimals than EUR allows (2)"),
        ("bank,alice,12.50 EUR,EUR,k", "amount", "BAD_AMOUNT", "'12.50 EUR' is not an amount"),
        ("bank,alice,１２,EUR,k", "amount", "BAD_AMOUNT", "only the digits 0-9 are read"),  # noqa: RUF001
        ("bank,alice,1,EUR,g-1", "idempotency_key", "DUPLICATE_KEY", "the key 'g-1' stands more than once"),
        ("bank,alice,1.00,EUR,g-1", "idempotency_key", "DUPLICATE_KEY", "the key 'g-1' stands more than once"),
        ("bank,bob,7,EUR,g-1", "idempotency_key", "DUPLICATE_KEY", "the key 'g-1' stands more than once"),
        ("bank,alice,1,EUR,", "idempotency_key", "BAD_TEXT", "it is empty"),
        ("bank,alice,1,EUR,deposit", "idempotency_key", "IDEMPOTENCY_CONFLICT", "the key 'deposit' was used for anoth"),
        ("bank,frozen,1,EUR,k", "to", "ACCOUNT_FROZEN", "account 'frozen' is frozen"),
        ("frozen,bank,1,EUR,k", "from", "ACCOUNT_FROZEN", "account 'frozen' is frozen"),
        ("bank,closed,1,EUR,k", "to", "ACCOUNT_CLOSED", "account 'closed' is closed"),
        ("bob,alice,1,EUR,k", "from", "INSUFFICIENT_FUNDS", "insufficient funds in 'bob' (available 0.00 EUR, needed"),
        ("bank,small,6,EUR,k", "to", "BALANCE_LIMIT", "'small' would exceed its max_balance of 5.00 EUR"),
        ("bank,bank,1,EUR,k", "to", "SAME_ACCOUNT", "'bank' would be debited and credited in the same transaction"),
        ("bank,alice,1,EUR", None, "BAD_ROW", "it has 4 cells where the header has 5"),
        ("bank,alice," + "x" * (1 << 20) + ",EUR,k", "amount", "BAD_AMOUNT", "it is too long"),
        ("bank,alice," + "9" * 24 + ",EUR,k", "amount", "", ""),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_bad_row_is_named_with_its_field_and_reason_and_nothing_is_posted(
    funded: Command,
    seed: Callable[..., None],
    write: Write,
    books_as_they_are: Look,
    line: str,
    field: str | None,
    code: str,
    words: str,
) -> None:
    seed(
        [
            {"code": "closed"},
            {"code": "frozen"},
            {"code": "small", "max_balance": "5"},
            {"code": "yen", "currency": "JPY"},
        ]
    )
    funded("account", "freeze", "frozen")
    funded("account", "close", "closed")
    before = books_as_they_are()
    file = write(HEADER + GOOD.format(1) + line + "\n" + GOOD.format(2))

    done = funded("-o", "json", "import", file)

    if not code:  # a great amount is fine: the bank has no floor
        assert done.code == Exit.DONE
        return
    error = json.loads(done.err.splitlines()[-1])["error"]
    [row] = error["details"]["rows"]
    assert done.code == Exit.REFUSED
    assert error["message"] == "1 of 3 rows of 'in.csv' cannot be posted; nothing was posted"
    assert (row["row"], row["field"], row["code"]) == (2, field, code)
    assert words in row["message"]
    assert len(done.err) < 2000
    assert books_as_they_are() == before
    assert json.loads(done.out)["status"] == "refused"

    people = funded("import", file)
    place = "row 2" + (f", {field}: " if field else ": ")
    assert people.err.startswith(place)
    assert people.err.splitlines()[0].endswith(f"[{code}]")
    assert len(people.err) < 2000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"from,to\nbank,alice\n", "there is no column 'amount'"),
        (b"from,to,amount,to\nbank,alice,1,bob\n", "its header names 'to' twice"),
        (b"from,to,amount,\nbank,alice,1,\n", "its header has a column without a name"),
        (b"from;to;amount\nbank;alice;1\n", "there is no column 'from'"),
        ("from,to,amount\nbank,alice,1\n".encode("utf-16"), "it is UTF-16"),
        ("from,to,amount\nbank,alice,1\n".encode("utf-16-be"), "NUL"),
        (b"from,to,amount,description\nbank,alice,1,caf\xe9\n", "line 2, byte 17 is not UTF-8 (0xe9)"),
        (b'from,to,amount\nbank,alice,1\nbank,"alice,1\nbank,alice,1\n', "record 2 is not valid CSV"),
        (b"from,to,amount\nbank,alice,1\nbank,al\0ice,1\n", "line 3 holds a NUL byte"),
        (b"from,to,amount\nbank,alice,1\n\nbank,alice,1\n", "there is a blank line after record 1"),
        (b"from,to,amount\rbank,alice,1\r", "its lines end in CR alone"),
        (b"from,to,amount\nbank,alice,1\nbank,alice," + b"x" * (17 << 20), "record 2 is not valid CSV"),
        (b"PK\x03\x04\x14\0\x06\0\x08\0", ""),
    ],
    ids=lambda value: str(value[:30]),
)
def test_a_file_that_cannot_be_read_is_a_wrong_argument_and_nothing_is_posted(
    funded: Command, write: Write, books_as_they_are: Look, content: bytes, words: str
) -> None:
    before = books_as_they_are()

    done = funded("-o", "json", "import", write(content))

    [line] = done.err.splitlines()
    error = json.loads(line)["error"]
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert error["code"] == "BAD_FILE"
    assert error["message"].startswith("cannot read 'in.csv': ")
    assert words in error["message"]
    assert books_as_they_are() == before
    assert json.loads(funded("-o", "json", "imports", "list").out) == []


@pytest.mark.parametrize(("file", "words"), [("nosuch.csv", "no such file or directory"), (".", "it is a directory")])
def test_a_missing_file_and_a_directory_are_bad_files(funded: Command, file: str, words: str) -> None:
    done = funded("import", file)

    assert done.code == Exit.USAGE
    assert f"cannot read '{file}': {words}" in done.err


def test_an_error_for_programs_is_one_line(funded: Command, write: Write) -> None:
    for format_ in ("json", "jsonl"):
        done = funded("-o", format_, "import", write(HEADER + "bank,nosuch,1,EUR,k\n" * 3))
        assert len(done.err.splitlines()) == 1


def test_a_byte_order_mark_and_crlf_and_blank_lines_at_the_end_are_fine(funded: Command, write: Write) -> None:
    content = "\ufefffrom,to,amount\r\nbank,alice,1\r\n\r\n\r\n"
    assert json.loads(funded("-o", "json", "import", write(content)).out)["posted"] == 1


def test_a_header_alone_is_a_file_without_rows(funded: Command, write: Write) -> None:
    receipt = json.loads(funded("-o", "json", "import", write("from,to,amount\n")).out)
    assert (receipt["status"], receipt["rows"], receipt["totals"]) == ("complete", 0, {})


def test_funds_that_run_out_in_row_900_leave_nothing_of_the_899(
    funded: Command, write: Write, books_as_they_are: Look
) -> None:
    funded("account", "create", "payer", "--currency", "EUR")
    funded("transfer", "bank", "payer", "89.90")
    before = books_as_they_are()

    done = funded("-o", "json", "import", write("from,to,amount\n" + "payer,bob,0.10\n" * 1000))

    receipt, details = json.loads(done.out), json.loads(done.err.splitlines()[-1])["error"]["details"]
    assert done.code == Exit.REFUSED
    assert (receipt["rows"], receipt["rejected"], receipt["posted"]) == (1000, 101, 0)
    assert (details["rows"][0]["row"], details["rows"][0]["code"]) == (900, "INSUFFICIENT_FUNDS")
    assert "available 0.00 EUR, needed 0.10 EUR" in details["rows"][0]["message"]
    assert (len(details["rows"]), details["rejected"]) == (100, 101)
    assert books_as_they_are() == before


def test_money_that_comes_earlier_in_the_file_can_be_spent_later(funded: Command, write: Write) -> None:
    content = "from,to,amount\nbank,bob,5\nbob,alice,5\n"
    assert json.loads(funded("-o", "json", "import", write(content)).out)["posted"] == 2
    assert funded("import", write("from,to,amount\nbob,alice,7\nbank,bob,7\n")).code == Exit.REFUSED


def test_every_bad_row_is_counted_and_the_first_twenty_are_named(funded: Command, write: Write) -> None:
    done = funded("import", write("from,to,amount\n" + "bank,nosuch,1\n" * 30))

    named = [line for line in done.err.splitlines() if line.startswith("row ")]
    assert (len(named), named[-1].split(",")[0]) == (20, "row 20")
    assert "error: 30 of 30 rows of 'in.csv' cannot be posted; nothing was posted" in done.err


def test_a_row_is_named_by_its_record_and_not_by_its_line(funded: Command, write: Write) -> None:
    content = 'from,to,amount,description\nbank,alice,1,"two\nlines"\nbank,nosuch,1,\n'
    assert funded("import", write(content)).err.startswith("row 2, to: there is no account 'nosuch'")


def test_control_characters_of_a_file_do_not_reach_the_terminal(funded: Command, write: Write) -> None:
    done = funded("import", write("from,to,amount\nb\x1b[2Jank,alice,1\nbank,alice,1\u202e\nbank,alice,\x07\n"))

    assert done.code == Exit.REFUSED
    assert not set(done.err + done.out) & {"\x1b", "\u202e", "\x07"}


def test_columns_are_mapped_set_and_built(funded: Command, write: Write) -> None:
    content = '"order_id";"who";"how much"\r\n1;"lice";1.50\r\n2;"lice";2\r\n'

    done = funded(
        "-o", "json", "import", write(content), "--delimiter", ";", "--set", "from=bank", "--map", "to=a{who}",
        "--map", "amount=how much", "--map", "key=order-{order_id}", "--set", "currency=EUR",
    )  # fmt: skip

    assert json.loads(done.out)["posted"] == 2
    assert funded("transaction", "show", "order-2").code == Exit.DONE


@pytest.mark.parametrize(
    "options",
    [
        ("--map", "to"),
        ("--map", "nosuch=to"),
        ("--map", "to=nosuch"),
        ("--map", "to={nosuch}"),
        ("--map", "to=from", "--map", "to=to"),
        ("--set", "to=alice", "--map", "to=to"),
        ("--delimiter", ";;"),
        ("--delimiter", ""),
        ("--delimiter", '"'),
        ("--delimiter", "\n"),
    ],
)
def test_a_wrong_option_is_a_wrong_argument(funded: Command, write: Write, options: tuple[str, ...]) -> None:
    assert funded("import", write("from,to,amount\nbank,alice,1\n"), *options).code == Exit.USAGE


def test_a_tab_is_a_delimiter(funded: Command, write: Write) -> None:
    file = write("from\tto\tamount\nbank\talice\t1\n")
    assert funded("import", file, "--delimiter", "\\t").code == Exit.DONE


def test_standard_input_and_a_file_have_the_same_keys(funded: Command, write: Write) -> None:
    content = "from,to,amount\nbank,alice,1\n"
    funded("import", "-", stdin=content)

    assert json.loads(funded("-o", "json", "import", write(content)).out)["replayed"] == 1


def test_a_pipe_is_read(funded: Command, directory: Path) -> None:
    os.mkfifo(directory / "pipe")
    writer = threading.Thread(target=(directory / "pipe").write_text, args=["from,to,amount\nbank,alice,1\n"])
    writer.start()

    done = funded("-o", "json", "import", "pipe")

    writer.join()
    assert json.loads(done.out)["posted"] == 1


def test_a_file_whose_name_is_not_utf_8_is_imported(funded: Command, directory: Path) -> None:
    name = os.fsdecode(b"caf\xe9.csv")
    (directory / name).write_text("from,to,amount\nbank,alice,1\n")

    assert funded("import", name).code == Exit.DONE


def test_a_row_has_its_import(funded: Command, write: Write) -> None:
    receipt = json.loads(funded("-o", "json", "import", write(HEADER + GOOD.format(1))).out)

    shown = json.loads(funded("-o", "json", "transaction", "show", "g-1").out)

    assert shown["import_id"] == receipt["import_id"]
    assert json.loads(funded("-o", "json", "imports", "show", receipt["import_id"]).out) == receipt
    assert json.loads(funded("-o", "json", "imports", "list").out) == [receipt]


@pytest.mark.parametrize("import_id", ["999999999", "x", "-1", "9" * 40, ""])
def test_a_receipt_that_is_not_there_is_not_found(run: Command, import_id: str) -> None:
    assert run("imports", "show", "--", import_id).code == Exit.NOT_FOUND


def test_an_import_as_a_table(funded: Command, write: Write, recorded: Callable[[str, str], None]) -> None:
    done = funded("import", write("from,to,amount\nbank,alice,1\nbank,nosuch,1\nbank,alice,-1\nbank\n"))

    answer = re.sub(r"(?m)^\d+ +(?=refused)", lambda number: "1".ljust(len(number[0])), done.out)
    recorded("import-refused", done.err + answer)


def test_an_import_that_gives_up_says_where_and_how_to_go_on(funded: Command, write: Write) -> None:
    rows = "".join(f"bank,{'nosuch' if row % 5 == 0 else 'bob'},0.01\n" for row in range(100))
    file = write(f"from,to,amount\n{rows}")

    done = funded("import", file, "--skip-rejects", "--commit-every", "10", "--max-rejects", "3")

    assert done.code == Exit.REFUSED
    assert "gave up after row 20, since more than 3 are rejected; 16 posted now, 0 before" in done.err
    assert "with a higher --max-rejects the same command posts the rest" in done.err
    at_once = funded("import", file, "--skip-rejects", "--max-rejects", "3")
    assert "gave up after row 100, since more than 3 are rejected; nothing was posted" in at_once.err
    assert "with a higher --max-rejects the same command posts the rest" in at_once.err
    again = json.loads(funded("-o", "json", "import", file, "--skip-rejects", "--max-rejects", "20").out)
    assert (again["posted"], again["replayed"], again["rejected"]) == (64, 16, 20)


def test_rejected_rows_are_named_by_their_file_even_if_no_row_could_be_posted(funded: Command, write: Write) -> None:
    done = funded("import", write("from,to,amount\nbank,nosuch,1\n"), "--skip-rejects")

    hint = "mend the rows in in.csv.rejects.csv, whose keys stay as they are, and import that file"
    assert f"nothing was posted\ncode: ROWS_REJECTED\nhint: {hint}\n" in done.err


@pytest.mark.parametrize(
    ("options", "consequence", "posted"),
    [
        ([], "nothing would be posted", 0),
        (["--skip-rejects"], "they would be left out", 8),
        (
            ["--skip-rejects", "--max-rejects", "1"],
            "it would give up, since more than 1 are rejected: nothing would",
            0,
        ),
        (["--commit-every", "2"], "only the first 4 rows would be posted", 4),
        (
            ["--skip-rejects", "--max-rejects", "1", "--commit-every", "4"],
            "it would give up, since more than 1 are rejected: only the first 8 rows would be posted",
            6,
        ),
    ],
)
def test_a_dry_run_says_what_rejected_rows_would_lead_to(
    funded: Command, write: Write, options: list[str], consequence: str, posted: int
) -> None:
    rows = "".join(f"bank,{'nosuch' if row in (4, 7) else 'bob'},0.01\n" for row in range(10))

    done = funded("import", write(f"from,to,amount\n{rows}"), "--dry-run", *options)

    assert consequence in done.err
    assert f"dry-run: {posted} posted, 0 replayed, 2 rejected" in done.out
    assert ("bob: " in done.err) == (posted > 0)


def test_the_file_again_does_not_overwrite_rejected_rows_that_are_being_mended(
    funded: Command, write: Write, directory: Path
) -> None:
    file, rejects = write("from,to,amount\nbank,bob,1\nbank,nosuch,2\n"), directory / "in.csv.rejects.csv"
    funded("import", file, "--skip-rejects")
    mended = rejects.read_text().replace("nosuch", "bob")
    rejects.write_text(mended)

    again = funded("import", file, "--skip-rejects")

    assert "in.csv.rejects.csv was there before, with other rows; that file is now in.csv.rejects.csv.1" in again.err
    assert (directory / "in.csv.rejects.csv.1").read_text() == mended
    assert "nosuch" in rejects.read_text()
    assert json.loads(funded("-o", "json", "import", "in.csv.rejects.csv.1").out)["posted"] == 1


def test_the_file_of_an_import_that_was_reversed_says_so(funded: Command, write: Write) -> None:
    file = write("from,to,amount\nbank,bob,1\n")
    import_id = json.loads(funded("-o", "json", "import", file).out)["import_id"]
    funded("imports", "reverse", import_id, "--yes")

    again = funded("import", file)

    assert "that import was reversed since, and what was reversed stays so under the same keys" in again.err
    shown = funded("imports", "show", import_id)
    assert shown.out.startswith("complete: 1 posted, 0 replayed, 0 rejected, reversed since")
    assert json.loads(funded("-o", "json", "imports", "show", import_id).out)["reversed_at"]


def test_a_dry_run_of_an_unexpected_file_names_its_bad_rows_too(funded: Command, write: Write) -> None:
    file = write("from,to,amount\nbank,bob,1\nbank,nosuch,2\n")

    done = funded("import", file, "--dry-run", "--expect-rows", "3")

    assert done.code == Exit.REFUSED
    assert "row 2, to: there is no account 'nosuch' [ACCOUNT_NOT_FOUND]" in done.err
    assert "error: in.csv is not what was expected: it has 2 rows, not 3; nothing would be posted" in done.err
    error = json.loads(funded("-o", "json", "import", file, "--dry-run", "--expect-rows", "3").err.splitlines()[-1])[
        "error"
    ]
    assert [row["row"] for row in error["details"]["rows"]] == [2]


# -- killed half-way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)])
def test_an_import_that_is_interrupted_posts_nothing_and_is_simply_started_again(
    funded: Command,
    write: Write,
    directory: Path,
    surroundings: dict[str, str],
    books_as_they_are: Look,
    sent: signal.Signals,
    code: Exit,
) -> None:
    rows = 20_000
    file = write("from,to,amount\n" + "bank,bob,0.01\n" * rows)
    before = books_as_they_are()
    child = subprocess.Popen(
        [sys.executable, "-m", "ledgerctl", "import", file],
        cwd=directory,
        env={**os.environ, **surroundings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _wait_until_it_writes(surroundings["LEDGERCTL_DATABASE_URL"], child.pid)
    child.send_signal(sent)
    out, err = child.communicate(timeout=20)

    # Python ends itself by the signal when an eval() was interrupted; a shell shows 130 for both.
    assert child.returncode == code or (sent == signal.SIGINT and child.returncode == -signal.SIGINT)
    assert (out, b"Traceback" in err) == (b"", False)
    assert books_as_they_are() == before

    if sent == signal.SIGINT:
        again = funded("-o", "json", "import", file, LEDGERCTL_DATABASE_IMPORT_TIMEOUT_S="5")
        assert json.loads(again.out)["posted"] == rows


def _wait_until_it_writes(conninfo: str, pid: int) -> None:
    """Until the import of that process has copied something in a transaction that is still open."""
    deadline = time.monotonic() + 20
    with psycopg.connect(conninfo, autocommit=True) as conn:
        while time.monotonic() < deadline:
            [[writing]] = conn.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s AND backend_xid IS NOT NULL"
                " AND query LIKE %s",
                [f"ledgerctl import {pid}@%", "%COPY%"],
            ).fetchall()
            if writing:
                return
            time.sleep(0.01)
    raise AssertionError("the import never wrote anything")


# -- what leads to double postings -----------------------------------------------------------------------------------


def test_the_hint_after_a_part_was_posted_is_not_to_change_the_file(funded: Command, write: Write) -> None:
    """Its rows would have new keys: those that are posted would be posted again."""
    good = "".join(f"bank,bob,{row}.00,pay {row}\n" for row in range(1, 9))
    text = f"from,to,amount,description\n{good}bank,nosuch,5,wrong\n{good.replace('pay', 'later')}"

    done = funded("import", write(text), "--commit-every", "4")

    assert (done.code, "8 rows before them are posted" in done.err) == (Exit.REFUSED, True)
    assert "hint: leave the file as it is, since some of its rows are posted: with --skip-rejects," in done.err
    for again in ([], ["--dry-run"], ["--commit-every", "3"]):
        assert "hint: leave the file as it is" in funded("import", write(text), *again).err
    mended = funded("import", write(text.replace("nosuch", "bob")))
    assert mended.code == Exit.CONFLICT
    assert "code: ALREADY_POSTED" in mended.err


def test_rows_with_keys_may_be_mended_in_their_file(funded: Command, write: Write) -> None:
    text = "from,to,amount,key\nbank,bob,1,a\nbank,nosuch,2,b\n"
    done = funded("import", write(text), "--commit-every", "1")

    assert "hint: mend the rows named above and run the same command again" in done.err
    again = json.loads(funded("-o", "json", "import", write(text.replace("nosuch", "bob"))).out)
    assert (again["posted"], again["replayed"]) == (1, 1)


def test_rows_that_could_be_posted_by_now_lead_to_again(funded: Command, write: Write) -> None:
    file = write("from,to,amount\nbank,bob,1\nbank,late,2\n")
    funded("import", file, "--skip-rejects")
    funded("account", "create", "late", "--currency", "EUR")

    done = funded("import", file, "--skip-rejects")

    assert "; rows that could be posted by now are posted with --again" in done.err


# -- where rejects may go --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["directory", "fifo", "-", "in.csv", "link to the input", "/dev/null", "nowhere/x"])
def test_rejects_take_no_place_that_is_something_else(
    funded: Command, write: Write, directory: Path, place: str, books_as_they_are: Look
) -> None:
    file = write("from,to,amount\nbank,bob,1\nbank,nosuch,2\n")
    (directory / "directory").mkdir()
    os.mkfifo(directory / "fifo")
    (directory / "link to the input").symlink_to("in.csv")
    before, there = books_as_they_are(), sorted(directory.iterdir())

    done = funded("import", file, "--skip-rejects", "--rejects", place)

    assert done.code == Exit.USAGE
    assert books_as_they_are() == before
    assert [one for one in sorted(directory.iterdir()) if one.name != ".state"] == there


def test_rejects_do_not_take_the_place_of_standard_output(ledgerctl: Command, directory: Path, conninfo: str) -> None:
    ledgerctl("account", "create", "bob", "--currency", "EUR")
    (directory / "in.csv").write_text("from,to,amount\nbob,nosuch,1\n", encoding="utf-8")
    with (directory / "out").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "ledgerctl", "import", "in.csv", "--skip-rejects", "--rejects", "/dev/stdout"],
            cwd=directory,
            env={**os.environ, "LEDGERCTL_DATABASE_URL": conninfo},
            stdout=out,
            check=False,
        )

    assert done.returncode == Exit.USAGE
    assert not (directory / "out.1").exists()


def test_rejects_go_where_a_link_leads(funded: Command, write: Write, directory: Path) -> None:
    (directory / "elsewhere").mkdir()
    (directory / "link.csv").symlink_to("elsewhere/target.csv")

    done = funded("import", write("from,to,amount\nbank,nosuch,2\n"), "--skip-rejects", "--rejects", "link.csv")

    assert done.code == Exit.REFUSED
    assert "ACCOUNT_NOT_FOUND" in (directory / "elsewhere" / "target.csv").read_text(encoding="utf-8")
    assert (directory / "link.csv").is_symlink()


# -- interrupted inside a commit -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)])
@pytest.mark.parametrize(
    ("options", "told"),
    [([], "it may have been posted"), (["--commit-every", "10"], "at least the first 10 rows are done")],
)
def test_an_interrupt_inside_a_commit_says_what_is_sure(
    ledgerctl: Command,
    conn: Connection,
    conninfo: str,
    directory: Path,
    sent: signal.Signals,
    code: Exit,
    options: list[str],
    told: str,
) -> None:
    for account in ("bank", "bob"):
        ledgerctl("account", "create", account, "--currency", "EUR", "--min-balance", "none")
    (directory / "in.csv").write_text("from,to,amount\n" + "bank,bob,1\n" * 30, encoding="utf-8")
    last = "NEW.import_row = 30" if not options else "NEW.import_row = 20"
    conn.execute(
        "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF {last} THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN NULL; END $$".encode()
    )
    conn.execute(
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON transactions DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION at_commit()"
    )
    conn.execute("SELECT pg_advisory_lock(1)")
    child = subprocess.Popen(
        [sys.executable, "-m", "ledgerctl", "import", "in.csv", *options],
        cwd=directory,
        env={**os.environ, "LEDGERCTL_DATABASE_URL": conninfo},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
    deadline = time.monotonic() + 20
    while conn.execute(waits.encode()).fetchone() == (0,):
        assert time.monotonic() < deadline, "it never came to its commit"
        time.sleep(0.01)
    child.send_signal(sent)
    _, err = child.communicate(timeout=20)
    conn.execute("SELECT pg_advisory_unlock(1)")

    assert child.returncode == code
    assert f"interrupted: {told}; the same command again is safe, and goes on from there" in err.decode()
    assert json.loads(ledgerctl("-o", "json", "import", "in.csv", *options).out)["status"] == "complete"
    assert conn.execute("SELECT count(*) FROM transactions").fetchone() == (30,)
