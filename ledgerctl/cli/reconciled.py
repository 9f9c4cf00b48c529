"""ledgerctl reconcile list, show, open, match, unmatch: what runs found, what is open, and matching by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import ROWS_MAX, Context
from ledgerctl.errors import BadUsage, Exit, NeverReconciled, RunNotFound

if TYPE_CHECKING:
    from ledgerctl.cli.invocation import Invocation

FINDINGS = ("check", "subject", "expected", "found")
RUNS = ("run_id", "mode", "account", "status", "findings", "checked", "actor", "started_at", "finished_at")
OPEN = ("kind", "id", "on", "age_days", "amount", "currency", "reference", "description", "transaction_id")
OPEN_TABLE = ("kind", "id", "on", "age_days", "amount", "reference", "description")
MATCHES = ("match_id", "rule", "lines", "entries")
MATCHED = ("match_id", "account", "rule", "lines", "entries", "reason")

Account = Annotated[str, typer.Option("--account", metavar="CODE", help="An account that is kept at a bank.")]


def register(group: typer.Typer) -> None:
    group.command("list", epilog=output.exits(Exit.USAGE))(list_)
    group.command(epilog=output.exits(Exit.NOT_FOUND))(show)
    group.command("open", epilog=output.exits(Exit.NOT_FOUND))(open_)
    group.command(epilog=output.exits(Exit.REFUSED, Exit.NOT_FOUND, Exit.TRY_AGAIN))(match)
    group.command(epilog=output.exits(Exit.NOT_FOUND, Exit.TRY_AGAIN))(unmatch)


def list_(
    context: Context,
    account: Annotated[str, typer.Option(metavar="CODE", help="Runs of this account against its bank only.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=ROWS_MAX, help="So many at most, the newest first.")] = 50,
) -> None:
    """List runs, the newest first."""
    from ledgerctl.db import bank_reports, reports
    from ledgerctl.formats import reconciled

    if account:
        context.obj.read(reports.require_account, account)
    rows = context.obj.read(bank_reports.runs, account=account or None, limit=limit)
    answers = [reconciled.run(row) for row in rows]
    context.obj.show([{**one, "findings": one.get("found", len(one["findings"]))} for one in answers], RUNS)


def show(
    context: Context,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The number of the run.")],
    matches: Annotated[
        bool, typer.Option("--matches", help="List what it matched, and by which rule, in place of its findings.")
    ] = False,
    html: Annotated[str, typer.Option(metavar="FILE", help="Write a report for people to this file.")] = "",
) -> None:
    """Show what a run found, and what it matched by which rule."""
    from ledgerctl.db import bank_reports
    from ledgerctl.formats import reconciled

    rows = context.obj.read(bank_reports.runs, int(run_id)) if run_id.isdecimal() and len(run_id) < 19 else []
    if not rows:
        raise RunNotFound(run_id=run_id)
    answer = reconciled.run(rows[0])
    if answer["mode"] == "statement":
        answer["matches"] = [reconciled.match(row) for row in context.obj.read(bank_reports.matches, int(run_id))]
    if html == "-":
        raise BadUsage(detail="--html takes the name of a file")
    if html:
        from ledgerctl.formats import reconciled_html

        output.write_file(html, [reconciled_html.page(answer)])
        context.obj.note(f"the report is in {html}")
        return
    if matches:
        rows = [_in_words(one) for one in answer.get("matches", [])]
        context.obj.show(answer, MATCHES, rows=rows, head=summary(answer))
        return
    context.obj.show(answer, FINDINGS, rows=of_run(answer), head=summary(answer))


def of_run(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings as rows, each with its run, so that --fields may ask for both."""
    return [{"run_id": answer["run_id"], **finding} for finding in answer["findings"]]


def _in_words(match: dict[str, Any]) -> dict[str, Any]:
    """Each line as `line 7 2026-01-31 100.00`, each entry as `seq 9 2026-01-30 100.00`."""
    lines = ", ".join(f"line {one['id']} {one['on']} {one['amount']}" for one in match["lines"])
    entries = ", ".join(f"seq {one['seq']} {one['on']} {one['amount']}" for one in match["entries"])
    rule = f"{match['rule']} (taken apart)" if match["undone_at"] else match["rule"]
    return {"match_id": match["match_id"], "rule": rule, "lines": lines, "entries": entries}


def open_(context: Context, account: Account) -> None:
    """List what is unexplained, and for how long: lines without an entry, and entries that the bank has not shown."""
    from datetime import UTC, datetime

    from ledgerctl.db import bank_matches, bank_statements, reports
    from ledgerctl.formats import reconciled

    found = context.obj.read(reports.require_account, account)
    if context.obj.read(bank_statements.bank_account, found["account_id"]) is None:
        raise NeverReconciled(account=account)
    today = datetime.now(UTC).date()
    sized = (found["exponent"], found["currency"], today)
    lines = context.obj.read(bank_matches.open_lines, found["account_id"])
    entries = context.obj.read(bank_matches.open_entries, found["account_id"])
    rows = [reconciled.open_line(line, *sized) for line in lines]
    rows += [reconciled.open_entry(entry, *sized) for entry in entries]
    context.obj.show(sorted(rows, key=lambda row: (row["on"], row["kind"], int(row["id"]))), OPEN, narrow=OPEN_TABLE)


def match(
    context: Context,
    account: Account,
    line: Annotated[list[int] | None, typer.Option(metavar="ID", help="An open line. Repeatable.")] = None,
    entry: Annotated[list[int] | None, typer.Option(metavar="SEQ", help="An open entry. Repeatable.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; needed when the sums are not the same.")] = None,
) -> None:
    """Say that lines and entries go together. Lines alone or entries alone may be matched if they sum to zero."""
    from ledgerctl.core.texts import plain_text
    from ledgerctl.services import bank_matching

    if not line and not entry:
        raise BadUsage(detail="there is nothing to match: give --line and --entry")
    why = None if reason is None else plain_text("reason", reason)
    context.obj.prepare(MATCHED)
    lines, entries = list(dict.fromkeys(line or ())), list(dict.fromkeys(entry or ()))
    match_id = bank_matching.match(context.obj.books, account, lines, entries, why)
    _show_match(context.obj, match_id, account, "by-hand", lines, entries, why)


def unmatch(
    context: Context, match_id: Annotated[int, typer.Argument(metavar="MATCH", help="The number of the match.")]
) -> None:
    """Take a match apart: what was in it is open again, and no rule brings it together again."""
    from ledgerctl.services import bank_matching

    context.obj.prepare(MATCHED)
    account, parts = bank_matching.unmatch(context.obj.books, match_id)
    _show_match(context.obj, match_id, account, "undone", list(parts.lines), list(parts.entries), None)


def _show_match(
    invocation: Invocation,
    match_id: int,
    account: str,
    rule: str,
    lines: list[int],
    entries: list[int],
    why: str | None,
) -> None:
    answer = {
        "match_id": str(match_id),
        "account": account,
        "rule": rule,
        "lines": [str(line) for line in lines],
        "entries": [str(entry) for entry in entries],
        "reason": why,
    }
    invocation.show(answer, MATCHED)


def summary(answer: dict[str, Any]) -> str:
    """A run in a few lines."""
    counts = ", ".join(f"{count:,} {noun}" for noun, count in answer["checked"].items())
    first = f"{answer['status']}: {counts} checked ({answer['mode']})"
    if answer["mode"] != "statement":
        return first
    totals, currency = answer["totals"], answer["currency"]
    matched = ", ".join(f"{count:,} by {rule}" for rule, count in answer["matched"].items()) or "nothing"
    bank = "unknown" if totals["bank"] is None else f"{totals['bank']} {currency}"
    unexplained = "" if totals["unexplained"] is None else f", unexplained {totals['unexplained']}"
    return "\n".join(
        (
            f"{first}, account {answer['account']}, until {answer['tells_until']}{_more(answer)}",
            f"matched: {matched}",
            f"bank {bank}, books {totals['books']} {currency}; open: {answer['open']['lines']:,} lines "
            f"({totals['open_lines']}), {answer['open']['entries']:,} entries ({totals['open_entries']}){unexplained}",
        )
    )


def _more(answer: dict[str, Any]) -> str:
    listed = len(answer["findings"])
    return f"; findings: {answer['found']:,}, of which {listed:,} are listed" if answer["found"] > listed else ""
