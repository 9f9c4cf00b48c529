"""ledgerctl reverse, and the questions that dangerous commands ask on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect  # type: ignore[import-untyped]  # it brings no types
import pytest

from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]
Look = Callable[[], dict[str, Any]]


def test_a_reversal_is_the_opposite_and_linked(funded: Command) -> None:
    original = json.loads(funded("-o", "json", "transfer", "alice", "bob", "5", "-i", "order-1").out)

    done = funded("-o", "json", "reverse", "order-1", "-i", "refund-1", "--reason", "Cold coffee")

    shape = json.loads(done.out)
    assert (done.code, shape["status"], shape["kind"]) == (Exit.DONE, "posted", "reversal")
    assert shape["reverses"] == original["transaction_id"]
    assert [(entry["account"], entry["debit"], entry["credit"]) for entry in shape["entries"]] == [
        ("bob", "5.00", None),
        ("alice", None, "5.00"),
    ]
    shown = json.loads(funded("-o", "json", "transaction", "show", "order-1").out)
    assert shown["reversed_by"] == shape["transaction_id"]
    assert json.loads(funded("-o", "json", "transaction", "show", "refund-1").out)["description"] == "Cold coffee"


def test_a_reversal_is_replayed_under_its_key_and_refused_under_another(funded: Command) -> None:
    funded("transfer", "alice", "bob", "5", "-i", "order-1")
    first = json.loads(funded("-o", "json", "reverse", "order-1", "-i", "refund-1").out)

    again = json.loads(funded("-o", "json", "reverse", "order-1", "-i", "refund-1").out)
    other = funded("reverse", "order-1", "-i", "refund-2")

    assert again == {**first, "status": "replayed"}
    assert other.code == Exit.CONFLICT
    assert f"was already reversed by {first['transaction_id']}" in other.err


def test_a_part_is_reversed_once(funded: Command) -> None:
    funded("transfer", "alice", "bob", "5", "-i", "order-1")

    part = json.loads(funded("-o", "json", "reverse", "order-1", "--amount", "2", "-i", "refund-1").out)

    assert part["entries"][0]["debit"] == "2.00"
    assert funded("reverse", "order-1", "--amount", "3").code == Exit.CONFLICT


@pytest.mark.parametrize(
    ("amount", "exit_code", "code"),
    [
        ("5.01", Exit.REFUSED, "PARTIAL_REVERSAL"),
        ("0", Exit.USAGE, "BAD_AMOUNT"),
        ("-1", Exit.USAGE, "BAD_AMOUNT"),
        ("1e0", Exit.USAGE, "BAD_AMOUNT"),
        ("0.001", Exit.USAGE, "TOO_MANY_DECIMALS"),
        ("1 EUR", Exit.USAGE, "BAD_AMOUNT"),
    ],
)
def test_a_part_that_cannot_be_is_refused(funded: Command, amount: str, exit_code: Exit, code: str) -> None:
    funded("transfer", "alice", "bob", "5", "-i", "order-1")

    done = funded("reverse", "order-1", "--amount", amount)

    assert done.code == exit_code
    assert f"code: {code}" in done.err


def test_an_empty_amount_does_not_reverse_the_whole(funded: Command, books_as_they_are: Look) -> None:
    """`--amount "$PART"` with PART unset."""
    before = books_as_they_are()

    done = funded("reverse", "deposit", "--amount", "")

    assert done.code == Exit.USAGE
    assert books_as_they_are() == before


def test_a_reversal_is_not_reversed(funded: Command) -> None:
    funded("reverse", "deposit", "-i", "refund-1")

    done = funded("reverse", "refund-1")

    assert done.code == Exit.REFUSED
    assert "code: REVERSAL_OF_REVERSAL" in done.err


def test_money_that_was_spent_is_not_taken_back(funded: Command) -> None:
    funded("transfer", "alice", "bob", "60")

    done = funded("reverse", "deposit")

    assert done.code == Exit.REFUSED
    assert "insufficient funds in 'alice' (available 40.00 EUR, needed 100.00 EUR)" in done.err


@pytest.mark.parametrize("reference", ["nosuch", "01a20932-e7af-7d25-a92e-ef9db1eca84b", "x" * 5000])
def test_a_transaction_that_is_not_there_is_not_found(funded: Command, reference: str) -> None:
    done = funded("reverse", reference)

    assert done.code == Exit.NOT_FOUND
    assert "code: TRANSACTION_NOT_FOUND" in done.err


def test_a_dry_run_asks_nothing_and_leaves_nothing(funded: Command, books_as_they_are: Look) -> None:
    before = books_as_they_are()

    assert json.loads(funded("-o", "json", "reverse", "deposit", "-n").out)["dry_run"] is True

    assert books_as_they_are() == before


# -- questions ------------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(funded: Command, surroundings: dict[str, str], directory: Path) -> Callable[..., tuple[int, str]]:
    """Runs the command line on a terminal and answers what it asks: the exit code, and all that was seen."""

    def run(*args: str, answers: tuple[tuple[str, str], ...] = ()) -> tuple[int, str]:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "ledgerctl", *args],
            cwd=str(directory),
            env={**os.environ, **surroundings, "NO_COLOR": "1"},
            encoding="utf-8",
            timeout=20,
        )
        seen = ""
        for question, answer in answers:
            child.expect_exact(question)
            seen += child.before + child.after
            child.send(answer)
        child.expect(pexpect.EOF)
        child.close()
        return child.exitstatus if child.exitstatus is not None else -child.signalstatus, seen + child.before

    return run


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_no_is_the_default_and_changes_nothing(
    terminal: Callable[..., tuple[int, str]], books_as_they_are: Look, answer: str
) -> None:
    before = books_as_they_are()

    code, seen = terminal("reverse", "deposit", answers=(("[y/N]", answer),))

    assert code == Exit.USAGE
    assert "(bank -100.00 EUR, alice 100.00 EUR)?" in seen
    assert "not done: the answer was no" in seen
    assert books_as_they_are() == before


def test_yes_reverses(terminal: Callable[..., tuple[int, str]]) -> None:
    code, seen = terminal("reverse", "deposit", "-i", "refund-1", answers=(("[y/N]", "y\n"),))

    assert code == Exit.DONE
    assert "\nposted " in seen


@pytest.mark.parametrize("option", ["--yes", "--no-input"])
def test_an_option_answers_for_the_operator(terminal: Callable[..., tuple[int, str]], option: str) -> None:
    code, seen = terminal("reverse", "deposit", option)

    assert code == Exit.DONE
    assert "[y/N]" not in seen


def test_ctrl_c_at_a_question_changes_nothing(
    terminal: Callable[..., tuple[int, str]], books_as_they_are: Look
) -> None:
    before = books_as_they_are()

    code, seen = terminal("account", "close", "bob", answers=(("Close account 'bob' for good? [y/N]", "\x03"),))

    assert code == Exit.INTERRUPTED
    assert "Traceback" not in seen
    assert books_as_they_are() == before


def test_off_a_terminal_nothing_is_asked(funded: Command, process: Command) -> None:
    done = process("reverse", "deposit", "-i", "refund-1", stdin="n\n")

    assert done.code == Exit.DONE
    assert "y/N" not in done.err


def test_an_import_from_a_terminal_says_what_it_wants_and_does_not_hang(
    terminal: Callable[..., tuple[int, str]],
) -> None:
    for command in (("import", "-"), ("post", "-"), ("account", "import", "-")):
        code, seen = terminal(*command)
        assert code == Exit.USAGE
        assert "standard input is a terminal" in seen


@pytest.fixture
def profile(directory: Path, shared_conninfo: str) -> tuple[str, ...]:
    """The options of a protected profile called prod."""
    (directory / "books.toml").write_text(
        f"[profiles.prod]\nprotected = true\n[profiles.prod.database]\nurl = {json.dumps(shared_conninfo)}\n"
    )
    return ("--config", "books.toml", "--profile", "prod")


def test_a_protected_profile_wants_its_name_off_a_terminal(
    funded: Command, profile: tuple[str, ...], books_as_they_are: Look
) -> None:
    before = books_as_they_are()

    for confirm in ((), ("--yes",), ("--confirm", "test"), ("--confirm", "")):
        done = funded(*profile, "reverse", "deposit", *confirm)
        assert done.code == Exit.USAGE
        assert "the profile 'prod' is protected" in done.err
        assert "hint: give --confirm prod" in done.err
        assert books_as_they_are() == before
    assert funded(*profile, "reverse", "deposit", "--confirm", "prod").code == Exit.DONE


def test_a_protected_profile_wants_its_name_typed_on_a_terminal(
    terminal: Callable[..., tuple[int, str]], profile: tuple[str, ...]
) -> None:
    code, seen = terminal(*profile, "reverse", "deposit", "--yes", answers=(("profile's name:", "y\n"),))
    assert code == Exit.USAGE
    assert "profile: prod" in seen

    code, _ = terminal(*profile, "reverse", "deposit", answers=(("profile's name:", "prod\n"),))
    assert code == Exit.DONE


def test_a_configuration_that_is_protected_without_a_profile_is_not_open(
    funded: Command, directory: Path, shared_conninfo: str, books_as_they_are: Look
) -> None:
    """There is no name to confirm: it must not pass for confirmed."""
    (directory / "books.toml").write_text(f"protected = true\n[database]\nurl = {json.dumps(shared_conninfo)}\n")
    before = books_as_they_are()

    assert funded("--config", "books.toml", "reverse", "deposit").code != Exit.DONE
    assert books_as_they_are() == before
