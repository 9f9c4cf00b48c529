"""Where settings come from, and ledgerctl config show."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]
FILE = """
[database]
url = "postgresql://ledger:hidden@db.example/books"
[ledger]
name = "file"
actor = "file"
[output]
color = "never"
[profiles.prod]
protected = true
[profiles.prod.ledger]
name = "profile"
actor = "profile"
"""


@pytest.fixture
def show(in_process: Command, directory: Path) -> Callable[..., dict[str, tuple[object, str]]]:
    """Each setting with its value and its origin, beside the ledgerctl.toml of this file."""
    (directory / "ledgerctl.toml").write_text(FILE)

    def ask(*args: str, **environment: str) -> dict[str, tuple[object, str]]:
        done = in_process("-o", "json", *args, "config", "show", "--origin", **environment)
        assert done.code == Exit.DONE
        return {row["setting"]: (row["value"], row["origin"]) for row in json.loads(done.out)}

    return ask


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(
    show: Callable[..., dict[str, tuple[object, str]]], directory: Path
) -> None:
    file = str(directory / "ledgerctl.toml")

    assert show()["ledger.name"] == ("file", file)
    assert show(LEDGERCTL_LEDGER_NAME="env")["ledger.name"] == ("env", "environment")
    assert show("-l", "flag", LEDGERCTL_LEDGER_NAME="env")["ledger.name"] == ("flag", "flag")
    assert show()["database.lock_timeout_ms"] == (3000, "default")


def test_a_profile_stands_between_the_environment_and_the_file(
    show: Callable[..., dict[str, tuple[object, str]]], directory: Path
) -> None:
    file = str(directory / "ledgerctl.toml")

    for settings in (show("--profile", "prod"), show(LEDGERCTL_PROFILE="prod")):
        assert settings["ledger.name"][0] == "profile"
        assert str(settings["ledger.name"][1]).startswith(file)
        assert settings["protected"][0] is True
        assert settings["output.color"] == ("never", file)
        assert settings["profile"][0] == "prod"
    assert show("--profile", "prod", LEDGERCTL_LEDGER_NAME="env")["ledger.name"][0] == "env"
    assert show()["profile"] == ("", "of prod")


def test_a_profile_is_named_on_stderr(in_process: Command, directory: Path) -> None:
    (directory / "ledgerctl.toml").write_text(FILE)

    assert in_process("--profile", "prod", "config", "show").err == "profile: prod\n"
    assert in_process("-q", "--profile", "prod", "config", "show").err == ""
    assert in_process("config", "show").err == ""


def test_the_file_that_is_named_wins_over_the_one_that_lies_here(in_process: Command, directory: Path) -> None:
    (directory / "ledgerctl.toml").write_text(FILE)
    (directory / "other.toml").write_text('[ledger]\nname = "other"\n')

    out = in_process("--config", "other.toml", "-o", "json", "config", "show", "--origin").out

    assert {"setting": "ledger.name", "value": "other", "origin": str(directory / "other.toml")} in json.loads(out)
    assert "file" not in {row["value"] for row in json.loads(out)}


def test_the_users_file_is_read_where_there_is_none_here(in_process: Command, directory: Path) -> None:
    (directory / "xdg" / "ledgerctl").mkdir(parents=True)
    (directory / "xdg" / "ledgerctl" / "config.toml").write_text('[ledger]\nname = "mine"\n')

    assert "mine" in in_process("config", "show").out


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ledger:hidden@db.example/books",
        "postgresql://ledger:hid@den@db.example/books",
        "postgresql://ledger:hidden/hidden@db.example/books",
        "postgresql://ledger@db.example/books?password=hidden",
        "postgresql://ledger@db.example/books?sslmode=require&password=hidden&connect_timeout=3",
        "postgresql://:hidden@db.example/books",
        "host=db.example password=hidden user=ledger",
        "password = 'hid den' host=db.example",
        "host=db.example PASSWORD=hidden",
        "host=db.example sslpassword=hidden",
        "postgresql://ledger@db.example/books?sslpassword=hidden",
    ],
)
@pytest.mark.parametrize("format_", ["table", "json"])
def test_a_password_is_masked(in_process: Command, url: str, format_: str) -> None:
    out = in_process("-o", format_, "config", "show", LEDGERCTL_DATABASE_URL=url).out

    assert "hid" not in out
    assert "den" not in out
    assert "***" in out


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("LEDGERCTL_METRICS_PUSHGATEWAY", "http://me:hidden@gateway.example:9091"),
        ("LEDGERCTL_REDIS_URL", "rediss://:hidden@redis.example:6379/0"),
        ("LEDGERCTL_REDIS_URL", "redis://redis.example?password=hidden"),
    ],
)
def test_a_login_is_masked(in_process: Command, variable: str, url: str) -> None:
    out = in_process("config", "show", **{variable: url}).out

    assert "hidden" not in out
    assert f"{url.split(':', maxsplit=1)[0]}://***@" in out or "?***" in out


def test_a_url_without_a_password_is_shown_whole(in_process: Command) -> None:
    for url in ("postgresql://ledger@db.example:5432/books", "host=/run/db user=ledger", "embedded:data"):
        assert url in in_process("config", "show", LEDGERCTL_DATABASE_URL=url).out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[database", "ledgerctl.toml"),
        ("url = 1", "url"),
        ("[nosuch]\na = 1", "nosuch"),
        ("[database]\nnosuch = 1", "database.nosuch"),
        ("[database]\nconnect_timeout_s = 'x'", "database.connect_timeout_s"),
        ("[database]\nconnect_timeout_s = 0", "at least 1"),
        ("[database]\nprepare = 1", "database.prepare"),
        ("[database]\nurl = 1", "database.url"),
        ("[output]\nformat = 'xml'", "table, json, jsonl, csv"),
        ("database = 5", "database"),
        ("protected = 'yes'", "protected"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(
    in_process: Command, directory: Path, content: str, words: str
) -> None:
    (directory / "ledgerctl.toml").write_text(content)

    done = in_process("balance")

    assert done.code == Exit.BAD_CONFIG
    assert "code: BAD_CONFIG" in done.err
    assert words in done.err
    assert "ledgerctl.toml" in done.err


@pytest.mark.parametrize("content", ["profiles = 5", "[profiles]\nprod = 5"])
def test_profiles_that_are_none_are_a_wrong_configuration(in_process: Command, directory: Path, content: str) -> None:
    (directory / "ledgerctl.toml").write_text(content)

    assert in_process("--profile", "prod", "config", "show").code == Exit.BAD_CONFIG
    assert in_process("config", "show").code in (Exit.BAD_CONFIG, Exit.DONE)


def test_an_unknown_profile_is_a_wrong_configuration(in_process: Command, directory: Path) -> None:
    (directory / "ledgerctl.toml").write_text(FILE)

    assert in_process("--profile", "nosuch", "balance").code == Exit.BAD_CONFIG
    assert in_process("balance", LEDGERCTL_PROFILE="nosuch").code == Exit.BAD_CONFIG


def test_a_wrong_value_in_the_environment_is_a_wrong_configuration(in_process: Command) -> None:
    for name, value in (("DATABASE_CONNECT_TIMEOUT_S", "soon"), ("OUTPUT_FORMAT", "xml"), ("DATABASE_PREPARE", "x")):
        done = in_process("balance", **{f"LEDGERCTL_{name}": value})
        assert done.code == Exit.BAD_CONFIG
        assert "(environment)" in done.err


def test_the_format_can_come_from_the_environment_and_the_file(run: Command, directory: Path) -> None:
    assert run("balance", LEDGERCTL_OUTPUT_FORMAT="json").out == "[]\n"
    assert run("-o", "table", "balance", LEDGERCTL_OUTPUT_FORMAT="json").out == ""
    assert json.loads(run("account", "show", "x", LEDGERCTL_OUTPUT_FORMAT="json").err)["error"]["exit_code"] == 4
    (directory / "ledgerctl.toml").write_text('[output]\nformat = "json"\n')
    assert run("balance").out == "[]\n"
    assert json.loads(run("account", "show", "x").err)["error"]["exit_code"] == 4


def test_an_embedded_directory_is_relative_to_the_file_that_says_it(in_process: Command, directory: Path) -> None:
    (directory / "deep").mkdir()
    (directory / "deep" / "books.toml").write_text('[database]\nurl = "embedded:data"\n')

    out = in_process("--config", "deep/books.toml", "-o", "json", "db", "status").out

    status = json.loads(out)
    assert (status["directory"], status["running"]) == (str((directory / "deep" / "data").resolve()), False)
    assert sorted(path.name for path in (directory / "deep").iterdir()) == ["books.toml"]


def test_a_place_that_may_not_be_looked_into_is_no_configuration(in_process: Command) -> None:
    """HOME of another user, as sudo and cron leave it."""
    with patch("pathlib.Path.is_file", side_effect=PermissionError(13, "Permission denied")):
        assert in_process("balance").code == Exit.BAD_CONFIG


def test_a_user_without_a_home_is_no_bug(in_process: Command) -> None:
    with patch("pathlib.Path.home", side_effect=RuntimeError("Could not determine home directory.")):
        assert in_process("balance", XDG_CONFIG_HOME="").code == Exit.BAD_CONFIG


def test_a_setting_that_is_empty_on_the_command_line_is_refused(in_process: Command, directory: Path) -> None:
    """`--profile "$PROFILE"` with PROFILE unset must not be the default database."""
    (directory / "ledgerctl.toml").write_text(FILE)

    for option in ("--config", "--profile", "--ledger"):
        assert in_process(option, "", "config", "show").code in (Exit.USAGE, Exit.BAD_CONFIG)


def test_what_a_map_says_is_shown_and_what_it_leaves_open_is_not(in_process: Command, directory: Path) -> None:
    file = directory / "ledgerctl.toml"
    file.write_text("[import.maps.house]\nskip_lines = 1\n[statement.maps.wallet.only]\nState = ['DONE']\n")

    rows = json.loads(in_process("-o", "json", "config", "show", "--origin").out)

    assert [row for row in rows if ".maps." in row["setting"]] == [
        {"setting": "import.maps.house.skip_lines", "value": 1, "origin": str(file)},
        {"setting": "statement.maps.wallet.only", "value": {"State": ["DONE"]}, "origin": str(file)},
    ]
