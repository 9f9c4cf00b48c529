"""ledgerctl reconcile: the books against themselves, or an account against its bank."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ledgerctl.cli import output, reconciled
from ledgerctl.cli.invocation import Context
from ledgerctl.errors import AlreadyRunning, BadUsage, DifferencesFound, Exit

if TYPE_CHECKING:
    from ledgerctl.cli.invocation import Invocation
    from ledgerctl.services.bank_reconciling import Compared
    from ledgerctl.services.bank_statements import Delivery

COLUMNS = ("check", "subject", "expected", "found")
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
    of_statement = {"--statement": statement, "--format": format_, "--map-name": map_name,
                    "--bank-account": bank_account, "--window": window}  # fmt: skip
    given = [name for name, value in of_statement.items() if value not in ("", None)]
    if given and not account:
        raise BadUsage(detail=f"{given[0]} needs --account CODE")
    if account and full:
        raise BadUsage(detail="--full is for the books; --account compares one account with its bank")

    from ledgerctl.core.texts import plain_text

    reason = plain_text("reason", accept) if accept else None
    try:
        if not account:
            _books(context.obj, full=full, accept=reason)
            return
        delivery = _delivery(context.obj, statement, format_, map_name, bank_account, reason)
        _account(context.obj, account, delivery, window)
    except AlreadyRunning as running:
        if not skip_if_locked:
            raise
        context.obj.note(f"{running}; skipped")


def _require_alone(context: Context) -> None:
    """Options of `reconcile` itself would be lost on its subcommands."""
    for name in context.params:
        if str(context.get_parameter_source(name)).endswith("COMMANDLINE"):
            option = f"--{name.rstrip('_').replace('_', '-')}"
            raise BadUsage(
                detail=f"{option} does not go with {context.invoked_subcommand}; give it after that, if it does"
            )


def _books(invocation: Invocation, *, full: bool, accept: str | None) -> None:
    from ledgerctl.cli.progress import bar
    from ledgerctl.services import reconciling

    invocation.prepare((*COLUMNS, "run_id"))
    with bar(invocation, "reconcile", "findings") as progress:
        result = reconciling.run(invocation.books, progress, full=full, accept=accept)
    findings = [finding._asdict() for finding in result.findings]
    answer = {
        "run_id": str(result.id),
        "status": result.status,
        "mode": result.mode,
        "checked": result.checked,
        "findings": findings,
    }
    if findings or _asked(invocation):
        counts = ", ".join(f"{count:,} {noun}" for noun, count in result.checked.items())
        invocation.show(answer, COLUMNS, rows=findings, head=f"{result.status}: {counts} checked ({result.mode})")
    if findings:
        raise DifferencesFound(what="the books do not agree with themselves", findings=len(findings))


def _delivery(
    invocation: Invocation, file: str, format_: str, map_name: str, bank_account: str, accept: str | None
) -> Delivery | None:
    if not file:
        return None
    from ledgerctl.formats import records, statements
    from ledgerctl.services.bank_statements import Delivery

    maps = invocation.configuration.statement_maps
    if map_name and map_name not in maps:
        known = f"; there are: {', '.join(maps)}" if maps else ""
        raise BadUsage(detail=f"the configuration has no [statement.maps.{map_name}]{known}")
    source = records.open_input(file)
    read = statements.read(source, format_ or None, maps.get(map_name))
    return Delivery(source.name, read, bank_account, accept)


def _account(invocation: Invocation, code: str, delivery: Delivery | None, window: int | None) -> None:
    from ledgerctl.services import bank_reconciling

    invocation.prepare((*COLUMNS, "run_id"))
    days = bank_reconciling.WINDOW_DAYS if window is None else window
    result = bank_reconciling.run(invocation.books, code, delivery, days)
    findings = [finding._asdict() for finding in result.findings]
    answer: dict[str, Any] = {
        "run_id": str(result.id),
        "status": result.status,
        "mode": "statement",
        "checked": result.checked,
        "findings": findings,
        **bank_reconciling.detail_of(result),
    }
    if findings or _asked(invocation):
        invocation.show(answer, COLUMNS, rows=findings, head=reconciled.summary(answer))
    _tell(invocation, result)
    if findings:
        raise DifferencesFound(
            what=f"account '{code}' and its bank do not agree",
            findings=len(findings),
            hint=f"ledgerctl reconcile open --account {code} lists what is open; ledgerctl reconcile show {result.id}",
        )


def _tell(invocation: Invocation, result: Compared) -> None:
    taken = result.taken
    if taken.known and not taken.statements:
        invocation.note("this statement was read before; nothing of it was stored now")


def _asked(invocation: Invocation) -> bool:
    """Whether somebody reads the answer, or asked for one: cron mails whatever is printed."""
    return bool(invocation.format or invocation.style.format != "table" or invocation.out or sys.stdout.isatty())
