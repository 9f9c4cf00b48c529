"""Every check finds the damage it is there for, planted by a superuser who switched the guards off."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ledgerctl.db import checks, scopes
from ledgerctl.db.connection import Connection
from ledgerctl.services import accounts, reconciling
from ledgerctl.services.books import Books
from tests import damage as damages
from tests.damage import DAMAGE, Scene, damage


@pytest.fixture
def scene(books: Books, conn: Connection) -> Scene:
    return damages.scene(books, conn)


def found(scene: Scene, check: str) -> list[tuple[str, str, str]]:
    return [
        (one.subject, one.expected, one.found)
        for one in checks.run(scene.conn, scopes.everything(scene.books.ledger), check)
    ]


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_found_and_located(scene: Scene, case: str) -> None:
    check, statements, expected = DAMAGE[case]

    damage(scene, *statements)

    subjects = [tuple(word.format_map(scene.names) for word in finding) for finding in expected]
    assert sorted(found(scene, check)) == sorted(subjects)


def test_every_check_is_tried() -> None:
    assert {check for check, _, _ in DAMAGE.values()} == set(checks.CHECKS)


def test_clean_books_give_no_finding(scene: Scene) -> None:
    assert [finding for check in checks.CHECKS for finding in found(scene, check)] == []


def test_damage_in_another_ledger_is_not_ours(scene: Scene) -> None:
    accounts.create_ledger(scene.books.database, "other", "tester", "request-1")
    damage(
        scene,
        "INSERT INTO accounts (ledger_id, code, type, currency, exponent, balance, seq)"
        " SELECT id, 'mallory', 'asset', 'EUR', 2, 7, 3 FROM ledgers WHERE name = 'other'",
        "INSERT INTO transactions (ledger_id, id, posted_at, fingerprint, kind, idempotency_key)"
        " SELECT id, '{none}', now(), decode(repeat('00', 32), 'hex'), 'transfer', 'k' FROM ledgers"
        " WHERE name = 'other'",
        "INSERT INTO transaction_entries (ledger_id, account_id, seq, transaction_id, amount, balance_after)"
        " SELECT id, 1000000, 5, '{first}', 7, 8 FROM ledgers WHERE name = 'other'",
    )

    assert [finding for check in checks.CHECKS for finding in found(scene, check)] == []


def test_only_so_many_findings_are_read(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "FINDINGS_MAX", 2)
    damage(scene, "UPDATE accounts SET balance = balance + 1")

    assert [subject for subject, _, _ in found(scene, "balance")] == ["account alice", "account bank"]


# -- a run of them all -----------------------------------------------------------------------------------------------


def last(conn: Connection, table: str, columns: str) -> tuple[Any, ...]:
    [row] = conn.execute(f"SELECT {columns} FROM {table} ORDER BY id DESC LIMIT 1".encode()).fetchall()
    return row


def run(scene: Scene) -> tuple[reconciling.Reconciliation, list[tuple[int, int, int]]]:
    steps: list[tuple[int, int, int]] = []
    step: Callable[[int, int, int], None] = lambda *at: steps.append(at)  # noqa: E731
    return reconciling.run(scene.books, step), steps


STEPS = len(checks.CHECKS) + 1
"""The last compares fingerprints."""
CHECKED = {"accounts": 3, "transactions": 3, "entries": 6}


def test_a_clean_run_is_kept_with_its_audit_line(scene: Scene) -> None:
    result, steps = run(scene)

    assert (result.status, result.findings, result.checked) == ("clean", [], CHECKED)
    assert steps == [(done, STEPS, 0) for done in range(1, STEPS + 1)]
    number, *kept = last(scene.conn, "reconciliations", "id, ledger_id, mode, status, checked, findings, actor")
    assert (number, kept) == (result.id, [scene.books.ledger, "full", "clean", CHECKED, [], "tester"])
    assert last(scene.conn, "audit_logs", "actor, action, subject, outcome, request_id, detail") == (
        *("tester", "reconcile", str(number), "clean", "request-1"),
        {"mode": "full", "findings": 0, **CHECKED},
    )


def test_a_run_with_differences_is_kept_with_its_findings(scene: Scene) -> None:
    damage(scene, "UPDATE accounts SET balance = 101, seq = 2 WHERE code = 'alice'")

    result, steps = run(scene)

    assert result.status == "differences"
    assert [(one.check, one.subject) for one in result.findings] == [
        ("balance", "account alice"),
        ("sequence", "account alice"),
    ]
    assert steps[-1] == (STEPS, STEPS, 2)
    number, status, findings = last(scene.conn, "reconciliations", "id, status, findings")
    assert (status, findings) == ("differences", json.loads(json.dumps([one._asdict() for one in result.findings])))
    assert last(scene.conn, "audit_logs", "action, subject, outcome, detail") == (
        *("reconcile", str(number), "differences"),
        {"mode": "full", "findings": 2, **CHECKED},
    )
