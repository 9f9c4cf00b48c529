"""What a scheduled command leaves for monitoring, whatever way it ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ledgerctl.cli import output
from ledgerctl.errors import BadUsage, DeadlinePassed, Exit, LedgerError

if TYPE_CHECKING:
    from ledgerctl.cli.invocation import Invocation

JobName = Literal["reconcile", "reconcile_statement"]
"""Of the `job` label, after ledgerctl_: a gateway never forgets a name, so there are few."""

Pushgateway = Annotated[
    str, typer.Option(metavar="URL", help="Push the metrics of this run to a Prometheus Pushgateway.")
]
MetricsTextfile = Annotated[
    str, typer.Option(metavar="PATH", help="Write them to this .prom file, for node_exporter's textfile collector.")
]


Deadline = Annotated[
    float | None,
    typer.Option(min=0.001, metavar="SECONDS", help="Give up after so long, exit 69: what is not done is undone."),
]

_EXITS: dict[type[BaseException], int] = {
    KeyboardInterrupt: Exit.INTERRUPTED,
    BrokenPipeError: Exit.READER_GONE,
    UnicodeEncodeError: Exit.USAGE,
}


@dataclass(slots=True)
class Told:
    """What a command says of its run while it works; what it never says is not reported."""

    findings: int | None = None
    open_items: int | None = None
    oldest_open_age_s: float | None = None
    oldest_statement_at_s: float | None = None
    skipped: bool = False
    """Another run does the work, and reports it: this one reports nothing."""


@dataclass(frozen=True, slots=True)
class _Places:
    ledger: str
    pushgateway: str
    textfile: Path | None


@contextmanager
def job(invocation: Invocation, name: JobName, pushgateway: str, textfile: str) -> Iterator[Told]:
    """Report the run once, when its work is over, to where the options or the settings say; an error goes on its way.

    BadUsage before any work for a file that nobody would collect. Nothing that happens to the report is an error.
    """
    places = _places(invocation, pushgateway, textfile)
    invocation.job = f"{invocation.command}, ledger '{places.ledger}'"
    told, exit_code = Told(), int(Exit.DONE)
    try:
        _require_collected(places.textfile)
        yield told
    except BaseException as error:
        exit_code = _exit_code(error, invocation)
        raise
    finally:
        if not told.skipped and (places.pushgateway or places.textfile):
            _report(f"ledgerctl_{name}", places, exit_code, told, invocation)


def command_ended(invocation: Invocation, exit_code: int) -> None:
    """Report a command that is no job, once it is over, if `metrics.commands` wants it. It fails nothing."""
    if invocation.job or "database" not in vars(invocation):
        return
    wanted = {"jobs": False, "changes": invocation.changes, "all": True}
    if not wanted[invocation.configuration.settings.metrics.commands]:
        return
    places = _places(invocation, "", "")
    if places.pushgateway or places.textfile:
        name = (invocation.path or invocation.command).replace("-", "_").replace(" ", "_")
        _report(f"ledgerctl_{name}", places, exit_code, Told(), invocation)


@contextmanager
def deadline_of(seconds: float | None) -> Iterator[None]:
    """DeadlinePassed after so many seconds, whatever the body is doing; the statement it waits for is cancelled."""
    if seconds is None:
        yield
        return
    passed = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal passed
        passed = True
        raise KeyboardInterrupt  # which the driver knows: it cancels what the server is doing

    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except KeyboardInterrupt:
        if passed:
            raise DeadlinePassed(seconds=f"{seconds:g}") from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _places(invocation: Invocation, pushgateway: str, textfile: str) -> _Places:
    from ledgerctl import config

    try:
        found = invocation.configuration
    except LedgerError:  # the command meets it again, and then it is reported
        found = config.of_environment()
    return _Places(
        invocation.ledger or found.settings.ledger.name,
        pushgateway or found.settings.metrics.pushgateway,
        Path(textfile) if textfile else found.metrics_textfile,
    )


def collected(textfile: Path) -> bool:
    """Whether a collector reads a file of this name."""
    return textfile.name.endswith(".prom")


def _require_collected(textfile: Path | None) -> None:
    if textfile is not None and not collected(textfile):
        raise BadUsage(detail=f"'{textfile}' does not end in .prom, so no collector would read it")


def _report(job: str, places: _Places, exit_code: int, told: Told, invocation: Invocation) -> None:
    try:
        problems = _problems(job, places, exit_code, told, invocation)
    except Exception as error:  # even of a library that does not load: a run that did its work does not fail over this
        problems = [f"the metrics of this run are lost: {error}"]
    for problem in problems:
        output.note(f"warning: {output.plain(problem)}")


def _problems(job: str, places: _Places, exit_code: int, told: Told, invocation: Invocation) -> list[str]:
    from ledgerctl import pushing

    opened = "database" in vars(invocation)
    cache = invocation.books.cache if "books" in vars(invocation) else None
    result = pushing.JobResult(
        job,
        places.ledger,
        invocation.started_at,
        time.time(),
        exit_code,
        outcomes=invocation.outcomes,
        retries=invocation.database.retries if opened else None,
        lock_wait_s=sum(wait.waited_s for wait in invocation.lock_waits) if opened else None,
        cache_requests=cache.counts if cache is not None else {},
        findings=told.findings,
        open_items=told.open_items,
        oldest_open_age_s=told.oldest_open_age_s,
        oldest_statement_at_s=told.oldest_statement_at_s,
    )
    textfile = places.textfile if places.textfile is not None and collected(places.textfile) else None
    return pushing.report(result, places.pushgateway, textfile)


def _exit_code(error: BaseException, invocation: Invocation) -> int:
    """What the process ends with once this error has left the command: see cli/app.py."""
    if isinstance(error, output.AnswerLost):
        return Exit.DONE if invocation.changes else Exit.READER_GONE
    if isinstance(error, SystemExit):  # of SIGTERM
        return error.code if isinstance(error.code, int) else Exit.BUG
    known = (code for kind, code in _EXITS.items() if isinstance(error, kind))
    return next(known, getattr(error, "exit_code", Exit.BUG))  # a LedgerError's, and those that Typer raises
