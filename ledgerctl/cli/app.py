"""The root of the command tree: global options, and the one place where errors become words and exit codes."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Annotated, Any, NoReturn

import typer

from ledgerctl import __version__, errors, tracing
from ledgerctl.cli import (
    accounts,
    completion,
    database,
    demo,
    doctor,
    importing,
    imports,
    interrupts,
    ledgers,
    output,
    payments,
    reading,
    reconciling,
    resolving,
    serving,
    serving_api,
    settings,
    topics,
    watching,
)
from ledgerctl.cli.invocation import Group, Invocation
from ledgerctl.cli.traced import traced
from ledgerctl.errors import BadUsage, Exit, LedgerError

UsageError: type[Exception] = typer.BadParameter.__bases__[0]

_VALUED = (
    "--config", "--profile", "--ledger", "-l", "--output", "-o", "--actor", "--color", "--fields", "--out",
    "--log-format",
)  # fmt: skip
_FLAGS = ("--quiet", "--verbose", "--no-input", "--no-header", "--csv-safe", "--debug", "--version")
_ATTACHED = ("-o", "-l", *(f"{name}=" for name in _VALUED if name.startswith("--")))


class Root(Group):
    """Takes global options anywhere, and turns every error into its words and its exit code, once."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        args, command = _global_first(self, args)
        if command:
            tracing.tell(command=command)
        wanted = "json" if _logs_json(args) else _format_of(args)  # asked now: parsing empties the list
        try:
            context = super().make_context(info_name, args, parent, **extra)
        except UsageError as error:
            _fail(_misused(error), wanted)
        except BrokenPipeError as error:  # --help is answered while the arguments are parsed
            _unanswered(output.AnswerLost(error), changed=False)
        context.meta.update(format=wanted, path=command)
        return context

    def invoke(self, ctx: Any) -> None:
        exit_code: int = Exit.BUG
        try:
            self._invoke(ctx)
            exit_code = Exit.DONE
        except typer.Exit as end:
            exit_code = end.exit_code
            raise
        except SystemExit as end:
            exit_code = end.code if isinstance(end.code, int) else Exit.BUG
            raise
        finally:
            if ctx.obj is not None:
                watching.end(ctx.obj, exit_code)

    def _invoke(self, ctx: Any) -> None:
        try:
            super().invoke(ctx)
            return
        except output.AnswerLost as lost:
            _unanswered(lost, changed=ctx.obj.changes)
        except BrokenPipeError as error:
            _unanswered(output.AnswerLost(error), changed=False)
        except KeyboardInterrupt as stop:
            output.note(str(stop) or "interrupted: what was not committed is undone")
            raise typer.Exit(Exit.INTERRUPTED) from None
        except UsageError as error:
            failure: LedgerError = _misused(error)
        except UnicodeEncodeError:
            failure = errors.BadText(field="an argument", problem="it is not UTF-8")
        except LedgerError as error:
            if ctx.obj is not None and ctx.obj.debug:
                traceback.print_exc()
            failure = _with_suggestion(error, ctx.obj)
        finally:
            if ctx.obj is not None and "database" in vars(ctx.obj):
                ctx.obj.database.close()
        invocation = ctx.obj
        if invocation is not None:
            invocation.failed(failure)
        loaded = invocation is not None and "configuration" in vars(invocation)
        style = invocation.style if loaded else output.Style(format=ctx.meta["format"] or _format_of_environment())
        color = style.color if loaded or invocation is None else invocation.color or "auto"
        _fail(failure, style.format, color, "" if invocation is None else invocation.job)


app = typer.Typer(
    cls=Root,
    name="ledgerctl",
    help="Administer a double-entry payments ledger on PostgreSQL.",
    epilog="Start with: ledgerctl init, or see it work: ledgerctl demo. More: ledgerctl help TOPIC.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for group in (
    database,
    demo,
    ledgers,
    accounts,
    reading,
    payments,
    resolving,
    importing,
    imports,
    reconciling,
    doctor,
    serving,
    serving_api,
    settings,
    topics,
    completion,
):
    group.register(app)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ledgerctl {__version__}")
        raise typer.Exit()


@app.callback()
def globals_(
    context: typer.Context,
    config: Annotated[str, typer.Option(metavar="FILE", help="Read this configuration file.")] = "",
    profile: Annotated[str, typer.Option(metavar="NAME", help="Use this profile of the configuration.")] = "",
    ledger: Annotated[str, typer.Option("--ledger", "-l", metavar="NAME", help="The ledger; by default main.")] = "",
    format_: Annotated[str, typer.Option("--output", "-o", metavar="table|json|jsonl|csv", help="How to answer.")] = "",
    actor: Annotated[str, typer.Option(metavar="WHO", help="Who the audit log names; by default the user.")] = "",
    color: Annotated[str, typer.Option(metavar="auto|always|never", help="Colour on a terminal.")] = "",
    fields: Annotated[str, typer.Option(metavar="A,B,C", help="Show these fields, in this order.")] = "",
    out: Annotated[str, typer.Option(metavar="FILE", help="Write the answer to this file, whole or not at all.")] = "",
    no_header: Annotated[bool, typer.Option("--no-header", help="No header in table and csv.")] = False,
    csv_safe: Annotated[bool, typer.Option("--csv-safe", help="Defuse spreadsheet formulas in csv.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only on stderr.")] = False,
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more on stderr.")] = 0,
    log_format: Annotated[
        str, typer.Option(metavar="text|json", help="Log on stderr what happens, in lines of this form.")
    ] = "",
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    for name, value in context.params.items():
        if value == "" and str(context.get_parameter_source(name)).endswith("COMMANDLINE"):
            raise typer.BadParameter("it is empty", param_hint=f"--{name.rstrip('_')}")
    if format_ and format_ not in output.FORMATS:
        raise typer.BadParameter(f"'{format_}' is not one of {', '.join(output.FORMATS)}", param_hint="--output")
    if color and color not in ("auto", "always", "never"):
        raise typer.BadParameter(f"'{color}' is not one of auto, always, never", param_hint="--color")
    if log_format and log_format not in ("text", "json"):
        raise typer.BadParameter(f"'{log_format}' is not one of text, json", param_hint="--log-format")
    context.obj = Invocation(
        command=context.invoked_subcommand or "",
        path=context.meta.get("path", ""),
        config=config,
        profile=profile,
        ledger=ledger,
        format=format_,
        actor=actor,
        color=color,
        fields=fields,
        header=not no_header,
        csv_safe=csv_safe,
        out=out,
        quiet=quiet,
        verbose=verbose,
        log_format=log_format,
        no_input=no_input,
        debug=debug,
    )
    watching.begin(context.obj)


def run() -> int:
    """Run the command line; the exit code of the process."""
    interrupts.listen()
    return traced(_run)


def _run() -> int:
    try:
        code = app(prog_name="ledgerctl", standalone_mode=False)
    except typer.Abort:
        return Exit.INTERRUPTED
    return int(code or Exit.DONE)


def _global_first(root: Any, args: Sequence[str]) -> tuple[list[str], str]:
    """Global options may stand after the subcommand, where Typer would refuse them: move them to the front.

    And the name of the subcommand, in as many words as it has.
    """
    front: list[str] = []
    path: list[str] = []
    rest: list[str] = []
    command = root
    waiting = iter(args)
    for arg in waiting:
        if arg == "--":
            rest += [arg, *waiting]
        elif arg in _VALUED:
            front += [arg, *islice(waiting, 1)]
        elif arg in _FLAGS or arg.startswith(_ATTACHED) or re.fullmatch("-[qv]+", arg):
            front.append(arg)
        elif arg in _valued_options(command):
            rest += [arg, *islice(waiting, 1)]  # whatever its value looks like, it is its value
        else:
            rest.append(arg)
            if arg in getattr(command, "commands", {}):
                path.append(arg)
                command = command.commands[arg]
    return front + rest, " ".join(path)


def _valued_options(command: Any) -> set[str]:
    return {
        name
        for option in command.params
        if option.param_type_name == "option" and not option.is_flag and not option.count
        for name in option.opts
    }


def _misused(error: Any) -> BadUsage:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "ledgerctl"
    return BadUsage(detail=error.format_message().rstrip("."), hint=f"{path} --help")


def _format_of(args: Sequence[str]) -> str:
    """What -o asks for, when the options themselves could not be parsed."""
    for place, arg in enumerate(args):
        if arg in ("-o", "--output"):
            return args[place + 1] if place + 1 < len(args) else ""
        if arg.startswith(("-o", "--output=")) and not arg.startswith("--out="):
            return arg.removeprefix("--output=").removeprefix("-o")
    return ""


def _logs_json(args: Sequence[str]) -> bool:
    """Whether every line on stderr is to be one of a log in JSON, also what is said before the options are parsed."""
    told = "--log-format=json" in args or ("--log-format", "json") in pairwise(args)
    return told or os.environ.get("LEDGERCTL_LOG_FORMAT") == "json"


def _format_of_environment() -> str:
    """The format for an error that the configuration itself may be."""
    return os.environ.get("LEDGERCTL_OUTPUT_FORMAT", "")


def _with_suggestion(error: LedgerError, invocation: Invocation | None) -> LedgerError:
    """An account that is not there may be one that nearly is."""
    if not isinstance(error, errors.AccountNotFound) or invocation is None or "books" not in vars(invocation):
        return error
    from difflib import get_close_matches

    from ledgerctl.db import reports

    account = error.details["account"]
    near = get_close_matches(account, invocation.read(reports.near_codes, account), 1)
    return errors.AccountNotFound(**error.details, hint=f"did you mean '{near[0]}'?") if near else error


def _unanswered(lost: output.AnswerLost, *, changed: bool) -> NoReturn:
    """The reader went away (`| head`), or the disk is full. A read ends quietly; a write was committed before."""
    lost.told()
    raise typer.Exit(Exit.DONE if changed else Exit.READER_GONE)


def _fail(failure: LedgerError, format_: str, color: str = "auto", job: str = "") -> NoReturn:
    output.complain(failure, format_, color, job)
    tracing.tell(error=failure.code)
    raise typer.Exit(failure.exit_code)
