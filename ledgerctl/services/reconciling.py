"""Reconcile the books against themselves: every check in one snapshot, the run kept with its findings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ledgerctl.db import audit, checks
from ledgerctl.db.checks import Finding
from ledgerctl.db.connection import Connection
from ledgerctl.services.books import Books
from ledgerctl.services.import_job import Progress


@dataclass(frozen=True, slots=True)
class Reconciliation:
    checked: dict[str, int]
    findings: list[Finding]
    started_at: datetime

    @property
    def status(self) -> str:
        return "differences" if self.findings else "clean"


def run(books: Books, progress: Progress) -> Reconciliation:
    """Check everything. Findings are a result, not an error: the caller says how loud they are."""
    result = books.database.snapshot(_check, books.ledger, progress)
    books.database.transact(_record, books, result)
    return result


def _check(conn: Connection, ledger: int, progress: Progress) -> Reconciliation:
    counts = checks.count(conn, ledger)
    findings: list[Finding] = []
    for done, name in enumerate(checks.CHECKS, 1):
        findings += checks.run(conn, ledger, name)
        progress(done, len(checks.CHECKS), len(findings))
    checked = {"accounts": counts.accounts, "transactions": counts.transactions, "entries": counts.entries}
    return Reconciliation(checked, findings, counts.started_at)


def _record(conn: Connection, books: Books, result: Reconciliation) -> None:
    run_id = checks.record(conn, books.ledger, books.actor, result.started_at, result.checked, result.findings)
    detail = {"findings": len(result.findings), **result.checked}
    audit.log(
        conn, books.ledger, books.actor, books.request_id, [audit.Line("reconcile", str(run_id), result.status, detail)]
    )
