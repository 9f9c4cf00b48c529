"""ledgerctl init, and what happens where it was never run."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerctl.db.migrate import HEAD
from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]


@pytest.mark.parametrize(
    "args",
    [
        ("balance",),
        ("account", "list"),
        ("transfer", "a", "b", "1"),
        ("reconcile",),
        ("db", "status"),
        ("db", "start"),
        ("db", "upgrade"),
        ("ledger", "list"),
        ("history", "a"),
        ("import", "a.csv"),
    ],
)
def test_without_a_configuration_nothing_is_opened_and_nothing_is_made(
    in_process: Command, directory: Path, args: tuple[str, ...]
) -> None:
    done = in_process(*args)

    assert done.code == Exit.BAD_CONFIG
    assert done.out == ""
    assert "code: NOT_CONFIGURED" in done.err
    assert "run ledgerctl init" in done.err
    assert list(directory.iterdir()) == []


def test_a_configuration_that_is_named_and_not_there_is_an_error(in_process: Command, directory: Path) -> None:
    done = in_process("--config", "lost.toml", "balance")

    assert done.code == Exit.BAD_CONFIG
    assert "lost.toml" in done.err
    assert list(directory.iterdir()) == []


def test_init_makes_a_ledger_in_an_empty_database(in_process: Command, directory: Path, empty_conninfo: str) -> None:
    made = in_process("-o", "json", "init", "--database-url", empty_conninfo)

    assert made.code == Exit.DONE
    file = directory / "ledgerctl.toml"
    answer = json.loads(made.out)
    assert (answer["config"], answer["ledger"]) == (str(file), "main")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert in_process("balance") == Run(Exit.DONE, "", "")
    assert "password" not in made.out or "password=***" in made.out


def test_init_is_safe_to_repeat(in_process: Command, directory: Path, empty_conninfo: str) -> None:
    first = in_process("init", "--database-url", empty_conninfo)
    written = (directory / "ledgerctl.toml").read_bytes()
    assert in_process("account", "create", "bank", "--currency", "EUR").code == Exit.DONE

    for args in (("init",), ("init", "--database-url", empty_conninfo)):
        again = in_process(*args)
        assert (again.code, again.out) == (first.code, first.out)

    assert (directory / "ledgerctl.toml").read_bytes() == written
    assert in_process("account", "show", "bank").code == Exit.DONE


def test_init_creates_the_database_that_the_url_names(
    in_process: Command, server: str, directory: Path, empty_conninfo: str
) -> None:
    import psycopg
    from psycopg.conninfo import make_conninfo

    name = f"made_{os.getpid()}"
    try:
        done = in_process("init", "--database-url", make_conninfo(server, dbname=name))
        assert done.code == Exit.DONE
        assert in_process("db", "status", "--fields", "schema,needed", "--no-header").out.split() == [HEAD, HEAD]
    finally:
        with psycopg.connect(server, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_init_for_another_database_than_the_file_names_is_refused(in_process: Command, directory: Path) -> None:
    file = directory / "ledgerctl.toml"
    file.write_text('[database]\nurl = "postgresql://somewhere/else"\n')

    done = in_process("init", "--database-url", "postgresql://not/that")

    assert done.code == Exit.BAD_CONFIG
    assert "already names another database" in done.err
    assert file.read_text() == '[database]\nurl = "postgresql://somewhere/else"\n'


@pytest.mark.parametrize("url", ["postgresql://ledger@127.0.0.1:1/books", "host=/nonexistent dbname=books"])
def test_init_leaves_no_configuration_that_leads_nowhere(in_process: Command, directory: Path, url: str) -> None:
    done = in_process("init", "--database-url", url)

    assert done.code == Exit.UNAVAILABLE
    assert list(directory.iterdir()) == []


def test_a_url_that_is_none_is_a_wrong_configuration(in_process: Command, directory: Path) -> None:
    done = in_process("init", "--database-url", "nonsense")

    assert done.code in (Exit.BAD_CONFIG, Exit.USAGE)
    assert list(directory.iterdir()) == []


def test_an_empty_url_does_not_make_an_embedded_ledger(in_process: Command, directory: Path) -> None:
    """`init --database-url "$URL"` with URL unset must not open books somewhere else than meant."""
    from unittest.mock import patch

    with patch("ledgerctl.services.setup.create"):
        done = in_process("init", "--database-url", "")

    assert done.code == Exit.USAGE
    assert list(directory.iterdir()) == []


def test_init_where_no_file_can_be_written_says_so(in_process: Command) -> None:
    done = in_process("--config", "nosuch/ledgerctl.toml", "init", "--database-url", "postgresql://x/y")

    assert done.code in (Exit.BAD_CONFIG, Exit.USAGE)
    assert "nosuch/ledgerctl.toml" in done.err


def test_a_password_in_a_url_is_warned_about_and_not_shown(in_process: Command) -> None:
    done = in_process("init", "--database-url", "postgresql://ledger:hidden@127.0.0.1:1/books")

    assert "warning: a password in a URL is seen in the process list" in done.err
    assert "hidden" not in done.err + done.out


def test_a_url_without_a_password_is_not_warned_about(in_process: Command) -> None:
    for url in ("postgresql://ledger@127.0.0.1:1/books", "postgres://ledger@127.0.0.1:1/books"):
        assert "warning" not in in_process("init", "--database-url", url).err
