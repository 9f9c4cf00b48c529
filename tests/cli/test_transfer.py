"""ledgerctl transfer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]
Look = Callable[[], dict[str, Any]]


def test_a_transfer_debits_the_first_account_and_credits_the_second(funded: Command) -> None:
    done = funded(
        "-o", "json", "transfer", "alice", "bob", "12.5", "EUR", "-i", "k-1", "--description", "Lunch", "--reference",
        "inv-7", "--effective-at", "2026-01-31", "--metadata", "order=7",
    )  # fmt: skip

    shape = json.loads(done.out)
    assert UUID(shape.pop("transaction_id")).version == 7
    assert shape.pop("posted_at").endswith("Z")
    assert (done.code, done.err) == (Exit.DONE, "")
    assert shape == {
        "status": "posted",
        "kind": "transfer",
        "idempotency_key": "k-1",
        "entries": [
            {"account": "alice", "debit": "12.50", "credit": None, "currency": "EUR", "balance": "87.50"},
            {"account": "bob", "debit": None, "credit": "12.50", "currency": "EUR", "balance": "12.50"},
        ],
    }


def test_the_same_request_with_the_same_key_is_replayed(funded: Command, books_as_they_are: Look) -> None:
    args = ("-o", "json", "transfer", "alice", "bob", "5", "-i", "k-1")
    first = json.loads(funded(*args).out)
    before = books_as_they_are()

    done = funded(*args)

    assert done.code == Exit.DONE
    assert json.loads(done.out) == {**first, "status": "replayed"}
    assert done.err == "this key was posted before; nothing was posted now\n"
    assert books_as_they_are() == before


def test_one_amount_written_in_other_ways_is_the_same_request(funded: Command) -> None:
    funded("transfer", "alice", "bob", "5", "EUR", "-i", "k-1")

    for amount in (("5.00", "EUR"), ("5.0 EUR",), ("EUR 5",), ("EUR 5.0", "EUR")):
        done = funded("transfer", "alice", "bob", *amount, "-i", "k-1", "-o", "json")
        assert json.loads(done.out)["status"] == "replayed"


@pytest.mark.parametrize(
    ("args", "fields"),
    [
        (("alice", "bob", "6"), "amount"),
        (("bank", "bob", "5"), "accounts"),
        (("alice", "bob", "5", "--description", "x"), "description"),
        (("alice", "bob", "5", "--reference", "x"), "reference"),
        (("alice", "bob", "5", "--effective-at", "2026-01-31"), "effective_at"),
        (("alice", "bob", "5", "--metadata", "a=b"), "metadata"),
        (("bank", "bob", "6"), "accounts, amount"),
    ],
)
def test_another_payload_under_a_used_key_is_a_conflict_that_names_what_differs(
    funded: Command, books_as_they_are: Look, args: tuple[str, ...], fields: str
) -> None:
    first = json.loads(funded("-o", "json", "transfer", "alice", "bob", "5", "-i", "k-1").out)
    before = books_as_they_are()

    done = funded("-o", "json", "transfer", *args, "-i", "k-1")

    error = json.loads(done.err)["error"]
    assert (done.code, done.out) == (Exit.CONFLICT, "")
    assert error["code"] == "IDEMPOTENCY_CONFLICT"
    assert error["details"]["fields"] == fields
    assert error["hint"] == f"ledgerctl transaction show {first['transaction_id']}"
    assert books_as_they_are() == before


def test_a_key_is_made_and_shown_when_none_is_given(funded: Command) -> None:
    done = funded("transfer", "alice", "bob", "5")
    key = done.err.removeprefix("idempotency key: ").strip()

    assert UUID(key).version == 7
    again = funded("-o", "json", "transfer", "alice", "bob", "5", "-i", key)
    assert json.loads(again.out)["status"] == "replayed"


@pytest.mark.parametrize("format_", ["table", "json", "jsonl", "csv"])
def test_a_key_that_was_made_stands_on_stderr_before_anything_is_sent(funded: Command, format_: str) -> None:
    """Whoever is killed before the answer has it nowhere else."""
    assert "idempotency key" in funded("-o", format_, "transfer", "alice", "bob", "5").err


def test_a_transaction_is_found_by_the_key_that_was_made_for_it(funded: Command) -> None:
    key = json.loads(funded("-o", "json", "transfer", "alice", "bob", "5").out)["idempotency_key"]

    assert funded("transaction", "show", key).code == Exit.DONE


def test_an_empty_key_is_refused_and_not_taken_for_no_key(funded: Command, books_as_they_are: Look) -> None:
    """`-i "$ORDER"` with ORDER unset: every repeat would be a new payment."""
    before = books_as_they_are()

    done = funded("transfer", "alice", "bob", "5", "-i", "")

    assert done.code == Exit.USAGE
    assert books_as_they_are() == before


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("1e3", "exponents are not read"),
        ("NaN", "it is not a plain number"),
        ("Infinity", "it is not a plain number"),
        ("-5", "it is negative"),
        ("-5.50", "it is negative"),
        ("-.5", "it is negative"),
        ("0", "it is zero"),
        ("0.00", "it is zero"),
        ("1,234.50", "a ',' is neither read as a decimal point nor between groups of digits"),
        ("1.234,50", "a ',' is neither"),
        ("1_000", "it is not a plain number"),
        ("１２", "only the digits 0-9 are read"),  # noqa: RUF001
        ("٣", "only the digits 0-9 are read"),
        ("−5", "only the digits 0-9 are read"),  # noqa: RUF001
        ("007", "it starts with 0"),
        ("", "it is empty"),
        (" ", "it is empty"),
        ("9" * 30, "it has more digits than the ledger can count"),
        ("9" * 5000, "it is too long"),
        ("1e999999", "exponents are not read"),
        ("5 eur", "it is not a plain number"),
        ("five", "it is not a plain number"),
    ],
)
@pytest.mark.parametrize("dash", [(), ("--",)])
def test_a_bad_amount_is_a_wrong_argument_before_any_database_is_opened(
    in_process: Command, amount: str, words: str, dash: tuple[str, ...]
) -> None:
    done = in_process("-o", "json", "transfer", "-i", "k-1", *dash, "alice", "bob", amount)

    error = json.loads(done.err)["error"]
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert error["code"] == "BAD_AMOUNT"
    assert words in error["message"]
    assert len(error["message"]) < 200


@pytest.mark.parametrize("place", range(6))
def test_a_negative_amount_reaches_us_wherever_options_stand(funded: Command, place: int) -> None:
    args = ["transfer", "alice", "bob", "-5", "--dry-run", "-i", "k-1"]
    moved = [args[0], *args[1 + place :], *args[1 : 1 + place]] if place != 5 else args

    done = funded(*moved)

    assert done.code == Exit.USAGE
    assert "code: BAD_AMOUNT" in done.err


@pytest.mark.parametrize(
    ("args", "exit_code", "code"),
    [
        (("alice", "bob", "12.345"), Exit.USAGE, "TOO_MANY_DECIMALS"),
        (("alice", "bob", "12.345 EUR"), Exit.USAGE, "TOO_MANY_DECIMALS"),
        (("alice", "bob", "5", "USD"), Exit.REFUSED, "CURRENCY_MISMATCH"),
        (("alice", "bob", "5 USD"), Exit.REFUSED, "CURRENCY_MISMATCH"),
        (("alice", "bob", "5 USD", "EUR"), Exit.USAGE, "USAGE"),
        (("alice", "bob", "5", "eur"), Exit.USAGE, "BAD_TEXT"),
        (("alice", "alice", "5"), Exit.REFUSED, "SAME_ACCOUNT"),
        (("alice", "bob", "100.01"), Exit.REFUSED, "INSUFFICIENT_FUNDS"),
        (("nosuch", "bob", "5"), Exit.NOT_FOUND, "ACCOUNT_NOT_FOUND"),
        (("alice", "nosuch", "5"), Exit.NOT_FOUND, "ACCOUNT_NOT_FOUND"),
        (("a b", "bob", "5"), Exit.USAGE, "BAD_ACCOUNT_CODE"),
        (("alice", "", "5"), Exit.USAGE, "BAD_ACCOUNT_CODE"),
        (("alice", "bob", "5", "--effective-at", "yesterday"), Exit.USAGE, "BAD_TIME"),
        (("alice", "bob", "5", "--effective-at", ""), Exit.USAGE, "BAD_TIME"),
        (("alice", "bob", "5", "--description", "x" * 1001), Exit.USAGE, "BAD_TEXT"),
        (("alice", "bob", "5", "--description", "a\x1b[2Jb"), Exit.USAGE, "BAD_TEXT"),
        (("alice", "bob", "5", "-i", "k" * 256), Exit.USAGE, "BAD_TEXT"),
        (("alice", "bob", "5", "-i", " "), Exit.USAGE, "BAD_TEXT"),
        (("alice", "bob", "5", "--metadata", "novalue"), Exit.USAGE, "USAGE"),
        (("alice", "bob"), Exit.USAGE, "USAGE"),
        (("alice", "bob", "5", "EUR", "extra"), Exit.USAGE, "USAGE"),
        (("alice", "bob", "5", "--nosuch"), Exit.USAGE, "USAGE"),
    ],
)
def test_what_cannot_be_posted_is_refused_in_one_line_of_json(
    funded: Command, books_as_they_are: Look, args: tuple[str, ...], exit_code: Exit, code: str
) -> None:
    before = books_as_they_are()

    done = funded("-o", "json", "transfer", *args)

    [line] = [line for line in done.err.splitlines() if not line.startswith("idempotency key")]
    error = json.loads(line)["error"]
    assert (done.code, done.out) == (exit_code, "")
    assert error.keys() == {"code", "message", "hint", "details", "exit_code"}
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    assert books_as_they_are() == before


def test_a_refusal_for_people_has_its_reason_its_code_and_its_hint(funded: Command) -> None:
    done = funded("transfer", "alice", "bob", "250", "-i", "k-1")

    assert done == Run(
        Exit.REFUSED,
        "",
        "error: insufficient funds in 'alice' (available 100.00 EUR, needed 250.00 EUR)\n"
        "code: INSUFFICIENT_FUNDS\n"
        "hint: ledgerctl account show alice\n",
    )


def test_a_near_account_is_suggested(funded: Command) -> None:
    assert "hint: did you mean 'alice'?" in funded("transfer", "alicee", "bob", "5").err


def test_a_frozen_and_a_closed_account_are_refused(funded: Command) -> None:
    funded("account", "freeze", "alice")
    funded("account", "close", "bob")

    frozen, closed = funded("transfer", "alice", "bank", "5"), funded("transfer", "bank", "bob", "5")

    assert (frozen.code, closed.code) == (Exit.REFUSED, Exit.REFUSED)
    assert "account 'alice' is frozen" in frozen.err
    assert "hint: ledgerctl account unfreeze alice" in frozen.err
    assert "account 'bob' is closed" in closed.err


def test_a_key_is_free_again_after_a_refusal(funded: Command) -> None:
    args = ("transfer", "bob", "alice", "5", "-i", "k-1")
    assert funded(*args).code == Exit.REFUSED

    funded("transfer", "bank", "bob", "5")

    assert funded(*args).code == Exit.DONE


def test_a_replay_stays_one_after_a_freeze(funded: Command) -> None:
    args = ("-o", "json", "transfer", "alice", "bob", "5", "-i", "k-1")
    funded(*args)
    funded("account", "freeze", "alice")

    assert json.loads(funded(*args).out)["status"] == "replayed"


def test_a_limit_above_is_kept(funded: Command) -> None:
    funded("account", "create", "small", "--currency", "EUR", "--max-balance", "5")

    done = funded("transfer", "alice", "small", "5.01")

    assert done.code == Exit.REFUSED
    assert "'small' would exceed its max_balance of 5.00 EUR (it would hold 5.01 EUR)" in done.err


def test_a_dry_run_shows_the_effect_and_leaves_nothing(funded: Command, books_as_they_are: Look) -> None:
    args = ("-o", "json", "transfer", "alice", "bob", "5", "-i", "k-1")
    before = books_as_they_are()

    rehearsed = json.loads(funded(*args, "--dry-run").out)
    assert books_as_they_are() == before
    posted = json.loads(funded(*args).out)

    assert rehearsed["dry_run"] is True
    assert "dry_run" not in posted
    assert (rehearsed["entries"], rehearsed["status"]) == (posted["entries"], "posted")
    assert funded("transfer", "alice", "bob", "500", "-n").code == Exit.REFUSED


def test_a_wrong_option_of_the_answer_is_refused_before_the_money_moves(
    funded: Command, books_as_they_are: Look
) -> None:
    before = books_as_they_are()

    for option in (("--fields", "nosuch"), ("--out", "nosuch/answer")):
        assert funded("transfer", "alice", "bob", "5", *option).code == Exit.USAGE

    assert books_as_they_are() == before


@pytest.mark.parametrize("field", ["account", "balance"])
@pytest.mark.parametrize("format_", ["table", "json", "jsonl", "csv"])
def test_a_field_that_is_listed_can_be_asked_for_in_every_format(funded: Command, format_: str, field: str) -> None:
    assert funded("-o", format_, "transfer", "alice", "bob", "5", "--fields", field).code == Exit.DONE


@pytest.mark.parametrize("value", ["-q", "-old stock", "--debug", "-o", "-lost"])
def test_the_value_of_an_option_is_not_taken_for_a_global_option(funded: Command, value: str) -> None:
    funded("transfer", "alice", "bob", "5", "-i", "k-1", "--description", value)

    assert json.loads(funded("-o", "json", "transaction", "show", "k-1").out)["description"] == value


@pytest.mark.parametrize(
    "args", [("--description", "caf\udce9"), ("--reference", "\udce9"), ("-i", "\udce9"), ("--metadata", "a=\udce9")]
)
def test_bytes_that_are_not_utf_8_are_a_bad_text(funded: Command, args: tuple[str, ...]) -> None:
    done = funded("transfer", "alice", "bob", "5", *args)

    assert done.code == Exit.USAGE
    assert "code: BAD_TEXT" in done.err


def test_a_transfer_as_a_table(funded: Command, recorded: Callable[[str, str], None]) -> None:
    recorded("transfer", funded("transfer", "alice", "bob", "5", "-i", "k-1").out)
