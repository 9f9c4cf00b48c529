"""Reconcile the books against themselves, all in one snapshot: what is new, or everything.

An incremental run verifies what was written since the accounts' checkpoints. A full one goes through all entries and
transactions as well: balances and transactions must add up, and what was verified before must not have changed. Only
when they do not, every check is made of everything, to say where. A clean run moves the checkpoints on; one with
findings leaves them, so that the next run finds them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ledgerctl import errors
from ledgerctl.core import fingerprint
from ledgerctl.db import audit, checkpoints, checks, contents, digests, reconciliations, scopes
from ledgerctl.db.checks import Finding
from ledgerctl.db.connection import Connection
from ledgerctl.db.digests import Digest
from ledgerctl.db.scopes import Scope
from ledgerctl.services.books import Books
from ledgerctl.services.import_job import Progress

_ENTRIES = ("standings", "entries")
"""Two sums over the same rows."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one run checked and found; `mode` is full or incremental."""

    id: int
    mode: str
    checked: Mapping[str, int]
    findings: list[Finding]

    @property
    def status(self) -> str:
        return "differences" if self.findings else "clean"


def run(books: Books, progress: Progress, *, full: bool = False, accept: str | None = None) -> Reconciliation:
    """Check what is new, or everything. Findings are a result, not an error: the caller says how loud they are.

    The first run is full. So is one with `accept`, the reason why something may have changed that was verified before.
    AlreadyRunning while somebody else reconciles this ledger.
    """
    database = books.database
    return database.transact_in_snapshot(database.import_limits, _run, books, progress, full, accept)


def _run(conn: Connection, books: Books, progress: Progress, full: bool, accept: str | None) -> Reconciliation:
    started_at = reconciliations.begin(conn, books.ledger)
    if started_at is None:
        raise errors.AlreadyRunning(ledger=books.name, **_running(conn, books))
    verified = {} if accept is not None else digests.stored(conn, books.ledger)
    moved = checkpoints.moved(conn, books.ledger)
    scope = scopes.since(books.ledger, moved) if verified else scopes.everything(books.ledger)

    findings = _inspect(conn, scope, progress)
    added = digests.of_scope(conn, scope)
    accounts = digests.of_accounts(conn, books.ledger)
    counted: Mapping[str, Digest] = added
    if verified:
        findings += _changed_accounts(conn, books.ledger, verified)
        if full:
            expected = {part: verified[part].plus(one) for part, one in added.items()}
            sums = digests.of_everything(conn, books.ledger)
            counted = sums.digests
            if not sums.agree or any(not _same(sums.digests[part], one) for part, one in expected.items()):
                findings = _located(conn, books.ledger, findings, expected, progress)

    mode = "full" if full or not verified else "incremental"
    checked = {
        "accounts": accounts.rows,
        "transactions": counted["transactions"].rows,
        "entries": counted["entries"].rows,
    }
    if not findings:
        checkpoints.advance(conn, books.ledger, moved)
        kept = {part: one.plus(verified[part]) if verified else one for part, one in added.items()}
        digests.keep(conn, books.ledger, {**kept, "accounts": accounts})
    run_id = reconciliations.record(conn, books.ledger, books.actor, mode, started_at, checked, findings)
    result = Reconciliation(run_id, mode, checked, findings)
    _log(conn, books, result, accept)
    return result


def _inspect(conn: Connection, scope: Scope, progress: Progress) -> list[Finding]:
    """Every check: of all accounts, and of the scope's entries and transactions."""
    findings: list[Finding] = []
    everything = scopes.everything(scope.ledger)
    for done, name in enumerate(checks.CHECKS):
        looked_at = everything if name in checks.OF_ACCOUNTS else scope
        looked_at.settle(conn)
        findings += checks.run(conn, looked_at, name)
        progress(done + 1, len(checks.CHECKS) + 1, len(findings))
    scope.settle(conn)
    findings += _altered(conn, scope)
    progress(len(checks.CHECKS) + 1, len(checks.CHECKS) + 1, len(findings))
    return findings


def _altered(conn: Connection, scope: Scope) -> list[Finding]:
    """The transactions that are not what their fingerprints were made of."""
    findings = []
    for content in contents.of_scope(conn, scope):
        if not fingerprint.fits(content.fingerprint, *content[2:]):
            found = content.fingerprint.hex()
            findings.append(Finding("fingerprint", f"transaction {content.id}", "that of what was asked for", found))
            if len(findings) == checks.FINDINGS_MAX:
                break
    return findings


def _located(
    conn: Connection, ledger: int, findings: list[Finding], expected: Mapping[str, Digest], progress: Progress
) -> list[Finding]:
    """Everything looked through, and what has changed since it was verified although nothing else says so."""
    everything = scopes.everything(ledger)
    found = list(dict.fromkeys([*findings, *_inspect(conn, everything, progress)]))
    now = digests.of_scope(conn, everything)
    if not all(_same(now[part], expected[part]) for part in _ENTRIES):
        found.append(_changed("entries", expected["entries"], now["entries"], None))
    if not _same(now["transactions"], expected["transactions"]):
        which = digests.which(conn, ledger, "transactions", expected["transactions"], now["transactions"])
        found.append(_changed("transactions", expected["transactions"], now["transactions"], which))
    return found


def _changed_accounts(conn: Connection, ledger: int, verified: Mapping[str, Digest]) -> list[Finding]:
    """Of the accounts that were there before: whether what never changes of an account has changed."""
    now = digests.of_accounts(conn, ledger, verified=True)
    if _same(now, verified["accounts"]):
        return []
    return [
        _changed(
            "accounts", verified["accounts"], now, digests.which(conn, ledger, "accounts", verified["accounts"], now)
        )
    ]


def _changed(what: str, expected: Digest, found: Digest, which: str | None) -> Finding:
    if found.rows != expected.rows:
        return Finding("unchanged", what, f"{expected.rows} {what}", f"{found.rows} {what}")
    return Finding("unchanged", which or what, "as it was verified", "changed since")


def _same(one: Digest, other: Digest) -> bool:
    return (one.rows, one.total) == (other.rows, other.total)


def _running(conn: Connection, books: Books) -> dict[str, object]:
    holder = reconciliations.running(conn, books.ledger)
    if holder is None:
        return {"who": "another session", "holder": None}
    since = "" if holder.seconds is None else f", for {holder.seconds:.0f} s"
    return {"who": f"process {holder.pid} ({holder.application or 'unnamed'}){since}", "holder": holder._asdict()}


def _log(conn: Connection, books: Books, result: Reconciliation, accept: str | None) -> None:
    detail = {"mode": result.mode, "findings": len(result.findings), **result.checked}
    if accept is not None:
        detail["accepted"] = accept
    line = audit.Line("reconcile", str(result.id), result.status, detail)
    audit.log(conn, books.ledger, books.actor, books.request_id, [line])
