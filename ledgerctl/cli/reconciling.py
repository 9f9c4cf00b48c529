"""ledgerctl reconcile: the books against themselves, or an account against its bank."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from ledgerctl.cli import output, reconciled
from ledgerctl.cli.invocation import Context
from ledgerctl.cli.jobs import Deadline, MetricsTextfile, Pushgateway, Told, deadline_of, job
from ledgerctl.errors import AlreadyRunning, BadUsage, DifferencesFound, Exit

if TYPE_CHECKING:
    from ledgerctl.cli.invocation import Invocation
    from ledgerctl.cli.jobs import JobName
    from ledgerctl.services.bank_statements import Delivery

_WINDOW_MAX = 60
_EXITS = output.exits(Exit.REFUSED, Exit.NOT_FOUND, Exit.DIFFERENCES, Exit.UNAVAILABLE, Exit.TRY_AGAIN)


def register(root: typer.Typer) -> None:
    group = typer.Typer(cls=TyperGroup, invoke_without_command=True, epilog=_EXITS)
    group.callback()(reconcile)
    reconciled.register(group)
    root.add_typer(group, name="reconcile")


def reconcile(
    context: Context,
    full: Annotated[bool, typer.Option("--full", help="Go through everything again, not only what is new.")] = False,
    account: Annotated[
        str, typer.Option(metavar="CODE", help="Compare this account with its bank, not the books with themselves.")
    ] = "",
    statement: Annotated[
        str, typer.Option(metavar="FILE", help="The bank's file for it; without one, what is open is compared again.")
    ] = "",
    format_: Annotated[
        str, typer.Option("--format", metavar="csv|mt940|camt053|ofx", help="Of the file, if it does not tell.")
    ] = "",
    map_name: Annotated[
        str, typer.Option("--map-name", metavar="NAME", help="Read a CSV as [statement.maps.NAME] says.")
    ] = "",
    bank_account: Annotated[
        str, typer.Option(metavar="NAME", help="The bank's name for the account, where the file tells of several.")
    ] = "",
    window: Annotated[
        int | None,
        typer.Option(min=0, max=_WINDOW_MAX, metavar="DAYS", help="So many days may lie between; by default 5."),
    ] = None,
    accept: Annotated[
        str, typer.Option(metavar="REASON", help="Take as it is what was changed by hand, or what does not lead on.")
    ] = "",
    skip_if_locked: Annotated[
        bool, typer.Option("--skip-if-locked", help="Exit 0, not 75, when a run is under way already.")
    ] = False,
    deadline: Deadline = None,
    pushgateway: Pushgateway = "",
    metrics_textfile: MetricsTextfile = "",
) -> None:
    """Check the books against themselves, in one snapshot. Silent in cron when all is well; exit 6 when it is not.

    Every transaction sums to zero; every balance equals its entries; entries follow one another without a gap; limits,
    currencies, orphans, reversals and fingerprints are as they should be. The first run, and one with --full, looks at
    everything, and says whether anything has changed that was verified before; the others look at what is new.

    With --account CODE --statement FILE, what a bank says of an account is compared with what the books say of it.
    """
    if context.invoked_subcommand is not None:
        _require_alone(context)
        return
    for given, value in context.params.items():
        if isinstance(value, str) and not value.strip() and _is_given(context, given):
            raise BadUsage(detail=f"{_option(given)} is empty")
    asked = _Asked(full, account, statement, format_, map_name, bank_account, window, accept, skip_if_locked)
    name: JobName = "reconcile_statement" if account else "reconcile"
    with job(context.obj, name, pushgateway, metrics_textfile) as told, deadline_of(deadline):
        _reconcile(context.obj, asked, told)


class _Asked(NamedTuple):
    """The options that say what is compared with what."""

    full: bool
    account: str
    statement: str
    format: str
    map_name: str
    bank_account: str
    window: int | None
    accept: str
    skip_if_locked: bool

    def require_sense(self) -> None:
        for option in ("statement", "format", "map_name", "bank_account", "window"):
            if getattr(self, option) not in ("", None) and not self.account:
                raise BadUsage(detail=f"--{option.replace('_', '-')} needs --account CODE")
        if self.account and self.full:
            raise BadUsage(detail="--full is for the books; --account compares one account with its bank")


def _reconcile(invocation: Invocation, asked: _Asked, told: Told) -> None:
    from ledgerctl.core.texts import plain_text

    asked.require_sense()
    reason = plain_text("reason", asked.accept) if asked.accept else None
    invocation.prepare((*reconciled.FINDINGS, "run_id"))
    try:
        if asked.account:
            _account(invocation, asked, reason, told)
        else:
            _books(invocation, told, full=asked.full, accept=reason)
    except AlreadyRunning as running:
        if not asked.skip_if_locked:
            raise
        told.skipped = True
        invocation.note(f"{running}; skipped")


def _require_alone(context: Context) -> None:
    """Options of `reconcile` itself would be lost on its subcommands."""
    for name in context.params:
        if _is_given(context, name):
            subcommand = context.invoked_subcommand
            raise BadUsage(detail=f"{_option(name)} does not go with {subcommand}; give it after that, if it does")


def _is_given(context: Context, name: str) -> bool:
    return str(context.get_parameter_source(name)).endswith("COMMANDLINE")


def _option(name: str) -> str:
    return f"--{name.rstrip('_').replace('_', '-')}"


def _books(invocation: Invocation, told: Told, *, full: bool, accept: str | None) -> None:
    from ledgerctl.cli.progress import bar
    from ledgerctl.services import reconciling

    with bar(invocation, "reconcile", "findings") as progress:
        result = reconciling.run(invocation.books, progress, full=full, accept=accept)
    told.findings = len(result.findings)
    answer = {
        "run_id": str(result.id),
        "status": result.status,
        "mode": result.mode,
        "checked": result.checked,
        "findings": [finding._asdict() for finding in result.findings],
    }
    different = DifferencesFound(what="the books do not agree with themselves", findings=len(result.findings))
    _answer(invocation, answer, different)


def _account(invocation: Invocation, asked: _Asked, accept: str | None, told: Told) -> None:
    from ledgerctl.services import bank_reconciling

    delivery = _delivery(invocation, asked, accept) if asked.statement else None
    days = bank_reconciling.WINDOW_DAYS if asked.window is None else asked.window
    result = bank_reconciling.run(invocation.books, asked.account, delivery, days)
    every = result.every_account
    told.findings, told.open_items = every.findings, every.open_items
    told.oldest_open_age_s, told.oldest_statement_at_s = every.oldest_open_age_s, every.oldest_statement_at_s
    if result.taken.known and not result.taken.statements:
        invocation.note("this statement was read before; nothing of it was stored now")
    if result.taken.before:
        invocation.note(
            f"{result.taken.before:,} lines are from before the first day that was told of, and were left out"
        )
    answer: dict[str, Any] = {
        "run_id": str(result.id),
        "status": result.status,
        "mode": "statement",
        "account": asked.account,
        "checked": result.checked,
        "findings": [finding._asdict() for finding in result.findings],
        **bank_reconciling.detail_of(result),
    }
    open_items = len(result.open_lines) + len(result.open_entries)
    later = f"show {result.id} has the two balances: post what is missing"
    different = DifferencesFound(
        what=f"account '{asked.account}' and its bank do not agree",
        findings=result.found,
        hint=f"ledgerctl reconcile {f'open --account {asked.account} lists what is open' if open_items else later}",
    )
    _answer(invocation, answer, different)


def _delivery(invocation: Invocation, asked: _Asked, accept: str | None) -> Delivery:
    from ledgerctl.cli import files
    from ledgerctl.formats import records, statements
    from ledgerctl.services.bank_statements import Delivery

    maps = invocation.configuration.statement_maps
    if asked.map_name and asked.map_name not in maps:
        known = ", ".join(sorted(maps)) or "none"
        raise BadUsage(detail=f"there is no map '{asked.map_name}'; there are: {known}")
    files.require_piped(asked.statement)
    source = records.open_input(asked.statement)
    read = statements.read(source, asked.format or None, maps.get(asked.map_name))
    return Delivery(source.name, read, asked.bank_account, accept)


def _answer(invocation: Invocation, answer: dict[str, Any], different: DifferencesFound) -> None:
    """The answer if somebody reads it or asked for one, since cron mails whatever is printed; then the differences."""
    findings = answer["findings"]
    read = invocation.format or invocation.style.format != "table" or invocation.out or sys.stdout.isatty()
    try:
        if findings or read:
            invocation.show(
                answer, reconciled.FINDINGS, rows=reconciled.of_run(answer), head=reconciled.summary(answer)
            )
    except output.AnswerLost as lost:
        if not findings:
            raise
        lost.told()  # and then their exit code: it says more than that nobody could read them
    if findings:
        raise different
