"""Every check finds the damage it is there for, planted by a superuser who switched the guards off."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from ledgerctl.core.model import Kind, Leg, NewAccount, Side
from ledgerctl.core.requesting import request
from ledgerctl.db import checks
from ledgerctl.db.connection import Connection
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments, reconciling
from ledgerctl.services.books import Books

TABLES = ("transactions", "transaction_entries", "accounts", "currencies")


@dataclass(frozen=True, slots=True)
class Scene:
    """bank lent alice 100 and bob 40; then 15 of bob's were reversed. `names` are for the words of damage and finding.

    Entries: bank -100, -40, +15; alice 100; bob 40, -15.
    """

    conn: Connection
    books: Books
    names: dict[str, str]


@pytest.fixture
def scene(books: Books, conn: Connection) -> Scene:
    zero = Decimal(0)
    new = [
        NewAccount("bank", "asset", "EUR", 2, None, None, None, None),
        NewAccount("alice", "liability", "EUR", 2, None, zero, Decimal(500), None),
        NewAccount("bob", "liability", "EUR", 2, None, zero, None, None),
    ]
    accounts.create(books, new)
    names = {"none": str(uuid7())}
    for name, to, amount in (("first", "alice", 100), ("second", "bob", 40)):
        legs = [
            Leg("bank", Side.DEBIT, Decimal(amount), "EUR"),
            Leg(to, Side.CREDIT, Decimal(amount), "EUR"),
        ]
        receipt = payments.post_one(books, request(uuid7(), name, Kind.TRANSFER, legs))
        names[name] = str(receipt.transaction.id)
    undone = payments.reverse(books, uuid7(), "undo", receipt.transaction.id, Decimal(15), None)
    names["undo"] = str(undone.transaction.id)
    names |= {code: str(number) for code, number in conn.execute("SELECT code, id FROM accounts")}
    return Scene(conn, books, names)


def damage(scene: Scene, *statements: str) -> None:
    for table in TABLES:
        scene.conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
    for statement in statements:
        scene.conn.execute(statement.format_map(scene.names).encode())


def found(scene: Scene, check: str) -> list[tuple[str, str, str]]:
    return [(one.subject, one.expected, one.found) for one in checks.run(scene.conn, scene.books.ledger, check)]


ENTRY = "UPDATE transaction_entries SET {} WHERE account_id = {{{}}} AND seq = {}"
NO_LIMIT = "ALTER TABLE accounts DROP CONSTRAINT {}"
NO_LINK = "ALTER TABLE transactions DROP CONSTRAINT transactions_reversal_link"
NO_AMOUNT = "ALTER TABLE transaction_entries DROP CONSTRAINT transaction_entries_amount"


def entry(change: str, account: str, seq: int) -> str:
    return ENTRY.format(change, account, seq)


DAMAGE: dict[str, tuple[str, list[str], list[tuple[str, str, str]]]] = {
    "an amount was changed": (
        "zero-sum",
        [entry("amount = 101", "alice", 1)],
        [("transaction {first} EUR", "0", "1.00")],
    ),
    "a leg was taken away": (
        "zero-sum",
        ["DELETE FROM transaction_entries WHERE account_id = {bob} AND seq = 1"],
        [("transaction {second} EUR", "0", "-40.00")],
    ),
    "a leg was moved to another currency": (
        "zero-sum",
        ["UPDATE accounts SET currency = 'USD' WHERE code = 'alice'"],
        [("transaction {first} EUR", "0", "-100.00"), ("transaction {first} USD", "0", "100.00")],
    ),
    "a balance was raised": (
        "balance",
        ["UPDATE accounts SET balance = 101 WHERE code = 'alice'"],
        [("account alice", "100.00", "101")],
    ),
    "a balance without entries": (
        "balance",
        ["DELETE FROM transaction_entries WHERE account_id = {alice}"],
        [("account alice", "0", "100.00")],
    ),
    "a balance_after was changed": (
        "running-balance",
        [entry("balance_after = 41", "bob", 1)],
        [
            ("account bob seq 1 transaction {second}", "40.00", "41"),
            ("account bob seq 2 transaction {undo}", "26.00", "25.00"),
        ],
    ),
    "a balance_after is no number": (
        "running-balance",
        [
            "ALTER TABLE transaction_entries DROP CONSTRAINT transaction_entries_balance",
            entry("balance_after = 'NaN'", "alice", 1),
        ],
        [("account alice seq 1 transaction {first}", "100.00", "NaN")],
    ),
    "a balance_after of an account that is gone": (
        "running-balance",
        [entry("balance_after = 41", "bob", 2), "DELETE FROM accounts WHERE code = 'bob'"],
        [("account {bob} seq 2 transaction {undo}", "25.00", "41")],
    ),
    "an entry in the middle is gone": (
        "sequence",
        ["DELETE FROM transaction_entries WHERE account_id = {bank} AND seq = 2"],
        [("account bank", "entries 1 to 3", "2 entries from 1 to 3")],
    ),
    "the first entry is gone": (
        "sequence",
        ["DELETE FROM transaction_entries WHERE account_id = {bob} AND seq = 1"],
        [("account bob", "entries 1 to 2", "1 entries from 2 to 2")],
    ),
    "every entry is gone": (
        "sequence",
        ["DELETE FROM transaction_entries WHERE account_id = {alice}"],
        [("account alice", "entries 1 to 1", "none")],
    ),
    "an account stayed behind": (
        "sequence",
        ["UPDATE accounts SET seq = 1 WHERE code = 'bob'"],
        [("account bob", "entries 1 to 1", "2 entries from 1 to 2")],
    ),
    "a balance above its maximum": (
        "limits",
        [NO_LIMIT.format("accounts_max_balance"), "UPDATE accounts SET balance = 501 WHERE code = 'alice'"],
        [("account alice", "0..500", "501")],
    ),
    "a balance below its minimum": (
        "limits",
        [NO_LIMIT.format("accounts_min_balance"), "UPDATE accounts SET balance = -1 WHERE code = 'bob'"],
        [("account bob", "0..", "-1")],
    ),
    "an asset below its minimum": (
        "limits",
        [NO_LIMIT.format("accounts_min_balance"), "UPDATE accounts SET min_balance = 126 WHERE code = 'bank'"],
        [("account bank", "126..", "125.00")],
    ),
    "closed with a balance": (
        "limits",
        [NO_LIMIT.format("accounts_closed_at_zero"), "UPDATE accounts SET status = 'closed' WHERE code = 'bob'"],
        [("account bob", "0..", "25.00")],
    ),
    "too many decimals": (
        "currency",
        [entry("amount = 100.001", "alice", 1)],
        [("account alice seq 1", "a finite amount with at most 2 decimals", "100.001")],
    ),
    "an amount of zero": (
        "currency",
        [NO_AMOUNT, entry("amount = 0", "alice", 1)],
        [("account alice seq 1", "a finite amount with at most 2 decimals", "0")],
    ),
    "an amount that is no number": (
        "currency",
        [NO_AMOUNT, entry("amount = 'NaN'", "bob", 2)],
        [("account bob seq 2", "a finite amount with at most 2 decimals", "NaN")],
    ),
    "an amount without end": (
        "currency",
        [NO_AMOUNT, entry("amount = '-Infinity'", "bob", 2)],
        [("account bob seq 2", "a finite amount with at most 2 decimals", "-Infinity")],
    ),
    "an exponent changed under an account": (
        "currency",
        ["UPDATE accounts SET exponent = 3 WHERE code = 'alice'"],
        [("account alice", "EUR with 2 decimals", "EUR with 3 decimals")],
    ),
    "a currency that the ledger does not have": (
        "currency",
        ["UPDATE accounts SET currency = 'XXZ' WHERE code = 'alice'"],
        [("account alice", "a currency of the ledger", "XXZ with 2 decimals")],
    ),
    "a receipt that is not there": (
        "receipts",
        ["UPDATE transactions SET import_id = 99 WHERE id = '{first}'"],
        [("transaction {first}", "import 99", "none")],
    ),
    "a reversal that lost its link": (
        "reversal-links",
        [NO_LINK, "UPDATE transactions SET reverses = NULL WHERE id = '{undo}'"],
        [("transaction {undo}", "the only reversal of a transaction", "reversal")],
    ),
    "two reversals of one transaction": (
        "reversal-links",
        [
            "DROP INDEX transactions_reversed_once",
            "UPDATE transactions SET kind = 'reversal', reverses = '{second}' WHERE id = '{first}'",
        ],
        [
            ("transaction {first}", "the only reversal of a transaction", "reversal of {second}"),
            ("transaction {undo}", "the only reversal of a transaction", "reversal of {second}"),
        ],
    ),
    "a transaction is gone": (
        "orphans",
        ["DELETE FROM transactions WHERE id = '{first}'"],
        [
            ("account {bank} seq 1", "transaction {first}", "none"),
            ("account {alice} seq 1", "transaction {first}", "none"),
        ],
    ),
    "an account is gone": (
        "orphans",
        ["DELETE FROM accounts WHERE code = 'alice'"],
        [("account {alice} seq 1", "account {alice}", "none")],
    ),
    "every leg is gone": (
        "empty-transactions",
        ["DELETE FROM transaction_entries WHERE transaction_id = '{first}'"],
        [("transaction {first}", "at least 2 entries", "0 entries")],
    ),
    "one leg is left": (
        "empty-transactions",
        ["DELETE FROM transaction_entries WHERE account_id = {alice}"],
        [("transaction {first}", "at least 2 entries", "1 entries")],
    ),
    "a reversal of another transaction": (
        "reversals",
        ["UPDATE transactions SET reverses = '{first}' WHERE id = '{undo}'"],
        [("transaction {undo}", "the opposite of {first}", "other accounts or amounts")],
    ),
    "a reversal of more than there was": (
        "reversals",
        [
            "UPDATE transaction_entries SET amount = sign(amount) * 41 WHERE transaction_id = '{undo}'",
        ],
        [("transaction {undo}", "the opposite of {second}", "other accounts or amounts")],
    ),
    "a reversal the same way round": (
        "reversals",
        ["UPDATE transaction_entries SET amount = -amount WHERE transaction_id = '{undo}'"],
        [("transaction {undo}", "the opposite of {second}", "other accounts or amounts")],
    ),
    "a reversal of nothing": (
        "reversals",
        ["UPDATE transactions SET reverses = '{none}' WHERE id = '{undo}'"],
        [("transaction {undo}", "the opposite of {none}", "no such transaction")],
    ),
    "a reversal of itself": (
        "reversals",
        ["UPDATE transactions SET reverses = id WHERE id = '{undo}'"],
        [("transaction {undo}", "the opposite of {undo}", "a reversal of a reversal")],
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_found_and_located(scene: Scene, case: str) -> None:
    check, statements, expected = DAMAGE[case]

    damage(scene, *statements)

    subjects = [tuple(word.format_map(scene.names) for word in finding) for finding in expected]
    assert sorted(found(scene, check)) == sorted(subjects)


def test_every_check_is_tried() -> None:
    assert {check for check, _, _ in DAMAGE.values()} == set(checks.CHECKS)


@pytest.mark.parametrize("check", checks.CHECKS)
def test_clean_books_give_no_finding(scene: Scene, check: str) -> None:
    assert found(scene, check) == []


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


CHECKED = {"accounts": 3, "transactions": 3, "entries": 6}


def test_a_clean_run_is_kept_with_its_audit_line(scene: Scene) -> None:
    result, steps = run(scene)

    assert (result.status, result.findings, result.checked) == ("clean", [], CHECKED)
    assert steps == [(done, len(checks.CHECKS), 0) for done in range(1, len(checks.CHECKS) + 1)]
    number, *kept = last(scene.conn, "reconciliations", "id, ledger_id, status, checked, findings, actor, started_at")
    assert kept == [scene.books.ledger, "clean", CHECKED, [], "tester", result.started_at]
    assert last(scene.conn, "audit_logs", "actor, action, subject, outcome, request_id, detail") == (
        *("tester", "reconcile", str(number), "clean", "request-1"),
        {"findings": 0, **CHECKED},
    )


def test_a_run_with_differences_is_kept_with_its_findings(scene: Scene) -> None:
    damage(scene, "UPDATE accounts SET balance = 101, seq = 2 WHERE code = 'alice'")

    result, steps = run(scene)

    assert result.status == "differences"
    assert [(one.check, one.subject) for one in result.findings] == [
        ("balance", "account alice"),
        ("sequence", "account alice"),
    ]
    assert steps[-1] == (len(checks.CHECKS), len(checks.CHECKS), 2)
    number, status, findings = last(scene.conn, "reconciliations", "id, status, findings")
    assert (status, findings) == ("differences", json.loads(json.dumps([one._asdict() for one in result.findings])))
    assert last(scene.conn, "audit_logs", "action, subject, outcome, detail") == (
        *("reconcile", str(number), "differences"),
        {"findings": 2, **CHECKED},
    )
