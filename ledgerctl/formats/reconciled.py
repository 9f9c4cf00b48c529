"""The public JSON objects of reconciliation. Amounts are strings at the currency's exponent, with the bank's sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from ledgerctl.core import money, times
from ledgerctl.formats.objects import Object

_CHECKED = ("accounts", "transactions", "statements", "lines", "entries")
_FINDING = ("check", "subject", "expected", "found")
_TOTALS = ("bank", "books", "open_lines", "open_entries", "unexplained")
_OPEN_ITEM = ("kind", "id", "on", "amount", "text")


def run(row: Mapping[str, Any]) -> Object:
    """A run as it was kept. One of an account against its bank has its totals and counts too."""
    shape = {
        "run_id": str(row["id"]),
        "status": row["status"],
        "mode": row["mode"],
        "account": row["account"],
        "checked": _in_order(row["checked"], _CHECKED),
        "findings": [_in_order(one, _FINDING) for one in row["findings"]],
        "actor": row["actor"],
        "started_at": times.text(row["started_at"]),
        "finished_at": times.text(row["finished_at"]),
    }
    return {**shape, **_of_account(row["detail"])} if row["detail"] else shape


def _of_account(detail: Mapping[str, Any]) -> Object:
    return {
        "currency": detail["currency"],
        "taken_in": _in_order(detail["taken_in"], ("statements", "lines", "known", "before")),
        "matched": dict(sorted(detail["matched"].items())),
        "totals": _in_order(detail["totals"], _TOTALS),
        "found": detail["found"],
        "open": _in_order(detail["open"], ("lines", "entries")),
        "oldest_open_on": detail["oldest_open_on"],
        "tells_until": detail["tells_until"],
        "open_items": [_in_order(one, _OPEN_ITEM) for one in detail["open_items"]],
    }


def _in_order(stored: Mapping[str, Any], names: Sequence[str]) -> Object:
    """The database keeps an object's members in an order of its own."""
    return {name: stored[name] for name in names if name in stored}


def match(row: Mapping[str, Any]) -> Object:
    exponent = row["exponent"]
    return {
        "match_id": str(row["id"]),
        "rule": row["rule"],
        "reason": row["reason"],
        "undone_at": None if row["undone_at"] is None else times.text(row["undone_at"]),
        "lines": [_part(line, exponent) for line in row["lines"]],
        "entries": [_part(entry, exponent) for entry in row["entries"]],
    }


def _part(part: Mapping[str, Any], exponent: int) -> Object:
    amounts = {name: money.fixed(Decimal(part[name]), exponent) for name in ("amount", "fee") if name in part}
    ids = {name: str(part[name]) for name in ("id", "transaction_id") if name in part}
    return {**part, **ids, **amounts}


def open_line(line: Any, exponent: int, currency: str, today: date) -> Object:
    """A line that no entry goes with; its `id` is what `reconcile match --line` takes."""
    return {
        "kind": "line",
        "id": str(line.id),
        "on": str(line.booked_on),
        "age_days": (today - line.booked_on).days,
        "amount": money.fixed(line.amount, exponent),
        "currency": currency,
        "reference": line.payment_references[0] if line.payment_references else None,
        "description": " ".join(text for text in (line.counterparty, line.description) if text) or None,
        "transaction_id": None,
    }


def open_entry(entry: Any, exponent: int, currency: str, today: date) -> Object:
    """An entry that the bank has not shown; its `id` is its seq, which `reconcile match --entry` takes."""
    return {
        "kind": "entry",
        "id": str(entry.seq),
        "on": str(entry.dated_on),
        "age_days": (today - entry.dated_on).days,
        "amount": money.fixed(entry.amount, exponent),
        "currency": currency,
        "reference": entry.reference,
        "description": entry.description or " ".join(entry.counterparties),
        "transaction_id": str(entry.transaction_id),
    }
