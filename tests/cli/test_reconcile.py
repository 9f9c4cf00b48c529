"""ledgerctl reconcile: loud when something is wrong, silent when nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]


@pytest.fixture
def damaged(alone: Command, conninfo: str) -> Iterator[Command]:
    """Books of their own where alice's balance was raised behind the ledger's back."""
    for code in ("bank", "alice"):
        alone("account", "create", code, "--currency", "EUR", "--min-balance", "none")
    alone("transfer", "bank", "alice", "100", "-i", "deposit")
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute("ALTER TABLE accounts DISABLE TRIGGER ALL")
        conn.execute("UPDATE accounts SET balance = balance + 1 WHERE code = 'alice'")
    yield alone


def test_clean_books_are_clean(funded: Command) -> None:
    for args in ((), ("--full",)):
        done = funded("-o", "json", "reconcile", *args)
        assert (done.code, done.err) == (Exit.DONE, "")
        assert json.loads(done.out) == {
            "status": "clean",
            "checked": {"accounts": 3, "transactions": 1, "entries": 2},
            "findings": [],
        }


def test_an_empty_ledger_is_clean(run: Command) -> None:
    assert json.loads(run("-o", "json", "reconcile").out)["status"] == "clean"


def test_clean_books_are_silent_in_cron(funded: Command) -> None:
    """Off a terminal, without -o: cron mails whatever is printed."""
    assert funded("reconcile") == Run(Exit.DONE, "", "")


def test_clean_books_are_silent_when_asked_to_be_quiet(funded: Command) -> None:
    assert funded("-q", "reconcile") == Run(Exit.DONE, "", "")


def test_differences_are_loud_even_when_quiet(damaged: Command) -> None:
    for args in (("reconcile",), ("-q", "reconcile")):
        done = damaged(*args)
        assert done.code == Exit.DIFFERENCES
        assert "account alice" in done.out
        assert "code: DIFFERENCES" in done.err


def test_a_difference_is_located(damaged: Command) -> None:
    done = damaged("-o", "json", "reconcile")

    answer: dict[str, Any] = json.loads(done.out)
    error = json.loads(done.err)["error"]
    assert answer["status"] == "differences"
    [finding] = [one for one in answer["findings"] if one["check"] == "balance"]
    assert finding["subject"] == "account alice"
    assert (Decimal(finding["expected"]), Decimal(finding["found"])) == (Decimal(100), Decimal(101))
    assert (error["code"], error["exit_code"]) == ("DIFFERENCES", Exit.DIFFERENCES)
    assert error["details"] == {"findings": len(answer["findings"])}


def test_findings_can_be_cut_to_fields_in_every_format(damaged: Command) -> None:
    for format_ in ("table", "csv", "json", "jsonl"):
        assert damaged("-o", format_, "reconcile", "--fields", "check,subject").code == Exit.DIFFERENCES


def test_a_dead_database_is_not_a_difference(run: Command) -> None:
    done = run("reconcile", LEDGERCTL_DATABASE_URL="postgresql://ledger@127.0.0.1:1/books")
    assert done.code == Exit.UNAVAILABLE
