"""Examine a ledger and all that it stands on, as an operator would by hand. Changes nothing and starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from ledgerctl.config import Redis
from ledgerctl.db import embedded
from ledgerctl.db.connection import Connection, Database
from ledgerctl.db.embedded_install import failed
from ledgerctl.errors import (
    BadConfig,
    DatabaseUnavailable,
    EmbeddedFailed,
    LedgerError,
    NotConfigured,
    PermissionDenied,
)
from ledgerctl.services import examining_books as books
from ledgerctl.services import examining_directory as directory
from ledgerctl.services import examining_redis as redis
from ledgerctl.services import examining_server as server
from ledgerctl.services.examining_server import About
from ledgerctl.services.findings import Finding, Health, Verdict, problem, skipped, warning

Check = Callable[[Connection, About], list[Verdict]]

STAGES: tuple[dict[str, Check], ...] = (
    {"connection": server.connection},
    {
        "encryption": server.encryption,
        "server": server.version,
        "durability": server.durability,
        "server-log": server.server_log,
        "clock": server.clock,
        "wraparound": server.wraparound,
        "collation": server.collation,
        "sessions": server.sessions,
        "locks": server.locks,
        "schema": books.schema,
    },
    {"role": books.role, "rights": books.rights, "guards": books.guards, "ledger": books.ledger},
    {
        "posting-times": books.posting_times,
        "balances": books.balances,
        "totals": books.totals,
        "reconciliation": books.reconciliation,
        "imports": books.imports,
        "balance-cache": redis.balances,
    },
)
"""In the order in which they are shown. What a stage looks at last, the stages after it cannot do without."""

_UNREACHED = "see that the server runs, and that database.url is right: ledgerctl config show --origin"


@dataclass(frozen=True, slots=True)
class Examination:
    findings: list[Finding]
    failure: LedgerError | None = None
    """Why the database could not be asked."""


def run(database: Database | None, ledger: str, cache: Redis, run_id: str) -> Examination:
    """Findings are a result, not an error. None for a database that nothing names; `run_id` as of `About`."""
    if database is None:
        return Examination(list(_skipped("no ledger is configured")), NotConfigured())
    idle_s = (database.settings.idle_timeout_ms or 60_000) / 1000
    about = About(ledger, database.directory is not None, idle_s, cache, run_id)
    if database.directory is None:
        return _of_database(database.attached(), about)
    try:
        attached = database.attached()
        status = embedded.status(database.directory)
        if not status.version:
            raise failed(status.directory, "was never created", hint="run ledgerctl init")
    except EmbeddedFailed as failure:
        findings = [Finding("embedded", *problem(str(failure), failure.advice)), *_skipped("there is no server")]
        return Examination(findings, failure)

    findings = directory.examine(status.directory, status)
    if not status.running:  # starting it is for the operator to decide
        return Examination([*findings, *_skipped("the embedded server is not running")])
    examined = _of_database(attached, about)
    return Examination([*findings, *examined.findings], examined.failure)


def _of_database(database: Database, about: About) -> Examination:
    findings: list[Finding] = []
    failure: LedgerError | None = None
    lost = ""
    with closing(database):
        for stage in STAGES:
            for name, check in stage.items():
                try:
                    verdicts = [skipped(lost)] if lost else database.look(check, about)
                except (DatabaseUnavailable, BadConfig) as error:
                    failure, lost = error, "the database cannot be reached"
                    verdicts = [problem(error.details["detail"], _UNREACHED)]
                except PermissionDenied as error:
                    verdicts = [_denied(name, error)]
                except LedgerError as error:
                    verdicts = [warning(f"could not be examined: {error}", error.advice or "ledgerctl db roles")]
                findings += _named(name, verdicts)
            lost = lost or ("" if findings[-1].status is Health.OK else f"needs {findings[-1].check}")
    return Examination(findings, failure)


def _denied(name: str, error: PermissionDenied) -> Verdict:
    """Which schema there is, every role of ours may see; the rest is not for everybody."""
    if name == "schema":
        return problem(str(error), "GRANT ledger_app TO this login; ledgerctl db roles makes the role, as a superuser")
    return skipped(str(error), "GRANT ledger_ro TO this login, if it is to see it")


def _skipped(why: str) -> Iterator[Finding]:
    for stage in STAGES:
        for name in stage:
            yield from _named(name, [skipped(why)])


def _named(name: str, verdicts: Iterable[Verdict]) -> Iterator[Finding]:
    return (Finding(name, *verdict) for verdict in verdicts)
