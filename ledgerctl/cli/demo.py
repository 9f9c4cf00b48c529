"""ledgerctl demo: the main job from start to end, in a throw-away ledger."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context
from ledgerctl.errors import BadUsage, Exit, LedgerError


class Step(NamedTuple):
    """What is said, the command, and the exit code that it must give."""

    said: str
    command: str
    code: Exit = Exit.DONE


MAPPED = "--map from=customers:{ACCOUNT_ID} --map to=customers:{COUNTER_PARTY_ACCOUNT_NUM} --map amount=TXN_AMOUNT_ORIG"
STEPS = (
    Step("A ledger on an embedded PostgreSQL, in this directory.", "init"),
    Step("Accounts, one by one and from a file. Only customers may go below zero here.",
         "account create equity:opening --type equity --currency USD"),
    Step("", "account create shop --name 'The corner shop' --currency USD"),
    Step("", "account import accounts.csv --map code=customers:{ACCOUNT_ID} --map name=PRIMARY_CUSTOMER_ID "
             "--set currency=USD --set min_balance=none"),
    Step("Opening balances, from a column of the same file.",
         "import accounts.csv --set from=equity:opening --map to=customers:{ACCOUNT_ID} --map amount=init_balance "
         "--map key=opening-{ACCOUNT_ID} --set currency=USD"),
    Step("45 transfers, three of which pay an account to itself: all of the file or nothing.",
         f"import tx.csv {MAPPED}", Exit.REFUSED),
    Step("The file without those three.", f"import transfers.csv {MAPPED}"),
    Step("The same file once more: nothing is posted twice.", f"import transfers.csv {MAPPED}"),
    Step("One transfer, with a key of its own.", "transfer customers:1 shop 12.50 USD -i order-1 --description Coffee"),
    Step("The same request again is replayed.", "transfer customers:1 shop 12.50 USD -i order-1 --description Coffee"),
    Step("Money that is not there does not move.", "transfer shop customers:2 20 USD -i order-2", Exit.REFUSED),
    Step("What happened to an account.",
         "history customers:1 --fields seq,debit,credit,balance,counterparties,description"),
    Step("A reversal, linked to what it reverses.", "reverse order-1 -i order-1-refund --reason 'Cold coffee'"),
    Step("What everybody holds.", "balance shop customers equity:opening"),
    Step("And the books agree with themselves.", "reconcile -o table"),
)  # fmt: skip


class DemoFailed(LedgerError):
    code = "DEMO_FAILED"
    message = "`ledgerctl {command}` ended with {found} where {expected} was expected"


def register(root: typer.Typer) -> None:
    root.command(epilog=output.exits(Exit.UNAVAILABLE))(demo)


def demo(
    context: Context,
    keep: Annotated[str, typer.Option(metavar="DIR", help="Work in this new directory, and leave it there.")] = "",
) -> None:
    """Show the main job: accounts, imports, transfers, a reversal, reconcile. Leaves nothing behind."""
    directory = _directory(keep)
    try:
        _lay_out(directory)
        for step in STEPS:
            _run(step, directory)
    finally:
        if not keep:
            _ledgerctl("db stop -q", directory, quiet=True)
            shutil.rmtree(directory, ignore_errors=True)
    context.obj.note(
        f"\nkept: cd {directory}; ledgerctl db stop ends its server" if keep else "\nnothing was left behind"
    )


def _directory(keep: str) -> Path:
    if not keep:
        directory = Path(tempfile.mkdtemp(prefix="ledgerctl-demo-"))
        directory.chmod(0o711)  # ours: the server's own user has to pass through when root runs the demo
        return directory
    directory = Path(keep).absolute()
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        raise BadUsage(detail=f"'{keep}' is there already; the demo wants a directory of its own") from None
    return directory


def _lay_out(directory: Path) -> None:
    sample = Path(__file__).resolve().parent.parent / "demo" / "amlsim"
    for source, name in (
        ("accounts.csv", "accounts.csv"),
        ("tx.csv", "tx.csv"),
        ("tx-without-self-payments.csv", "transfers.csv"),
    ):
        shutil.copyfile(sample / source, directory / name)


def _run(step: Step, directory: Path) -> None:
    if step.said:
        typer.echo(f"\n# {step.said}")
    typer.echo(f"$ ledgerctl {step.command}")
    code = _ledgerctl(step.command, directory)
    if code == Exit.READER_GONE:
        raise typer.Exit(code)
    if code != step.code:
        raise DemoFailed(command=step.command, found=code, expected=int(step.code))
    if code:
        typer.echo(f"(exit code {code})")


def _ledgerctl(command: str, directory: Path, *, quiet: bool = False) -> int:
    """Run a command as its user would, in a process of its own; its streams are ours."""
    sys.stdout.flush()
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("LEDGERCTL_")}
    done = subprocess.run(  # noqa: S603 - our own interpreter with our own arguments
        [sys.executable, "-m", "ledgerctl", *shlex.split(command)],
        cwd=directory,
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
        check=False,
    )
    return done.returncode
