"""ledgerctl balance, history: what the accounts hold, and how it came about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import ROWS_MAX, Context, Invocation
from ledgerctl.errors import AccountNotFound, BadUsage, Exit

if TYPE_CHECKING:
    from datetime import datetime

    from ledgerctl.db.reports import Bounds

BALANCE_COLUMNS = ("account", "balance", "currency", "type", "seq", "as_of")
HISTORY_COLUMNS = (
    "seq", "posted_at", "kind", "debit", "credit", "balance", "currency", "counterparties", "description", "reference",
    "transaction_id", "effective_at", "idempotency_key",
)  # fmt: skip
SEQ_MAX = 2**63 - 1
HISTORY_TABLE = ("seq", "posted_at", "debit", "credit", "balance", "currency", "counterparties", "description",
                 "transaction_id")  # fmt: skip


def register(root: typer.Typer) -> None:
    root.command(epilog=output.exits(Exit.USAGE, Exit.NOT_FOUND))(balance)
    root.command(epilog=output.exits(Exit.USAGE, Exit.NOT_FOUND))(history)


def balance(
    context: Context,
    codes: Annotated[list[str] | None, typer.Argument(metavar="[CODE|PREFIX]...", help="By default all.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME", help="What it was then, by posting time.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=ROWS_MAX, help="So many accounts at most, when none is named.")] = 50,
    all_: Annotated[bool, typer.Option("--all", help="Every account there is.")] = False,
) -> None:
    """Show balances on the account's normal side. A prefix such as customers is summed by currency and type."""
    from datetime import UTC, datetime

    from ledgerctl.core import times
    from ledgerctl.db import reports
    from ledgerctl.formats import objects

    now = datetime.now(UTC)
    instant = None if as_of is None else times.parse_relative(as_of, now)
    if codes:
        rows = [row for code in codes for row in _balances(context.obj, code, instant)]
    elif instant is not None:
        raise BadUsage(detail="--as-of needs an account or a prefix")
    else:
        rows = context.obj.read(reports.accounts, "", "", None if all_ else limit)
        if len(rows) == limit and not all_ and (total := context.obj.read(reports.count_accounts)) > limit:
            context.obj.note(f"{limit} of {total:,} accounts; --all, or name a prefix")

    answer = [objects.balance(row, instant or now.replace(microsecond=0)) for row in rows]
    table = [{**row, "account": row.get("account") or f"{row['prefix']}:"} for row in answer]
    context.obj.show(answer, BALANCE_COLUMNS, rows=table)


def _balances(invocation: Invocation, code: str, instant: datetime | None) -> list[dict[str, Any]]:
    from ledgerctl.db import reports

    branch = code.endswith(":")  # customers: is the branch, even where an account customers exists
    code = code.rstrip(":")
    if instant is None and not branch and invocation.configuration.settings.redis.balances:
        with suppress(AccountNotFound):  # then it may be a branch
            return [_kept(invocation, code)]
    account = None if branch else invocation.read(reports.account, code)
    if instant is None and account is not None:
        return [account]
    if instant is None:
        rows = invocation.read(reports.subtotals, code)
    else:
        rows = invocation.read(reports.balances_as_of, code, instant)
        if account is not None:
            return [row for row in rows if row["code"] == code]
        rows = _summed(rows)
    if not rows:
        raise AccountNotFound(account=code)
    return [{**row, "prefix": code} for row in rows]


def _kept(invocation: Invocation, code: str) -> dict[str, Any]:
    from ledgerctl.formats import objects
    from ledgerctl.services.balance_reads import Reader

    return objects.held(Reader(invocation.books).balance(code))


def _summed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        total = sums.setdefault((row["currency"], row["type"]), {**row, "balance": 0, "seq": 0})
        total["balance"] += row["balance"]
        total["seq"] += row["seq"]
    return [sums[place] for place in sorted(sums)]


def history(
    context: Context,
    code: Annotated[str, typer.Argument(help="The account.")],
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="From this time on: a date, a time, today, -7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=ROWS_MAX, help="So many at most: the last, or the first after --after.")
    ] = 50,
    after: Annotated[
        int | None, typer.Option(metavar="SEQ", min=0, max=SEQ_MAX, help="Go on after this entry.")
    ] = None,
    before: Annotated[
        int | None, typer.Option(metavar="SEQ", min=1, max=SEQ_MAX, help="Only entries before this one.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every entry there is.")] = False,
) -> None:
    """Show an account's entries in order, with the balance after each. The last 50, unless told otherwise."""
    from datetime import UTC, datetime

    from ledgerctl.core import times
    from ledgerctl.db import reports
    from ledgerctl.formats import objects

    now = datetime.now(UTC)
    start = None if since is None else times.parse_relative(since, now)
    end = None if until is None else times.parse_relative(until, now)
    if context.obj.verbose and (start or end):
        context.obj.note(f"from {times.text(start) if start else 'the start'} to {times.text(end) if end else 'now'}")
    account = context.obj.read(reports.require_account, code)
    bounds = reports.Bounds(start, end, after, before)

    if all_:
        context.obj.show(_whole(context.obj, account["account_id"], bounds), HISTORY_COLUMNS, narrow=HISTORY_TABLE)
        return
    rows = context.obj.read(reports.history, account["account_id"], bounds, limit + 1)
    if len(rows) > limit:  # the one too many says that there are more
        rows = rows[:limit] if after is not None else rows[1:]
        way = f"--after {rows[-1]['seq']}" if after is not None else f"--before {rows[0]['seq']}"
        context.obj.note(f"{limit} of {account['seq']:,} entries; --all, or {way}")
    context.obj.show([objects.history_entry(row) for row in rows], HISTORY_COLUMNS, narrow=HISTORY_TABLE)


def _whole(invocation: Invocation, account_id: int, bounds: Bounds) -> Iterator[dict[str, Any]]:
    from ledgerctl.db import reports
    from ledgerctl.formats import objects

    books = invocation.books
    for row in reports.whole_history(books.database.connect(), books.ledger, account_id, bounds):
        yield objects.history_entry(row)
