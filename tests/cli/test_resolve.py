"""Transfers that were killed, cut off or interrupted, and what `resolve` says of them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledgerctl.core.model import NewAccount
from ledgerctl.db.connection import Connection
from ledgerctl.errors import Exit
from ledgerctl.services import accounts
from ledgerctl.services.books import Books
from tests.conftest import Run

Command = Callable[..., Run]
PATIENCE_S = 30
ORPHANS_STAY = "ALTER DATABASE {} SET client_connection_check_interval = 0"
"""Else the server ends a session a second after its client is gone, before a slow machine has seen it."""


class Ledger:
    """The command line against a ledger of its own, with `bank` and `alice` in it."""

    def __init__(self, run: Command, conninfo: str, directory: Path, conn: Connection) -> None:
        self.run, self.conninfo, self.directory, self.conn = run, conninfo, directory, conn

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "LEDGERCTL_DATABASE_URL": self.conninfo,
            "XDG_STATE_HOME": str(self.directory / ".state"),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "ledgerctl", *args],
            env=environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def lose(self, locked: Connection) -> None:
        """Kill a transfer with the key `lost` while it waits for alice, and let her go."""
        child = self.start("transfer", "bank", "alice", "5", "-i", "lost")
        until(self.waiting)
        child.kill()
        child.communicate()
        locked.rollback()

    def kept(self) -> list[Path]:
        place = self.directory / ".state" / "ledgerctl" / "pending"
        return sorted(place.glob("*.json")) if place.exists() else []

    def resolve(self, *args: str) -> tuple[int, dict[str, str]]:
        done = self.run("-o", "json", "resolve", *args)
        return done.code, {one["idempotency_key"]: one["status"] for one in json.loads(done.out)}

    def posted(self) -> set[str]:
        return {key for (key,) in self.conn.execute("SELECT idempotency_key FROM transactions").fetchall()}

    def waiting(self) -> bool:
        rows = self.conn.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'ledgerctl%' AND wait_event_type = 'Lock'"
        )
        return rows.fetchone() != (0,)


@pytest.fixture
def ledger(ledgerctl: Command, books: Books, conninfo: str, directory: Path, conn: Connection) -> Ledger:
    codes = (("bank", "asset"), ("alice", "liability"))
    accounts.create(books, [NewAccount(code, type_, "EUR", 2, None, None, None, None) for code, type_ in codes])
    return Ledger(ledgerctl, conninfo, directory, conn)


@pytest.fixture
def locked(ledger: Ledger) -> Iterator[Connection]:
    """Somebody else holds alice until the transaction is ended."""
    with psycopg.connect(ledger.conninfo) as holder:
        holder.execute("SELECT FROM accounts WHERE code = 'alice' FOR UPDATE")
        yield holder
        holder.rollback()


def until(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def slow_commits(conn: Connection) -> None:
    """Whatever writes an audit line stands still inside its COMMIT until advisory lock 1 is free; it is held here."""
    conn.execute(
        "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$"
    )
    conn.execute(
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON audit_logs DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION at_commit()"
    )
    conn.execute("SELECT pg_advisory_lock(1)")


def test_whatever_ends_in_an_answer_leaves_nothing(ledger: Ledger) -> None:
    assert ledger.run("transfer", "bank", "alice", "5", "-i", "good").code == Exit.DONE
    assert ledger.run("transfer", "bank", "alice", "5", "-i", "good").code == Exit.DONE
    assert ledger.run("transfer", "bank", "alice", "6", "-i", "good").code == Exit.CONFLICT
    assert ledger.run("transfer", "bank", "nobody", "5").code == Exit.NOT_FOUND
    assert ledger.run("reverse", "good", "-i", "undo").code == Exit.DONE
    assert ledger.run("transfer", "bank", "alice", "5", "--dry-run").code == Exit.DONE

    assert ledger.kept() == []
    done = ledger.run("resolve")
    assert (done.code, done.err) == (Exit.DONE, "every request has a known outcome\n")
    assert ledger.resolve() == (Exit.DONE, {})


@pytest.mark.parametrize(
    ("options", "code", "status", "posted"),
    [
        ([], Exit.OUTCOME_UNKNOWN, "not posted", set()),
        (["--post"], Exit.DONE, "posted now", {"lost"}),
        (["--drop"], Exit.DONE, "dropped", set()),
    ],
)
def test_what_was_killed_before_it_was_posted_stays_until_it_is_decided(
    ledger: Ledger, locked: Connection, options: list[str], code: Exit, status: str, posted: set[str]
) -> None:
    ledger.lose(locked)

    assert ledger.resolve(*options) == (code, {"lost": status})

    assert ledger.posted() == posted
    assert len(ledger.kept()) == (not options)


@pytest.mark.parametrize("command", [["transfer", "bank", "alice", "5"], ["reverse", "first"]])
def test_what_was_killed_inside_its_commit_is_found_posted(ledger: Ledger, command: list[str]) -> None:
    """And resolve waits for the orphan, which holds the accounts."""
    ledger.run("transfer", "bank", "alice", "9", "-i", "first")
    slow_commits(ledger.conn)
    ledger.conn.execute(ORPHANS_STAY.format(ledger.conn.info.dbname))
    child = ledger.start(*command, "-i", "lost")
    until(ledger.waiting)
    child.kill()
    child.communicate()
    resolving = ledger.start("-o", "json", "resolve")
    until(lambda: ledger.conn.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ).fetchone() == (2,))  # fmt: skip
    ledger.conn.execute("SELECT pg_advisory_unlock(1)")

    out, _ = resolving.communicate()

    [answer] = json.loads(out)
    assert (resolving.returncode, answer["idempotency_key"], answer["status"]) == (Exit.DONE, "lost", "posted")
    assert (
        answer["transaction_id"]
        == json.loads(ledger.run("-o", "json", "transaction", "show", "lost").out)["transaction_id"]
    )
    assert ledger.kept() == []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)])
def test_an_interrupt_before_the_commit_is_known_to_have_posted_nothing(
    ledger: Ledger, locked: Connection, sent: signal.Signals, code: Exit
) -> None:
    child = ledger.start("transfer", "bank", "alice", "5", "-i", "lost")
    until(ledger.waiting)
    child.send_signal(sent)
    child.communicate()

    locked.rollback()

    assert child.returncode == code
    assert ledger.kept() == []
    assert ledger.posted() == set()


def test_an_interrupt_inside_the_commit_says_how_to_learn_the_outcome(ledger: Ledger) -> None:
    slow_commits(ledger.conn)
    child = ledger.start("transfer", "bank", "alice", "5", "-i", "lost")
    until(ledger.waiting)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate()
    ledger.conn.execute("SELECT pg_advisory_unlock(1)")

    assert child.returncode == Exit.OUTCOME_UNKNOWN
    assert b"hint: ledgerctl resolve tells what became of the key 'lost'" in err
    code, found = ledger.resolve()
    assert (code, found) in [(0, {"lost": "posted"}), (76, {"lost": "not posted"})]
    assert ("lost" in ledger.posted()) == (found["lost"] == "posted")


def test_a_later_command_reminds_of_it(ledger: Ledger, locked: Connection) -> None:
    child = ledger.start("transfer", "bank", "alice", "5", "-i", "lost")
    until(ledger.waiting)
    assert ledger.resolve() == (Exit.OUTCOME_UNKNOWN, {"lost": "in progress"})
    child.kill()
    child.communicate()
    locked.rollback()

    done = ledger.run("transfer", "bank", "alice", "1")

    assert "1 earlier request has no known outcome: ledgerctl resolve" in done.err


def test_a_request_for_another_ledger_is_left_alone(ledger: Ledger, locked: Connection) -> None:
    ledger.lose(locked)
    [file] = ledger.kept()
    shape = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**shape, "ledger_created_at": "2026-01-31T00:00:00Z"}), encoding="utf-8")

    assert ledger.resolve("--post") == (Exit.OUTCOME_UNKNOWN, {"lost": "elsewhere"})

    file.write_text(json.dumps({**shape, "ledger": "other"}), encoding="utf-8")
    assert ledger.resolve("--drop") == (Exit.OUTCOME_UNKNOWN, {"lost": "elsewhere"})
    assert ledger.posted() == set()


def test_a_key_that_was_used_for_something_else_meanwhile_is_refused(ledger: Ledger, locked: Connection) -> None:
    ledger.lose(locked)
    ledger.run("transfer", "bank", "alice", "6", "-i", "lost")

    assert ledger.resolve("--post") == (Exit.DONE, {"lost": "key in use"})

    assert ledger.kept() == []
    assert "6.00" in ledger.run("balance", "alice").out


def test_what_is_refused_today_is_left_for_another_day(ledger: Ledger, locked: Connection) -> None:
    ledger.lose(locked)
    ledger.run("account", "freeze", "alice")
    assert ledger.resolve("--post") == (Exit.OUTCOME_UNKNOWN, {"lost": "refused"})

    ledger.run("account", "unfreeze", "alice")

    assert ledger.resolve("--post") == (Exit.DONE, {"lost": "posted now"})
    assert ledger.kept() == []


def test_nothing_is_sent_when_it_cannot_be_kept(ledger: Ledger) -> None:
    done = ledger.run("transfer", "bank", "alice", "5", LEDGERCTL_STATE_DIRECTORY="/dev/null/x")

    assert done.code == Exit.BAD_CONFIG
    assert "[state] directory" in done.err
    assert ledger.posted() == set()


def test_killed_at_any_moment_nobody_has_to_guess(ledger: Ledger, request: pytest.FixtureRequest) -> None:
    """Whoever saw no answer learns from resolve what was posted; and what resolve does not know was never sent."""
    moments = random.Random(1)
    answered: dict[str, bytes] = {}
    kills = 10 * request.config.getoption("--kills")
    began = time.monotonic()
    ledger.start("transfer", "bank", "alice", "1", "-i", "warm").communicate()
    usual_s = time.monotonic() - began
    for number in range(kills):
        key = f"k-{number}"
        child = ledger.start("transfer", "bank", "alice", "1", "-i", key)
        time.sleep(moments.uniform(0.2, 1.2) * usual_s)
        child.kill()
        out, _ = child.communicate()
        answered[key] = out

    _, found = ledger.resolve()

    posted = ledger.posted()
    for key, out in answered.items():
        if key in found:
            assert found[key] == ("posted" if key in posted else "not posted"), key
        else:
            assert (key in posted) == out.startswith(b"posted "), (key, out)
    ledger.resolve("--post")
    assert ledger.posted() == {"warm"} | found.keys() | {key for key, out in answered.items() if out}
