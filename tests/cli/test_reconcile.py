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
def posted(alone: Command) -> Command:
    """Books of their own with one transfer."""
    for code in ("bank", "alice"):
        alone("account", "create", code, "--currency", "EUR", "--min-balance", "none")
    alone("transfer", "bank", "alice", "100", "-i", "deposit")
    return alone


@pytest.fixture
def damaged(posted: Command, conninfo: str) -> Iterator[Command]:
    """And alice's balance was raised behind the ledger's back."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute("ALTER TABLE accounts DISABLE TRIGGER ALL")
        conn.execute("UPDATE accounts SET balance = balance + 1 WHERE code = 'alice'")
    yield posted


def test_clean_books_are_clean(funded: Command) -> None:
    for args, mode, new in (((), "full", True), ((), "incremental", False), (("--full",), "full", True)):
        done = funded("-o", "json", "reconcile", *args)
        assert (done.code, done.err) == (Exit.DONE, "")
        answer = json.loads(done.out)
        assert answer.pop("run_id").isdigit()
        assert answer == {
            "status": "clean",
            "mode": mode,
            "checked": {"accounts": 3, "transactions": 1 * new, "entries": 2 * new},
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
    assert error["details"]["findings"] == len(answer["findings"])


def test_findings_can_be_cut_to_fields_in_every_format(damaged: Command) -> None:
    for format_ in ("table", "csv", "json", "jsonl"):
        assert damaged("-o", format_, "reconcile", "--fields", "check,subject").code == Exit.DIFFERENCES


def test_a_dead_database_is_not_a_difference(run: Command) -> None:
    done = run("reconcile", LEDGERCTL_DATABASE_URL="postgresql://ledger@127.0.0.1:1/books")
    assert done.code == Exit.UNAVAILABLE


def test_a_second_run_at_the_same_time_is_told_who_runs(posted: Command, conninfo: str) -> None:
    with psycopg.connect(conninfo, application_name="ledgerctl reconcile 7@night") as conn:
        [[mine]] = conn.execute("SELECT pg_try_advisory_xact_lock(1919248227, id) FROM ledgers").fetchall()
        assert mine
        done = posted("reconcile")
        assert done.code == Exit.TRY_AGAIN
        assert "is being reconciled already, by process" in done.err
        assert "(ledgerctl reconcile 7@night), idle in transaction, for" in done.err

        skipped = posted("reconcile", "--skip-if-locked")
        assert (skipped.code, skipped.out) == (Exit.DONE, "")
        assert "; skipped" in skipped.err
    assert posted("reconcile").code == Exit.DONE


def test_a_repair_is_accepted_with_its_reason(posted: Command, conninfo: str) -> None:
    assert posted("reconcile").code == Exit.DONE
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("ALTER TABLE accounts DISABLE TRIGGER ALL")
        conn.execute("UPDATE accounts SET name = 'Alice B.' WHERE code = 'alice'")
    found = posted("reconcile")
    assert found.code == Exit.DIFFERENCES
    assert "account alice" in found.out
    assert "changed since" in found.out

    assert posted("reconcile", "--accept", "she married, ticket 12").code == Exit.DONE
    assert posted("reconcile", "--full").code == Exit.DONE
