"""Reconcile the books against themselves, all in one snapshot: what is new, or everything.

An incremental run verifies what was written since the accounts' checkpoints. A full one goes through all entries and
transactions as well: what was verified before must not have changed. Only where it has, every check is made of all, to
say where. A clean run moves the checkpoints on; one with findings leaves them: the next run finds them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ledgerctl.core import fingerprint
from ledgerctl.core.findings import Finding
from ledgerctl.db import audit, checkpoints, checks, contents, digests, reconciliations, scopes
from ledgerctl.db.checkpoints import Moved
from ledgerctl.db.connection import Connection
from ledgerctl.db.digests import Digest
from ledgerctl.db.scopes import Scope
from ledgerctl.services.books import Books
from ledgerctl.services.import_job import Progress

_MANY = 10_000
"""Of fewer new entries each is looked up by key: that takes a second, and what was verified is left alone."""


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
    return books.database.transact_in_snapshot(_run, books, progress, full, accept)


class _Seen(NamedTuple):
    """What was found; what is verified from now on if that is nothing; and what was looked at."""

    findings: list[Finding]
    verified: Mapping[str, Digest]
    looked_at: Mapping[str, Digest]


def _run(conn: Connection, books: Books, progress: Progress, full: bool, accept: str | None) -> Reconciliation:
    started_at = reconciliations.begin(conn, reconciliations.of_books(books.ledger), f"ledger '{books.name}'")
    scopes.everything(books.ledger).settle(conn)
    verified = {} if accept is not None else digests.stored(conn, books.ledger)
    moved = checkpoints.moved(conn, books.ledger)

    if not verified:
        seen = _everything(conn, books.ledger, progress)
    else:
        seen = _new(conn, books.ledger, verified, moved, progress)
        if full:
            seen = _all_again(conn, books.ledger, seen, progress)

    if not seen.findings:
        checkpoints.advance(conn, books.ledger, moved)
        digests.keep(conn, books.ledger, seen.verified)
    mode = "full" if full or not verified else "incremental"
    checked = {
        "accounts": seen.verified["accounts"].rows,
        "transactions": seen.looked_at["transactions"].rows,
        "entries": seen.looked_at["entries"].rows,
    }
    run = reconciliations.Run(reconciliations.new_id(conn), mode, started_at, checked, seen.findings)
    reconciliations.record(conn, books.ledger, books.actor, run)
    result = Reconciliation(run.id, mode, checked, seen.findings)
    _log(conn, books, result, accept)
    return result


def _everything(conn: Connection, ledger: int, progress: Progress) -> _Seen:
    """Every check of everything, as if nothing had ever been verified."""
    scope = scopes.everything(ledger)
    findings = _inspect(conn, scope, progress)
    found = {**digests.of_scope(conn, scope), "accounts": digests.of_accounts(conn, ledger)}
    return _Seen(findings, found, found)


def _new(
    conn: Connection, ledger: int, verified: Mapping[str, Digest], moved: Sequence[Moved], progress: Progress
) -> _Seen:
    """Every check of what is new, and whether the accounts that were there before are what they were.

    Much that is new is looked for in everything: what was verified is then checked again, and still not summed.
    """
    scope = scopes.since(ledger, moved)
    much = _is_much(sum(one.entries for one in moved), verified["entries"].rows)
    findings = _inspect(conn, scopes.everything(ledger) if much else scope, progress)
    scope.settle(conn)
    new_accounts = [one.account_id for one in moved if one.is_new]
    added = {**digests.of_scope(conn, scope), "accounts": digests.of_accounts(conn, ledger, new_accounts)}
    expected = {part: verified[part].plus(one) for part, one in added.items()}
    scopes.everything(ledger).settle(conn)
    findings += _changed(conn, ledger, {"accounts": digests.of_all_accounts(conn, ledger)}, expected)
    return _Seen(findings, expected, added)


def _is_much(new: int, verified: int) -> bool:
    """Whether all entries are looked at in less time than the new ones are looked up, at four times the cost each."""
    return new > _MANY and 4 * new > new + verified


def _all_again(conn: Connection, ledger: int, seen: _Seen, progress: Progress) -> _Seen:
    """Whether everything is what was verified. Only if something is wrong, every check of everything, to say where."""
    found = digests.of_everything(conn, ledger)
    findings = seen.findings + _changed(conn, ledger, found, seen.verified)
    if findings:
        findings += _inspect(conn, scopes.everything(ledger), progress)
    return seen._replace(looked_at=found, findings=list(dict.fromkeys(findings)))


def _inspect(conn: Connection, scope: Scope, progress: Progress) -> list[Finding]:
    """Every check: of all accounts, and of the scope's entries and transactions. Leaves the scope's plans in force."""
    findings: list[Finding] = []
    total, done = len(checks.CHECKS) + 1, 0
    others = [name for name in checks.CHECKS if name not in checks.OF_ACCOUNTS]
    for names, looked_at in ((checks.OF_ACCOUNTS, scopes.everything(scope.ledger)), (others, scope)):
        looked_at.settle(conn)
        for name in names:
            findings += checks.run(conn, looked_at, name)
            done += 1
            progress(done, total, len(findings))
    findings += _altered(conn, scope)
    progress(total, total, len(findings))
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


def _changed(
    conn: Connection, ledger: int, found: Mapping[str, Digest], verified: Mapping[str, Digest]
) -> list[Finding]:
    """What is no longer as it was verified: the row, where it can be told, or else the part of the books."""
    findings = []
    for part, now in found.items():
        before = verified[part]
        if now.rows != before.rows:
            findings.append(Finding("unchanged", part, f"{before.rows} {part}", f"{now.rows} {part}"))
        elif now.total != before.total:
            which = digests.which(conn, ledger, part, before)
            findings.append(Finding("unchanged", which or part, "as it was verified", "changed since"))
    return findings


def _log(conn: Connection, books: Books, result: Reconciliation, accept: str | None) -> None:
    detail = {"mode": result.mode, "findings": len(result.findings), **result.checked}
    if accept is not None:
        detail["accepted"] = accept
    line = audit.Line("reconcile", str(result.id), result.status, detail)
    audit.log(conn, books.ledger, books.actor, books.request_id, [line])
