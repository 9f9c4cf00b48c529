"""ledgerctl account."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]
FIELDS = ["code", "name", "type", "currency", "status", "balance", "min_balance", "max_balance", "seq", "created_at",
          "metadata"]  # fmt: skip


def test_a_new_account_has_the_defaults_of_its_type(run: Command) -> None:
    made = run("-o", "json", "account", "create", "customers:alice", "--currency", "EUR")

    account = json.loads(made.out)
    assert list(account) == FIELDS
    assert account.pop("created_at").endswith("Z")
    assert account == {
        "code": "customers:alice", "name": None, "type": "liability", "currency": "EUR", "status": "active",
        "balance": "0.00", "min_balance": "0.00", "max_balance": None, "seq": 0, "metadata": {},
    }  # fmt: skip


def test_an_account_is_what_it_was_asked_to_be(run: Command) -> None:
    run(
        "account", "create", "till", "--type", "asset", "--currency", "KWD", "--name", "The till", "--min-balance",
        "-100", "--max-balance", "0.125", "--metadata", "place=hall",
    )  # fmt: skip

    account = json.loads(run("-o", "json", "account", "show", "till").out)

    assert (account["type"], account["name"], account["currency"]) == ("asset", "The till", "KWD")
    assert (account["min_balance"], account["max_balance"], account["balance"]) == ("-100.000", "0.125", "0.000")


def test_the_same_account_again_changes_nothing(run: Command) -> None:
    args = ("-o", "json", "account", "create", "alice", "--currency", "EUR", "--name", "Alice")
    first, again = run(*args), run(*args)

    assert (again.code, again.out) == (Exit.DONE, first.out)
    assert again.err == "account 'alice' was there already\n"


@pytest.mark.parametrize(
    ("args", "fields"),
    [
        (("--currency", "USD"), "currency"),
        (("--currency", "EUR", "--type", "asset"), "type"),
        (("--currency", "EUR", "--max-balance", "5"), "max_balance"),
        (("--currency", "EUR", "--name", "Bob"), "name"),
        (("--currency", "EUR", "--metadata", "a=b"), "metadata"),
    ],
)
def test_the_same_code_with_other_attributes_is_a_conflict(run: Command, args: tuple[str, ...], fields: str) -> None:
    run("account", "create", "alice", "--currency", "EUR")

    done = run("account", "create", "alice", *args)

    assert done.code == Exit.CONFLICT
    assert f"(different: {fields})" in done.err


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("a b", "--currency", "EUR"), "BAD_ACCOUNT_CODE"),
        (("", "--currency", "EUR"), "BAD_ACCOUNT_CODE"),
        (("x" * 129, "--currency", "EUR"), "BAD_ACCOUNT_CODE"),
        (("élise", "--currency", "EUR"), "BAD_ACCOUNT_CODE"),
        (("a", "--currency", "XXX"), "UNKNOWN_CURRENCY"),
        (("a", "--currency", "eur"), "UNKNOWN_CURRENCY"),
        (("a", "--currency", "EUR", "--type", "debtor"), "BAD_TEXT"),
        (("a", "--currency", "EUR", "--min-balance", "1e3"), "BAD_AMOUNT"),
        (("a", "--currency", "EUR", "--max-balance", "1.234"), "TOO_MANY_DECIMALS"),
        (("a", "--currency", "JPY", "--max-balance", "1.5"), "TOO_MANY_DECIMALS"),
        (("a", "--currency", "EUR", "--name", "\x1b[31mred"), "BAD_TEXT"),
        (("a", "--currency", "EUR", "--metadata", "x"), "USAGE"),
        (("a", "--currency", "EUR", "--metadata", "x=1", "--metadata", "x=2"), "USAGE"),
        (("a",), "USAGE"),
        ((), "USAGE"),
    ],
)
def test_a_wrong_argument_makes_no_account(run: Command, args: tuple[str, ...], code: str) -> None:
    done = run("account", "create", *args)

    assert done.code == Exit.USAGE
    assert f"code: {code}\n" in done.err
    assert run("account", "list").out == ""


@pytest.mark.parametrize(
    "limits", [("--min-balance", "100"), ("--max-balance", "-5"), ("--min-balance", "10", "--max-balance", "5")]
)
def test_limits_that_an_empty_account_breaks_are_a_wrong_argument_and_not_a_bug(
    run: Command, limits: tuple[str, ...]
) -> None:
    assert run("account", "create", "a", "--currency", "EUR", *limits).code in (Exit.USAGE, Exit.REFUSED)


def test_accounts_are_listed_by_code_and_branch(run: Command) -> None:
    for code in ("b:2", "a", "b:10", "b", "bb", "c"):
        run("account", "create", code, "--currency", "EUR")

    def codes(*args: str) -> list[str]:
        return [row["code"] for row in json.loads(run("-o", "json", "account", "list", *args).out)]

    assert codes() == ["a", "b", "b:10", "b:2", "bb", "c"]
    assert codes("b") == codes("b:") == ["b", "b:10", "b:2"]
    assert codes("nosuch") == []
    assert codes("--after", "b:2") == ["bb", "c"]
    assert codes("--limit", "2") == ["a", "b"]


def test_a_list_that_is_cut_says_so_and_how_to_go_on(run: Command) -> None:
    for code in "abc":
        run("account", "create", code, "--currency", "EUR")

    assert run("account", "list", "--limit", "2").err == "2 of 3; --all, or --after b\n"
    assert run("account", "list", "--limit", "3").err == ""
    assert run("account", "list", "--limit", "2", "--all").err == ""


@pytest.mark.parametrize("limit", ["0", "-1", "x", "99999999999999999999"])
def test_a_limit_is_a_number_of_rows(run: Command, limit: str) -> None:
    done = run("account", "list", "--limit", limit)
    assert done.code == Exit.USAGE or (limit.startswith("9") and done.code == Exit.DONE)


@pytest.mark.parametrize("format_", ["table", "json", "jsonl", "csv"])
def test_every_format_has_the_same_accounts(funded: Command, format_: str) -> None:
    out = funded("account", "list", "-o", format_).out
    readers: dict[str, Callable[[], list[str]]] = {
        "table": lambda: [line.split()[0] for line in out.splitlines()[1:]],
        "json": lambda: [row["code"] for row in json.loads(out)],
        "jsonl": lambda: [json.loads(line)["code"] for line in out.splitlines()],
        "csv": lambda: [row["code"] for row in csv.DictReader(io.StringIO(out))],
    }
    codes = readers[format_]()
    assert codes == ["alice", "bank", "bob"]


@pytest.mark.parametrize("command", ["show", "freeze", "unfreeze", "close"])
def test_an_account_that_is_not_there_is_not_found_and_a_near_one_suggested(funded: Command, command: str) -> None:
    done = funded("account", command, "alise")

    assert done.code == Exit.NOT_FOUND
    assert "there is no account 'alise'" in done.err
    assert "hint: did you mean 'alice'?" in done.err


def test_a_frozen_account_is_unfrozen_and_both_may_be_repeated(funded: Command) -> None:
    for command, status in (("freeze", "frozen"), ("freeze", "frozen"), ("unfreeze", "active"), ("unfreeze", "active")):
        done = funded("-o", "json", "account", command, "alice")
        assert (done.code, json.loads(done.out)["status"]) == (Exit.DONE, status)


def test_an_account_with_money_is_not_closed(funded: Command) -> None:
    done = funded("account", "close", "alice")

    assert done.code == Exit.REFUSED
    assert "account 'alice' holds 100.00 EUR and can be closed only at zero" in done.err


def test_a_closed_account_stays_closed(funded: Command) -> None:
    for _ in range(2):
        assert json.loads(funded("-o", "json", "account", "close", "bob").out)["status"] == "closed"
    for command in ("freeze", "unfreeze"):
        done = funded("account", command, "bob")
        assert done.code == Exit.REFUSED
        assert "code: ACCOUNT_CLOSED" in done.err


def test_a_file_of_accounts_is_created_whole_and_once(run: Command, directory: Path) -> None:
    (directory / "accounts.csv").write_text("code,currency,type,min_balance\nbank,EUR,asset,none\nalice,EUR,,\n")

    first = json.loads(run("-o", "json", "account", "import", "accounts.csv").out)
    again = json.loads(run("-o", "json", "account", "import", "accounts.csv").out)

    assert first == {"file": "accounts.csv", "rows": 2, "created": 2, "unchanged": 0}
    assert again == {"file": "accounts.csv", "rows": 2, "created": 0, "unchanged": 2}


def test_a_file_of_accounts_comes_from_a_pipe_with_columns_of_other_names(run: Command) -> None:
    done = run(
        "-o", "json", "account", "import", "-", "--map", "code=customers:{id}", "--set", "currency=EUR", "--delimiter",
        ";", stdin='"id";"owner"\r\n7;"x"\r\n8;"y"\r\n',
    )  # fmt: skip

    assert json.loads(done.out)["created"] == 2
    assert run("account", "show", "customers:8").code == Exit.DONE


def test_one_bad_row_and_no_account_of_the_file_is_made(run: Command, directory: Path) -> None:
    (directory / "accounts.csv").write_text("code,currency\nbank,EUR\na b,EUR\nalice,XXX\n")

    done = run("-o", "json", "account", "import", "accounts.csv")

    assert done.code == Exit.REFUSED
    assert done.out == ""
    error = json.loads(done.err.splitlines()[-1])["error"]
    assert [(row["row"], row["code"]) for row in error["details"]["rows"]] == [
        (2, "BAD_ACCOUNT_CODE"),
        (3, "UNKNOWN_CURRENCY"),
    ]
    assert run("account", "list").out == ""


def test_a_file_that_disagrees_with_an_account_is_a_conflict(funded: Command, directory: Path) -> None:
    (directory / "accounts.csv").write_text("code,currency\nnew,EUR\nalice,USD\n")

    done = funded("account", "import", "accounts.csv")

    assert done.code == Exit.CONFLICT
    assert funded("account", "show", "new").code == Exit.NOT_FOUND
