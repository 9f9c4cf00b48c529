"""ledgerctl help TOPIC: what belongs to no single command."""

from __future__ import annotations

from typing import Annotated

import typer

from ledgerctl.errors import BadUsage, Exit

_MEANINGS = {
    Exit.DONE: "done; also a repeated request whose key was posted before",
    Exit.BUG: "a bug: please report it",
    Exit.USAGE: "wrong arguments, or a file that cannot be read",
    Exit.REFUSED: "refused by a rule: funds, a frozen account, a currency; or rows of a file that cannot be posted",
    Exit.NOT_FOUND: "no such account, transaction, import or ledger",
    Exit.CONFLICT: "a key used for another request, a transaction reversed already: never retry unchanged",
    Exit.DIFFERENCES: "reconcile found differences, or doctor a problem: alert a person",
    Exit.UNAVAILABLE: "the database cannot be reached: retry later",
    Exit.TRY_AGAIN: "locks were held too long: retry later, with the same key",
    Exit.OUTCOME_UNKNOWN: "the answer to a commit was lost: run the same command again with the same key",
    Exit.NO_PERMISSION: "permission denied",
    Exit.BAD_CONFIG: "no configuration, a wrong one, or a database with another schema",
    Exit.INTERRUPTED: "interrupted (Ctrl-C): nothing of the open transaction stays",
    Exit.READER_GONE: "whoever read the answer went away, as head does",
    Exit.TERMINATED: "terminated (SIGTERM)",
}

TOPICS = {
    "exit-codes": "\n".join(f"{int(code):>4}  {meaning}" for code, meaning in _MEANINGS.items()),
    "environment": (
        "Every setting of ledgerctl.toml may be given as LEDGERCTL_<SECTION>_<KEY>, for example\n"
        "LEDGERCTL_DATABASE_URL or LEDGERCTL_LEDGER_NAME; LEDGERCTL_PROFILE names a profile. A flag wins over the\n"
        "environment, the environment over the file. One file is read: --config FILE, else ./ledgerctl.toml, else\n"
        "$XDG_CONFIG_HOME/ledgerctl/config.toml, else /etc/ledgerctl/config.toml. libpq's own variables, service and\n"
        "password files work. NO_COLOR and FORCE_COLOR are heeded. TRACEPARENT names the trace that a command is\n"
        "a part of, and OTEL_EXPORTER_OTLP_ENDPOINT where its spans go (docs/operations.md)."
    ),
    "formats": (
        "-o table   for people: plain columns, also off a terminal\n"
        "-o json    one JSON value; amounts are strings, times RFC 3339 in UTC\n"
        "-o jsonl   one JSON object a line\n"
        "-o csv     RFC 4180 with a header; --no-header, --fields A,B, --csv-safe for spreadsheets\n"
        'Errors go to stderr; with json and jsonl as one line {"error": {code, message, hint, details, exit_code}}.'
    ),
    "idempotency": (
        "Every request has a key, given with -i or made and shown before anything is sent. The same request with the\n"
        "same key is posted once, however often it is sent: later ones answer `replayed` with the same transaction.\n"
        "Another request with the same key is refused (exit 5). Keys are kept for ever. A refused request leaves no\n"
        "trace under its key. Rows of a file without a key column have keys that derive from the file's content."
    ),
    "csv": (
        "ledgerctl import reads UTF-8 CSV with a header: from,to,amount,currency and optionally idempotency_key,\n"
        "description, reference, effective_at. --map FIELD=COLUMN names another column, --map FIELD=TEMPLATE builds a\n"
        "field from columns ('bank:{bank}:{account}'), --set FIELD=VALUE gives every row the same. Amounts have a '.'\n"
        "before the decimals and nothing between groups of digits. Nothing is posted unless every row can be."
    ),
}


def register(root: typer.Typer) -> None:
    root.command("help")(help_)


def help_(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(metavar="[TOPIC]", help=f"One of {', '.join(TOPICS)}.")] = "",
) -> None:
    """Explain a topic: exit-codes, environment, formats, idempotency, csv."""
    if not topic:
        typer.echo(context.parent.get_help() if context.parent else "")
        return
    if topic not in TOPICS:
        raise BadUsage(detail=f"there is no topic '{topic}'; there are: {', '.join(TOPICS)}")
    typer.echo(TOPICS[topic])
