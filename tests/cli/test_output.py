"""What goes where and how: formats, global options, files, colour, streams that went away, and hostile text."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledgerctl import __version__
from ledgerctl.cli import output
from ledgerctl.errors import Exit, LedgerError
from tests.conftest import Run

Command = Callable[..., Run]
Look = Callable[[], dict[str, Any]]


# -- global options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [("-o", "json"), ("-ojson",), ("--output", "json"), ("--output=json",), ("-q", "-o", "json", "-v")]
)
def test_global_options_stand_before_or_after_the_command(funded: Command, options: tuple[str, ...]) -> None:
    expected = funded("-o", "json", "account", "show", "alice").out

    for args in (
        (*options, "account", "show", "alice"),
        ("account", *options, "show", "alice"),
        ("account", "show", *options, "alice"),
        ("account", "show", "alice", *options),
    ):
        assert funded(*args) == Run(Exit.DONE, expected, "")


def test_what_follows_two_dashes_is_no_option(funded: Command) -> None:
    done = funded("account", "show", "--", "-q")
    assert done.code == Exit.NOT_FOUND
    assert "there is no account '-q'" in done.err


@pytest.mark.parametrize(
    "args", [("-vvv", "balance"), ("balance", "-vvv"), ("balance", "-qv"), ("balance", "--version")]
)
def test_every_global_option_is_taken_after_the_command_too(run: Command, args: tuple[str, ...]) -> None:
    assert run(*args).code == Exit.DONE


def test_the_version(run: Command, process: Command) -> None:
    for done in (run("--version"), process("--version"), process("--version", "-q")):
        assert done == Run(Exit.DONE, f"ledgerctl {__version__}\n", "")


@pytest.mark.parametrize("args", [(), ("account",), ("transaction",), ("db",), ("imports",), ("ledger",), ("config",)])
def test_a_group_explains_itself(run: Command, args: tuple[str, ...]) -> None:
    done = run(*args)
    assert "Usage: " in done.out + done.err


def test_a_topic_that_is_none_is_a_wrong_argument(run: Command) -> None:
    assert run("help", "nosuch").code == Exit.USAGE
    assert run("help", "formats").code == Exit.DONE
    assert run("help").out.startswith("Usage: ")


# -- errors ---------------------------------------------------------------------------------------------------------

MISUSES = [
    ("nosuch",),
    ("account", "nosuch"),
    ("account", "show"),
    ("account", "show", "a", "b"),
    ("balance", "--nosuch"),
    ("--nosuch", "balance"),
    ("history", "a", "--limit", "x"),
    ("history", "a", "--limit"),
    ("--color", "bad", "balance"),
    ("balance", "--fields", "nosuch"),
]


@pytest.mark.parametrize("args", MISUSES, ids=" ".join)
@pytest.mark.parametrize("format_", ["json", "jsonl"])
def test_a_wrong_use_is_one_line_of_json_where_json_was_asked_for(
    run: Command, format_: str, args: tuple[str, ...]
) -> None:
    for done in (run("-o", format_, *args), run(*args, "-o", format_)):
        [line] = done.err.splitlines()
        error = json.loads(line)["error"]
        assert (done.code, done.out) == (Exit.USAGE, "")
        assert error.keys() == {"code", "message", "hint", "details", "exit_code"}
        assert (error["code"], error["exit_code"]) == ("USAGE", Exit.USAGE)
        assert error["message"]


@pytest.mark.parametrize("args", [*MISUSES, ("-o", "xml", "balance")], ids=" ".join)
def test_a_wrong_use_is_three_lines_for_people(run: Command, args: tuple[str, ...]) -> None:
    done = run(*args)

    error, code, hint = done.err.splitlines()
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert error.startswith("error: ")
    assert code == "code: USAGE"
    assert hint.startswith("hint: ")


def test_the_hint_of_a_wrong_use_is_a_command_that_can_be_run(process: Command) -> None:
    assert "hint: ledgerctl balance --help" in process("balance", "--nosuch").err


def test_a_traceback_asked_for_does_not_change_the_exit_code(process: Command) -> None:
    done = process("--debug", "account", "show", "nosuch")

    assert done.code == Exit.NOT_FOUND
    assert "Traceback" in done.err


def test_an_error_without_debug_is_no_traceback(process: Command) -> None:
    done = process("account", "show", "nosuch")

    assert done.code == Exit.NOT_FOUND
    assert "Traceback" not in done.err


# -- formats --------------------------------------------------------------------------------------------------------


def test_fields_are_chosen_and_ordered_in_every_format(funded: Command) -> None:
    args = ("account", "list", "--fields", "balance,code")

    assert funded(*args).out == "balance  code\n 100.00  alice\n 100.00  bank\n   0.00  bob\n"
    assert funded("-o", "csv", *args).out == "balance,code\n100.00,alice\n100.00,bank\n0.00,bob\n"
    assert funded("-o", "jsonl", *args).out.splitlines()[0] == '{"balance": "100.00", "code": "alice"}'
    assert json.loads(funded("-o", "json", *args).out)[2] == {"balance": "0.00", "code": "bob"}


def test_bare_values_come_without_a_header(funded: Command) -> None:
    for format_ in ("csv", "table"):
        done = funded("-o", format_, "account", "list", "--fields", "code", "--no-header")
        assert done.out.split() == ["alice", "bank", "bob"]


def test_an_unknown_field_is_a_wrong_argument_and_lists_those_there_are(funded: Command) -> None:
    for format_ in output.FORMATS:
        done = funded("-o", format_, "account", "list", "--fields", "code,nosuch")
        assert (done.code, done.out) == (Exit.USAGE, "")
        assert "there is no field 'nosuch' here; there are: code, name, type" in done.err


@pytest.mark.parametrize("command", [("config", "show"), ("transaction", "show", "deposit"), ("db", "status")])
@pytest.mark.parametrize("format_", ["json", "jsonl"])
def test_every_field_of_an_object_can_be_asked_for(funded: Command, command: tuple[str, ...], format_: str) -> None:
    shown = funded("-o", "json", *command)
    value = json.loads(shown.out)
    fields = list(value[0] if isinstance(value, list) else value)

    done = funded("-o", format_, *command, "--fields", fields[0])

    assert done.code == Exit.DONE


def test_text_is_quoted_in_csv(funded: Command) -> None:
    funded("transfer", "alice", "bob", "1", "--description", 'a "quoted", text\nof two lines')

    rows = list(csv.DictReader(io.StringIO(funded("-o", "csv", "history", "bob").out)))

    assert rows[0]["description"] == 'a "quoted", text\nof two lines'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_formulas_are_defused_on_demand_and_numbers_are_not(funded: Command, text: str) -> None:
    funded("account", "create", "below", "--currency", "EUR", "--min-balance", "none")
    funded("transfer", "below", "bob", "5", "--description", text)
    fields = ("--fields", "description,balance", "-o", "csv")

    def cells(*options: str) -> list[str]:
        return list(csv.reader(io.StringIO(funded("history", "below", *fields, *options).out)))[1]

    assert cells() == [text, "-5.00"]
    assert cells("--csv-safe") == [f"'{text}", "-5.00"]


HOSTILE = "a\u202eb\u200bc\U000e0041d"


def test_text_has_no_power_over_the_terminal(funded: Command) -> None:
    funded("transfer", "alice", "bob", "1", "-i", "k-1", "--description", f"x\ty\n{HOSTILE}")

    for args in (("history", "bob"), ("transaction", "show", "k-1")):
        shown = funded(*args).out
        assert "\\u202e" in shown
        assert not set(shown) & {"\t", "\u202e", "\u200b", "\U000e0041"}
    assert json.loads(funded("-o", "json", "transaction", "show", "k-1").out)["description"] == f"x\ty\n{HOSTILE}"


@pytest.mark.parametrize("text", ["\x1b[31mred", "\x9b31m", "a\rb", "a\x00b", "\x7f", "a\x08b"])
def test_control_characters_are_spelled_out(text: str) -> None:
    assert output.plain(text).isprintable()


def test_an_error_has_no_power_over_the_terminal(run: Command) -> None:
    for args in (("account", "show", "\x1b[31m"), ("--ledger", "\x1b[31m", "balance"), ("\x1b[31m",)):
        assert "\x1b" not in run(*args).err


# -- --out ----------------------------------------------------------------------------------------------------------


def test_an_answer_is_written_to_a_file_whole(funded: Command, directory: Path) -> None:
    (directory / "answer.json").write_text("old")

    done = funded("-o", "json", "account", "list", "--out", "answer.json")

    assert done == Run(Exit.DONE, "", "")
    assert [row["code"] for row in json.loads((directory / "answer.json").read_text())] == ["alice", "bank", "bob"]
    assert [path.name for path in directory.iterdir()] == ["answer.json"]


def test_a_file_keeps_what_it_was_when_the_answer_breaks_off(tmp_path: Path) -> None:
    (tmp_path / "answer.jsonl").write_text("old")

    def breaking_off() -> Iterator[dict[str, int]]:
        yield {"seq": 1}
        raise InterruptedError

    style = output.Style("jsonl", out=str(tmp_path / "answer.jsonl"))
    with pytest.raises((InterruptedError, LedgerError)):
        output.show(style, breaking_off(), ("seq",))

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("answer.jsonl", "old")]


@pytest.mark.parametrize("out", ["nosuch/answer.json", ".", "/"])
def test_a_file_that_cannot_be_written_is_a_wrong_argument(funded: Command, directory: Path, out: str) -> None:
    done = funded("account", "list", "--out", out)

    assert (done.code, done.out) == (Exit.USAGE, "")
    assert list(directory.iterdir()) == []


def test_a_device_is_written_to_and_not_replaced(funded: Command, directory: Path) -> None:
    """As root, a rename over /dev/null would take it away from the whole machine."""
    os.mkfifo(directory / "device")
    reader = os.open(directory / "device", os.O_RDONLY | os.O_NONBLOCK)

    funded("account", "list", "--out", "device")

    os.close(reader)
    assert (directory / "device").is_fifo()


def test_a_file_has_no_colour(funded: Command, directory: Path) -> None:
    funded("--color", "always", "account", "list", "--out", "answer.txt")

    assert "\x1b" not in (directory / "answer.txt").read_text()


# -- colour ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "environment", "colored"),
    [
        ((), {}, False),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"CLICOLOR_FORCE": "1"}, True),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
        (("--color", "always"), {}, True),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
        (("--color", "auto"), {"FORCE_COLOR": "1"}, True),
    ],
)
def test_colour_follows_the_flag_then_the_environment_then_the_terminal(
    funded: Command, options: tuple[str, ...], environment: dict[str, str], colored: bool
) -> None:
    quiet = {"NO_COLOR": None, "FORCE_COLOR": None, "CLICOLOR_FORCE": None, **environment}

    assert ("\x1b[" in funded(*options, "balance", **quiet).out) is colored
    assert ("\x1b[" in funded(*options, "account", "show", "nosuch", **quiet).err) is colored
    assert "\x1b[" not in funded(*options, "-o", "json", "balance", **quiet).out
    assert "\x1b[" not in funded(*options, "-o", "csv", "balance", **quiet).out


# -- streams --------------------------------------------------------------------------------------------------------


@pytest.fixture
def nobody_reads() -> Callable[[], int]:
    """A pipe whose reader went away."""

    def make() -> int:
        reading, writing = os.pipe()
        os.close(reading)
        return writing

    return make


def test_a_reader_that_goes_away_ends_a_long_read_quietly(
    funded: Command, directory: Path, surroundings: dict[str, str]
) -> None:
    (directory / "in.csv").write_text("from,to,amount,description\n" + f"bank,bob,0.01,{'x' * 200}\n" * 2000)
    assert funded("import", "in.csv").code == Exit.DONE

    for format_ in ("table", "jsonl"):
        child = subprocess.Popen(
            [sys.executable, "-m", "ledgerctl", "-o", format_, "history", "bob", "--all"],
            cwd=directory,
            env={**os.environ, **surroundings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert child.stdout is not None
        assert child.stdout.readline()
        child.stdout.close()
        assert child.stderr is not None
        with child.stderr:
            err = child.stderr.read()
        assert (child.wait(timeout=20), err) == (Exit.READER_GONE, b"")


@pytest.mark.parametrize("args", [("balance",), ("--help",), ("--version",), ("help", "csv"), ("account", "--help")])
def test_a_reader_that_is_gone_is_no_traceback(
    funded: Command, process: Command, nobody_reads: Callable[[], int], args: tuple[str, ...]
) -> None:
    done = process(*args, stdout=nobody_reads())

    assert done.code in (Exit.DONE, Exit.READER_GONE)
    assert done.err == ""


def test_a_reader_that_is_gone_makes_no_failure_of_a_committed_write(
    funded: Command, process: Command, nobody_reads: Callable[[], int]
) -> None:
    done = process("transfer", "alice", "bob", "5", "-i", "k-1", stdout=nobody_reads())

    assert funded("transaction", "show", "k-1").code == Exit.DONE
    assert (done.code, done.err) == (Exit.DONE, "")


@pytest.mark.parametrize("args", [("transfer", "alice", "bob", "5"), ("reverse", "deposit")])
def test_success_is_never_said_of_a_write_that_did_not_happen(
    funded: Command, process: Command, nobody_reads: Callable[[], int], books_as_they_are: Look, args: tuple[str, ...]
) -> None:
    """stderr is gone, and the key that was made could not be shown: posted or not, the exit code must be true."""
    before = books_as_they_are()

    done = process(*args, stderr=nobody_reads())

    assert (done.code == Exit.DONE) is (books_as_they_are() != before)


def test_an_import_that_finds_no_room_for_its_input_is_a_failure(
    funded: Command, directory: Path, surroundings: dict[str, str], books_as_they_are: Look
) -> None:
    before = books_as_they_are()

    done = subprocess.run(
        [sys.executable, "-m", "ledgerctl", "import", "-"],
        cwd=directory,
        env={**os.environ, **surroundings},
        input=b"from,to,amount\n" + b"bank,alice,1\n" * 5000,
        capture_output=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
    )

    assert books_as_they_are() == before
    assert done.returncode != Exit.DONE
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="wants a device that is always full")
def test_a_full_disk_is_said_in_words_and_makes_no_bug_of_a_committed_write(funded: Command, process: Command) -> None:
    with Path("/dev/full").open("wb") as full:
        done = process("transfer", "alice", "bob", "5", "-i", "k-1", stdout=full)

    assert funded("transaction", "show", "k-1").code == Exit.DONE
    assert "Traceback" not in done.err
    assert done.code != Exit.BUG


@pytest.mark.parametrize(("args", "closed"), [(("transfer", "alice", "bob", "5"), 1), (("reverse", "deposit"), 0)])
def test_a_closed_stream_is_no_traceback(
    funded: Command, directory: Path, surroundings: dict[str, str], args: tuple[str, ...], closed: int
) -> None:
    shell = 'exec "$@" >&-' if closed else 'exec "$@" <&-'
    done = subprocess.run(
        ["/bin/sh", "-c", shell, "sh", sys.executable, "-m", "ledgerctl", *args],
        cwd=directory,
        env={**os.environ, **surroundings},
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert b"Traceback" not in done.stderr
    assert done.returncode == Exit.DONE


def test_any_text_can_be_printed_whatever_the_locale(funded: Command, process: Command) -> None:
    funded("transfer", "alice", "bob", "1", "-i", "k-1", "--description", "Für Zoë €")

    for environment in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}):
        done = process("transaction", "show", "k-1", env=environment)
        assert "Traceback" not in done.err
        assert done.code == Exit.DONE


def test_quiet_leaves_errors_only(funded: Command) -> None:
    assert funded("-q", "transfer", "alice", "bob", "1").err == ""
    assert funded("-q", "account", "create", "alice", "--currency", "EUR", "--name", "Alice").err == ""
    assert funded("-q", "account", "list", "--limit", "1").err == ""
    assert funded("-q", "account", "show", "nosuch").err.startswith("error: ")
