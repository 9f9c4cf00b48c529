"""Are the books as this program keeps them: their schema, their guards, who works on them, and what they say?"""

from __future__ import annotations

import shlex

from ledgerctl.core import times
from ledgerctl.db import accounts, migrate, quick_checks, server
from ledgerctl.db.connection import Connection
from ledgerctl.services.examining_server import About
from ledgerctl.services.findings import Verdict, ok, problem, skipped, warning

SAMPLE = 1000
"""So many accounts that were posted to last, and as many others; more take longer, and `reconcile` sees them all."""
NAMED_MAX = 5
_RESTORED = "make it again as in a new ledger (pg_dump --schema-only shows it); find out who dropped it"
RECONCILED_S = 48 * 3600.0
"""A run a night, and one may fail."""


def schema(conn: Connection, _about: About) -> list[Verdict]:
    found = quick_checks.revision(conn)
    if found == migrate.HEAD:
        return [ok(f"revision {found}")]
    if found is not None and found > migrate.HEAD:
        remedy = "use the ledgerctl that made it, or a newer one"
        return [problem(f"revision {found}; this program knows it up to {migrate.HEAD}", remedy)]
    return [problem(f"revision {found or 'none'}; this program needs {migrate.HEAD}", "ledgerctl db upgrade")]


def role(conn: Connection, about: About) -> list[Verdict]:
    found, name = quick_checks.role(conn), server.condition(conn).role
    if about.embedded:
        return [ok(f"{name}, the only one of the embedded server")]
    remedy = "ledgerctl db roles; connect as a login of its own, with GRANT ledger_app TO it"
    if found.superuser:
        return [warning(f"{name} is a superuser, whom nothing is refused", remedy)]
    if found.owner:
        return [warning(f"{name} owns the tables, and can switch off their guards", remedy)]
    return [ok(name)]


def rights(conn: Connection, _about: About) -> list[Verdict]:
    lacking, name = quick_checks.lacking(conn), server.condition(conn).role
    if not lacking:
        return [ok("posting, importing and reconciling")]
    remedy = f"ledgerctl db roles, then GRANT ledger_app TO {name}"
    if all(f"INSERT ON {table}" in lacking for table in quick_checks.WRITTEN):
        return [skipped(f"{name} only reads", f"if it is to post: {remedy}")]
    return [problem(f"{name} lacks {_some(lacking)}", remedy)]


def guards(conn: Connection, _about: About) -> list[Verdict]:
    """What refuses damage, whoever writes."""
    remedy = "ledgerctl db upgrade; find out who changed it, and ledgerctl reconcile"
    wrong = [problem(_unguarded(one), remedy) for one in quick_checks.unguarded(conn)]
    wrong += [
        problem(f"function {name} is not that of this program", remedy) for name in quick_checks.other_functions(conn)
    ]
    wrong += [problem(f"{name} is missing", _RESTORED) for name in quick_checks.missing(conn)]
    kept = len(quick_checks.CONSTRAINTS) + len(quick_checks.UNIQUE)
    return wrong or [ok(f"{len(quick_checks.TRIGGERS)} triggers, {kept} constraints and indexes")]


def _unguarded(one: quick_checks.Unguarded) -> str:
    if one.enabled is None:
        state = "is missing"
    elif one.enabled == "D":
        state = "is switched off"
    elif not one.runs:
        state = "runs another function"
    else:
        state = "can be switched off by a session"
    return f"trigger {one.trigger} on {one.relation} {state}"


def ledger(conn: Connection, about: About) -> list[Verdict]:
    if accounts.open_ledger(conn, about.ledger).ledger is not None:
        return [ok(f"'{about.ledger}'")]
    remedy = f"ledgerctl ledger list, and name one by --ledger; or ledgerctl ledger create {about.ledger}"
    return [problem(f"there is no ledger '{about.ledger}'", remedy)]


def posting_times(conn: Connection, about: About) -> list[Verdict]:
    found = quick_checks.future(conn, about.ledger)
    if found.latest is None:
        return [ok("none lies in the future")]
    words = f"{found.accounts} accounts were posted to later than now, up to {times.text(found.latest)}"
    return [warning(words, "set the server's clock by NTP: until then their postings all have that time")]


def balances(conn: Connection, about: About) -> list[Verdict]:
    found = quick_checks.standings(conn, about.ledger, SAMPLE)
    if found.wrong:
        words = f"{len(found.wrong)} accounts do not stand where their last entry says: {_some(found.wrong)}"
        return [problem(words, "stop posting to them; ledgerctl reconcile")]
    return [ok(f"{found.accounts:,} accounts stand where their last entry says")]


def totals(conn: Connection, about: About) -> list[Verdict]:
    off = [f"{total} {currency}" for currency, total in quick_checks.totals(conn, about.ledger)]
    if off:
        return [problem(f"the balances sum to {_some(off)}, not to zero", "stop posting; ledgerctl reconcile")]
    return [ok("the balances of each currency sum to zero")]


def reconciliation(conn: Connection, about: About) -> list[Verdict]:
    found = quick_checks.last_run(conn, about.ledger)
    hours = f"{found.seconds / 3600:.0f} h ago"
    if found.status is not None and found.findings:
        return [problem(f"the last run, {hours}, found {found.findings} differences", "ledgerctl reconcile")]
    if found.seconds > RECONCILED_S:
        words = f"the last run was {hours}" if found.status else f"never, and the ledger was created {hours}"
        return [warning(words, "ledgerctl reconcile, every night by cron or a timer")]
    return [ok(f"clean, {hours}" if found.status else "not yet; the ledger is new")]


def imports(conn: Connection, about: About) -> list[Verdict]:
    left = quick_checks.unfinished(conn, about.ledger)
    if left and quick_checks.importing(conn):  # most likely it is one of them
        return [ok(f"{len(left)} unfinished, and an import is at work")]
    if left:
        return [
            warning(
                f"import {one.id} of {one.file} was cut short after {one.decided:,} rows",
                f"ledgerctl import {shlex.quote(one.file)}, with the same options: it goes on from there",
            )
            for one in left
        ]
    return [ok("none was cut short")]


def _some(names: list[str]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
