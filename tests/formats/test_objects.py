"""The public JSON shapes: these fields at least, amounts as strings at the currency's exponent, times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from ledgerctl.core.model import Kind, Line, Transaction
from ledgerctl.formats import objects

POSTED = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
EFFECTIVE = datetime(2026, 1, 31, 1, 0, tzinfo=timezone(timedelta(hours=1)))
LINES = (Line("bank", "EUR", 2, 3, -1250, 10_000), Line("alice", "EUR", 2, 9, 1250, 5))


def stored(kind: Kind = Kind.TRANSFER, reverses: UUID | None = None) -> Transaction:
    return Transaction(
        UUID(int=1), kind, "k-1", POSTED, EFFECTIVE, "Rent", None, {"order": "7"}, reverses, None, None, LINES
    )


def test_a_posted_transaction() -> None:
    assert objects.posted(stored(), "posted") == {
        "transaction_id": "00000000-0000-0000-0000-000000000001",
        "status": "posted",
        "kind": "transfer",
        "idempotency_key": "k-1",
        "posted_at": "2026-01-31T12:00:00.250000Z",
        "entries": [
            {"account": "bank", "debit": "12.50", "credit": None, "currency": "EUR", "balance": "100.00"},
            {"account": "alice", "debit": None, "credit": "12.50", "currency": "EUR", "balance": "0.05"},
        ],
    }


def test_a_posted_reversal_names_what_it_reverses() -> None:
    assert objects.posted(stored(Kind.REVERSAL, UUID(int=2)), "replayed")["reverses"] == str(UUID(int=2))


def test_a_shown_transaction() -> None:
    shape = objects.transaction(stored())

    assert "status" not in shape
    assert set(shape) == {
        "transaction_id", "kind", "idempotency_key", "posted_at", "entries", "description", "reference",
        "effective_at", "metadata", "reverses", "reversed_by", "import_id",
    }  # fmt: skip
    assert shape["effective_at"] == "2026-01-31T00:00:00Z"
    assert shape["metadata"] == {"order": "7"}
    assert (shape["reference"], shape["reversed_by"], shape["import_id"]) == (None, None, None)


ACCOUNT = {
    "code": "customers:alice", "name": None, "type": "liability", "currency": "KWD", "exponent": 3, "status": "active",
    "balance": Decimal("1.5"), "min_balance": Decimal(0), "max_balance": None, "seq": 7, "created_at": POSTED,
    "metadata": None,
}  # fmt: skip


def test_an_account() -> None:
    assert objects.account(ACCOUNT) == {
        "code": "customers:alice",
        "name": None,
        "type": "liability",
        "currency": "KWD",
        "status": "active",
        "balance": "1.500",
        "min_balance": "0.000",
        "max_balance": None,
        "seq": 7,
        "created_at": "2026-01-31T12:00:00.250000Z",
        "metadata": {},
    }


@pytest.mark.parametrize(
    ("exponent", "balance", "text"),
    [
        (0, "5", "5"),
        (2, "0", "0.00"),
        (2, "-1E+3", "-1000.00"),
        (2, "999999999999999999999999999999.99", "999999999999999999999999999999.99"),
        (18, "1", "1." + "0" * 18),
    ],
)
def test_amounts_are_strings_at_the_exponent(exponent: int, balance: str, text: str) -> None:
    assert objects.account({**ACCOUNT, "exponent": exponent, "balance": Decimal(balance)})["balance"] == text


def test_a_history_entry() -> None:
    row = {
        "seq": 1, "transaction_id": UUID(int=1), "kind": "transfer", "posted_at": POSTED, "effective_at": EFFECTIVE,
        "debit": None, "credit": Decimal("12.5"), "balance": Decimal("12.5"), "currency": "EUR", "exponent": 2,
        "counterparties": ["bank"], "description": None, "reference": "inv-7", "idempotency_key": "k-1",
    }  # fmt: skip

    assert objects.history_entry(row) == {
        "seq": 1,
        "transaction_id": str(UUID(int=1)),
        "kind": "transfer",
        "posted_at": "2026-01-31T12:00:00.250000Z",
        "effective_at": "2026-01-31T00:00:00Z",
        "debit": None,
        "credit": "12.50",
        "balance": "12.50",
        "currency": "EUR",
        "counterparties": ["bank"],
        "description": None,
        "reference": "inv-7",
        "idempotency_key": "k-1",
    }


def test_a_receipt() -> None:
    row = {
        "id": 12, "file": "a.csv", "sha256": bytes(32), "rows": 3, "posted": 3, "replayed": 0, "rejected": 0,
        "totals": {"EUR": "6.00"}, "status": "complete", "rejects_file": None, "actor": "cron", "started_at": POSTED,
        "finished_at": POSTED + timedelta(seconds=1.5), "reversed_at": None,
    }  # fmt: skip

    assert objects.receipt(row) == {
        "import_id": "12",
        "file": "a.csv",
        "sha256": "0" * 64,
        "rows": 3,
        "posted": 3,
        "replayed": 0,
        "rejected": 0,
        "totals": {"EUR": "6.00"},
        "status": "complete",
        "rejects_file": None,
        "actor": "cron",
        "started_at": "2026-01-31T12:00:00.250000Z",
        "finished_at": "2026-01-31T12:00:01.750000Z",
        "duration_s": 1.5,
        "reversed_at": None,
    }
