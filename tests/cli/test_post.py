"""ledgerctl post."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]
FEE = {
    "idempotency_key": "order-1",
    "description": "A payment with its fee",
    "entries": [
        {"account": "alice", "debit": "10.00", "currency": "EUR"},
        {"account": "bob", "credit": "9.70"},
        {"account": "fees", "credit": "0.30"},
    ],
}


@pytest.fixture
def paid(funded: Command, seed: Callable[..., None], directory: Path) -> Command:
    """`funded` with an account for fees and the file fee.json."""
    seed([{"code": "fees", "type": "income"}])
    (directory / "fee.json").write_text(json.dumps(FEE))
    return funded


def test_a_transaction_of_three_legs_is_posted_and_replayed(paid: Command) -> None:
    first, again = (json.loads(paid("-o", "json", "post", "fee.json").out) for _ in range(2))

    assert (first["status"], first["kind"], first["idempotency_key"]) == ("posted", "journal", "order-1")
    assert [(entry["account"], entry["debit"], entry["credit"], entry["balance"]) for entry in first["entries"]] == [
        ("alice", "10.00", None, "90.00"),
        ("bob", None, "9.70", "9.70"),
        ("fees", None, "0.30", "0.30"),
    ]
    assert again == {**first, "status": "replayed"}


def test_a_file_comes_from_standard_input(paid: Command) -> None:
    assert paid("post", "-", stdin=json.dumps(FEE)).code == Exit.DONE


def test_a_file_comes_from_a_pipe(paid: Command, directory: Path) -> None:
    os.mkfifo(directory / "pipe")
    writer = threading.Thread(target=(directory / "pipe").write_text, args=[json.dumps(FEE)])
    writer.start()

    done = paid("post", "pipe")

    writer.join()
    assert done.code == Exit.DONE


def test_a_dry_run_leaves_nothing(paid: Command, books_as_they_are: Callable[[], dict[str, Any]]) -> None:
    before = books_as_they_are()

    assert json.loads(paid("-o", "json", "post", "fee.json", "-n").out)["dry_run"] is True

    assert books_as_they_are() == before


def test_the_key_of_the_file_and_of_the_option_must_agree(paid: Command) -> None:
    assert paid("post", "fee.json", "-i", "other").code == Exit.USAGE
    assert paid("post", "fee.json", "-i", "order-1").code == Exit.DONE


@pytest.mark.parametrize(
    ("change", "exit_code", "code"),
    [
        ({"entries": []}, Exit.USAGE, "TOO_FEW_LEGS"),
        ({"entries": FEE["entries"][:1]}, Exit.USAGE, "TOO_FEW_LEGS"),
        ({"entries": FEE["entries"][:2]}, Exit.USAGE, "UNBALANCED"),
        ({"entries": [{"account": "alice", "debit": 10}]}, Exit.USAGE, "BAD_FILE"),
        ({"entries": [{"account": "alice", "debit": "1e1"}]}, Exit.USAGE, "BAD_AMOUNT"),
        ({"entries": [{"account": "alice", "debit": "1"}, {"account": "alice", "credit": "1"}]}, Exit.REFUSED,
         "SAME_ACCOUNT"),
        ({"entries": [{"account": "alice", "debit": "1"}, {"account": "nosuch", "credit": "1"}]}, Exit.NOT_FOUND,
         "ACCOUNT_NOT_FOUND"),
        ({"entries": [{"account": "alice", "debit": "1", "currency": "USD"}, {"account": "bob", "credit": "1"}]},
         Exit.REFUSED, "CURRENCY_MISMATCH"),
        ({"entries": [{"account": "alice", "debit": "500"}, {"account": "bob", "credit": "500"}]}, Exit.REFUSED,
         "INSUFFICIENT_FUNDS"),
        ({"entries": [{"account": "alice", "debit": "0.001"}, {"account": "bob", "credit": "0.001"}]}, Exit.USAGE,
         "TOO_MANY_DECIMALS"),
        ({"description": 7}, Exit.USAGE, "BAD_FILE"),
        ({"nosuch": "x"}, Exit.USAGE, "BAD_FILE"),
        ({"metadata": {str(n): "x" for n in range(51)}}, Exit.USAGE, "BAD_TEXT"),
        ({"effective_at": "31.01.2026"}, Exit.USAGE, "BAD_TIME"),
    ],
)  # fmt: skip
def test_what_cannot_be_posted_changes_nothing(
    paid: Command,
    directory: Path,
    books_as_they_are: Callable[[], dict[str, Any]],
    change: dict[str, Any],
    exit_code: Exit,
    code: str,
) -> None:
    (directory / "bad.json").write_text(json.dumps({**FEE, **change}))
    before = books_as_they_are()

    done = paid("-o", "json", "post", "bad.json")

    assert (done.code, done.out) == (exit_code, "")
    assert json.loads(done.err)["error"]["code"] == code
    assert books_as_they_are() == before


@pytest.mark.parametrize("file", ["nosuch.json", "."])
def test_a_missing_file_and_a_directory_are_bad_files(paid: Command, file: str) -> None:
    done = paid("post", file)

    assert done.code == Exit.USAGE
    assert "code: BAD_FILE" in done.err


def test_a_currency_with_a_nul_in_a_file_is_not_a_bug(paid: Command, directory: Path) -> None:
    entries = [{"account": "alice", "debit": "1", "currency": "\0"}, {"account": "bob", "credit": "1"}]
    (directory / "nul.json").write_text(json.dumps({"entries": entries}))

    assert paid("post", "nul.json").code in (Exit.USAGE, Exit.REFUSED)


def test_a_file_that_never_ends_is_too_large_and_not_read_whole(paid: Command) -> None:
    """/dev/zero, or the wrong file: what can never be a request must not fill the machine first."""
    done = paid("post", "/dev/zero")

    assert done.code == Exit.USAGE
    assert "it is larger than" in done.err
