"""The public JSON objects, one function a shape, for the CLI and the API alike. Changes are additions only.

Amounts and balances are strings at the currency's exponent; times are RFC 3339 in UTC; ids are strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ledgerctl.core import money, times
from ledgerctl.core.model import Balance, Kind, Line, Transaction

Object = dict[str, Any]


def posted(transaction: Transaction, status: str) -> Object:
    """What `transfer`, `post` and `reverse` answer; `status` is `posted` or `replayed`."""
    shape: Object = {
        "transaction_id": str(transaction.id),
        "status": status,
        "kind": str(transaction.kind),
        "idempotency_key": transaction.idempotency_key,
        "posted_at": times.text(transaction.posted_at),
        "entries": [_entry(line) for line in transaction.lines],
    }
    if transaction.kind == Kind.REVERSAL:
        shape["reverses"] = str(transaction.reverses)
    return shape


def transaction(stored: Transaction) -> Object:
    """What `transaction show` answers."""
    shape = posted(stored, "")
    del shape["status"]
    return {
        **shape,
        "description": stored.description,
        "reference": stored.reference,
        "effective_at": times.text(stored.effective_at),
        "metadata": dict(stored.metadata or {}),
        "reverses": _id(stored.reverses),
        "reversed_by": _id(stored.reversed_by),
        "import_id": _id(stored.import_id),
    }


def account(row: Mapping[str, Any]) -> Object:
    exponent = row["exponent"]
    return {
        "code": row["code"],
        "name": row["name"],
        "type": row["type"],
        "currency": row["currency"],
        "status": row["status"],
        "balance": money.fixed(row["balance"], exponent),
        "min_balance": _amount(row["min_balance"], exponent),
        "max_balance": _amount(row["max_balance"], exponent),
        "seq": row["seq"],
        "created_at": times.text(row["created_at"]),
        "metadata": dict(row["metadata"] or {}),
    }


def balance(row: Mapping[str, Any], as_of: datetime) -> Object:
    """What `balance` answers of an account, or of the branch that a prefix names; as it is now, or was then."""
    name = {"prefix": row["prefix"]} if "prefix" in row else {"account": row["code"]}
    return {
        **name,
        "currency": row["currency"],
        "balance": money.fixed(row["balance"], row["exponent"]),
        "as_of": times.text(as_of),
        "seq": int(row["seq"]),
        "type": row["type"],
    }


def held(balance: Balance) -> Object:
    """As a row of the reports, for `balance`."""
    return {**balance._asdict(), "balance": money.decimal(balance.balance, balance.exponent)}


def history_entry(row: Mapping[str, Any]) -> Object:
    exponent = row["exponent"]
    return {
        "seq": row["seq"],
        "transaction_id": str(row["transaction_id"]),
        "kind": row["kind"],
        "posted_at": times.text(row["posted_at"]),
        "effective_at": times.text(row["effective_at"]),
        "debit": _amount(row["debit"], exponent),
        "credit": _amount(row["credit"], exponent),
        "balance": money.fixed(row["balance"], exponent),
        "currency": row["currency"],
        "counterparties": row["counterparties"],
        "description": row["description"],
        "reference": row["reference"],
        "idempotency_key": row["idempotency_key"],
    }


def receipt(row: Mapping[str, Any]) -> Object:
    """An import's receipt."""
    return {
        "import_id": _id(row["id"]),
        "file": row["file"],
        "sha256": bytes(row["sha256"]).hex(),
        "rows": row["rows"],
        "posted": row["posted"],
        "replayed": row["replayed"],
        "rejected": row["rejected"],
        "totals": row["totals"],
        "status": row["status"],
        "rejects_file": row["rejects_file"],
        "actor": row["actor"],
        "started_at": times.text(row["started_at"]),
        "finished_at": None if row["finished_at"] is None else times.text(row["finished_at"]),
        "duration_s": None if row["finished_at"] is None else _seconds(row["finished_at"] - row["started_at"]),
        "reversed_at": None if row["reversed_at"] is None else times.text(row["reversed_at"]),
    }


def _seconds(duration: timedelta) -> float:
    return round(duration.total_seconds(), 3)


def _entry(line: Line) -> Object:
    amount = money.text(abs(line.amount), line.exponent)
    return {
        "account": line.account,
        "debit": amount if line.amount < 0 else None,
        "credit": amount if line.amount > 0 else None,
        "currency": line.currency,
        "balance": money.text(line.balance, line.exponent),
    }


def _amount(value: Any, exponent: int) -> str | None:
    return None if value is None else money.fixed(value, exponent)


def _id(value: Any) -> str | None:
    return None if value is None else str(value)
