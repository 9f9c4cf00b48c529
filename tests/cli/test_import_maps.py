"""ledgerctl import --map-name, --explain, and how a file is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]
MAPS = """
[import.maps.house]
delimiter = ";"
decimal = ","
encoding = "cp1250"
date = "%d.%m.%Y"
skip_lines = 1
[import.maps.house.map]
from = "payer:{Konto}"
amount = "Betrag"
key = "order-{Nr}"
effective_at = "Datum"
[import.maps.house.set]
to = "house"
currency = "EUR"
[import.maps.wrong]
encoding = "utf-16"
"""
CONTENT = "Export;\nNr;Konto;Betrag;Datum;Text\n1;a;1.234,50;31.01.2026;Miete Lu\u010d\u00e1n\n2;b;7;01.02.2026;\n"


@pytest.fixture
def house(run: Command, directory: Path) -> Command:
    """A ledger with the accounts, a configuration with maps, and the file in.csv."""
    (directory / "ledgerctl.toml").write_text(MAPS)
    (directory / "in.csv").write_bytes(CONTENT.encode("cp1250"))
    for code in ("payer:a", "payer:b", "house"):
        assert run("account", "create", code, "--currency", "EUR", "--min-balance", "none").code == Exit.DONE
    return run


def test_a_map_says_all_about_a_file(house: Command) -> None:
    done = house("-o", "json", "import", "in.csv", "--map-name", "house", "--map", "description=Text")

    assert done.code == Exit.DONE, done.err
    assert json.loads(done.out)["totals"] == {"EUR": "1241.50"}
    shown = json.loads(house("-o", "json", "transaction", "show", "order-1").out)
    assert (shown["description"], shown["effective_at"]) == ("Miete Lu\u010d\u00e1n", "2026-01-31T00:00:00Z")


def test_options_win_over_the_map_field_by_field(house: Command, directory: Path) -> None:
    (directory / "in.csv").write_text("Nr|Konto|Betrag\n1|a|5.50\n")

    done = house(
        "-o", "json", "import", "in.csv", "--map-name", "house", "--delimiter", "|", "--decimal", ".",
        "--skip-lines", "0",
        "--set", "effective_at=01.02.2026", "--map", "to=payer:b", "--map", "key={Nr}",
    )  # fmt: skip

    assert done.code == Exit.USAGE
    assert "no column 'payer:b'" in done.err
    done = house(
        "-o", "json", "import", "in.csv", "--map-name", "house", "--delimiter", "|", "--decimal", ".",
        "--skip-lines", "0",
        "--set", "effective_at=01.02.2026", "--set", "from=payer:b", "--map", "key={Nr}",
    )  # fmt: skip
    assert done.code == Exit.DONE, done.err
    assert json.loads(house("-o", "json", "balance", "payer:b").out)[0]["balance"] == "-5.50"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--map-name", "nix"], "there is no map 'nix'; there are: house, wrong"),
        (["--map-name", "wrong"], "import.maps.wrong.encoding: 'utf-16'"),
        (["--encoding", "utf-16"], "--encoding: 'utf-16'"),
        (["--date-format", "dd.mm"], "--date-format: 'dd.mm'"),
        (["--decimal", ";"], "--decimal: it must be . or ,"),
    ],
)
def test_what_cannot_be_used_is_a_wrong_argument(house: Command, options: list[str], words: str) -> None:
    for more in ([], ["--explain"]):
        done = house("import", "in.csv", *options, *more)

        assert done.code == Exit.USAGE
        assert words in done.err


def test_the_rejects_file_is_read_with_the_same_map(house: Command, directory: Path) -> None:
    (directory / "in.csv").write_bytes(CONTENT.replace("7;", "x;").encode("cp1250"))
    assert house("import", "in.csv", "--map-name", "house", "--skip-rejects").code == Exit.REFUSED
    rejects = directory / "in.csv.rejects.csv"
    rejects.write_bytes(rejects.read_bytes().replace(b";x;", b";7;"))

    done = house("-o", "json", "import", rejects.name, "--map-name", "house")

    assert done.code == Exit.DONE, done.err
    assert json.loads(done.out)["posted"] == 1


def explained(command: Command, *args: str) -> tuple[int, dict[str, Any]]:
    done = command("-o", "json", "import", "in.csv", "--explain", *args)
    return done.code, json.loads(done.out)


def test_explain_shows_where_each_field_comes_from_and_what_the_rows_say(house: Command) -> None:
    code, answer = explained(house, "--map-name", "house")

    assert code == Exit.DONE
    assert answer["fields"]["from"] == "template 'payer:{Konto}'"
    assert answer["fields"]["amount"] == "column 'Betrag'"
    assert answer["fields"]["to"] == "always 'house'"
    assert answer["fields"]["description"] == "not in the file"
    assert answer["rows"][0] == {
        "row": 1, "from": "payer:a", "to": "house", "amount": "1234.50", "currency": "EUR",
        "idempotency_key": "order-1",
        "description": None, "reference": None, "effective_at": "2026-01-31T00:00:00Z", "problem": None,
    }  # fmt: skip
    assert len(answer["rows"]) == 2
    assert json.loads(house("-o", "json", "imports", "list").out) == []


def test_explain_names_what_is_wrong_with_the_first_rows(house: Command, directory: Path) -> None:
    (directory / "in.csv").write_text("from,to,amount\na,b,1\na,b,1.000,50\na b,b,1\n")

    code, answer = explained(house)

    assert code == Exit.REFUSED
    assert answer["fields"]["idempotency_key"] == "derived from the file and the row"
    problems = [row["problem"] for row in answer["rows"]]
    assert problems[0] is None
    assert problems[1:] == [
        "it has 4 cells where the header has 3 [BAD_ROW]",
        "from: 'a b' is not an account code [BAD_ACCOUNT_CODE]",
    ]


def test_explain_needs_no_ledger(in_process: Command, directory: Path) -> None:
    (directory / "in.csv").write_text("from,to,amount\n" + "a,b,1\n" * 50)

    done = in_process("import", "in.csv", "--explain", LEDGERCTL_DATABASE_URL=None)

    assert done.code == Exit.DONE, done.err
    assert "column 'from'" in done.out
    assert done.out.count("f1:") == 10
