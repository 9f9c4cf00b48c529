"""One run of the command line: what it was asked with, and what it opens when a command wants it."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from typer.core import TyperGroup

from ledgerctl import errors, tracing
from ledgerctl.cli import interrupts, output, watching
from ledgerctl.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Concatenate, ParamSpec

    from ledgerctl.cache.server import Server
    from ledgerctl.config import Configuration
    from ledgerctl.db.connection import Connection, Database
    from ledgerctl.db.locks import Wait
    from ledgerctl.services.books import Books

    P = ParamSpec("P")
T = TypeVar("T")

ROWS_MAX = 10**9
"""Of --limit; whoever wants more says --all."""


@dataclass
class Invocation:
    """The global options, and lazily the configuration, the database and the books. `--help` opens none of them."""

    command: str = ""
    path: str = ""
    """The command in as many words as it has: `account freeze`."""
    config: str = ""
    profile: str = ""
    ledger: str = ""
    format: str = ""
    actor: str = ""
    color: str = ""
    fields: str = ""
    header: bool = True
    csv_safe: bool = False
    out: str = ""
    quiet: bool = False
    verbose: int = 0
    log_format: str = ""
    no_input: bool = False
    debug: bool = False

    def __post_init__(self) -> None:
        self.request_id = str(uuid7())
        self.started_at = time.time()
        self.outcomes: Counter[str] = Counter()
        """Requests by what became of them, as far as the command says: posted, replayed, refused."""
        self.outcome = ""
        """How the command ended, if not simply well: what became of its one request, or the code of the error."""
        self.watched = False
        """Whether there is a log."""
        self.logs_json = False
        """Whether all that stands on stderr is a line of it."""
        self.changes = False
        """Whether the command changes the books: its answer then comes after the commit."""
        self.job = ""
        """What a scheduled command does and for which ledger, for the last line that it leaves."""

    def ended(self, outcome: str) -> None:
        """What became of the one request of the command: posted, or replayed."""
        self.outcome = outcome
        self.outcomes[outcome] += 1

    def failed(self, error: errors.LedgerError) -> None:
        self.outcome = error.code
        if self.changes and isinstance(error, errors.Refusal):
            self.outcomes["refused"] += 1

    @cached_property
    def configuration(self) -> Configuration:
        from ledgerctl import config

        given: dict[str, dict[str, Any]] = {
            "ledger": {"name": self.ledger, "actor": self.actor},
            "output": {"format": self.format, "color": self.color},
            "log": {"format": self.log_format},
        }
        flags = {section: {key: value for key, value in keys.items() if value} for section, keys in given.items()}
        loaded = config.load(Path(self.config).absolute() if self.config else None, self.profile, flags)
        watching.begin(self, loaded.settings.log.format)
        if loaded.profile and not self.quiet:
            output.note(f"profile: {loaded.profile}")
        return loaded

    @cached_property
    def style(self) -> output.Style:
        chosen = self.configuration.settings.output
        fields = tuple(self.fields.split(",")) if self.fields else ()
        return output.Style(chosen.format, chosen.color, fields, self.header, self.csv_safe, self.out)

    @cached_property
    def database(self) -> Database:
        from ledgerctl.db.connection import Database

        self.configuration.require_database()
        name = self.command.removeprefix("serve-")  # there is room for no more before the trace
        application = tracing.application_name(f"ledgerctl {name} {os.getpid()}@", socket.gethostname())
        return Database.of(self.configuration, application, self.note)

    @cached_property
    def books(self) -> Books:
        from ledgerctl.services.books import open_books

        name = self.configuration.settings.ledger.name
        return open_books(self.database, name, self.who, self.request_id, self.cache)

    @cached_property
    def cache(self) -> Server | None:
        """Redis, where one is configured; nothing is sent yet."""
        from ledgerctl.cache.server import Server

        redis = self.configuration.settings.redis
        return Server(redis.url, redis.timeout_ms / 1000) if redis.url else None

    @property
    def who(self) -> str:
        """The actor that the audit log names."""
        from ledgerctl.core import texts

        return texts.plain_text("actor", self.configuration.settings.ledger.actor or _user())

    def read(self, question: Callable[Concatenate[Connection, int, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of a report about this ledger."""
        return self.books.database.read(question, self.books.ledger, *args, **kwargs)

    def key(self, given: str | None) -> str:
        """The caller's key, or a new one, which stands on stderr before anything is sent."""
        from ledgerctl.core import texts

        if given is not None:
            return texts.idempotency_key(given)
        key = str(uuid7())
        self.note(f"idempotency key: {key}")
        return key

    def confirm(self, effect: str, *, yes: bool, confirm: str = "") -> None:
        """Ask before something that is not easily undone, on a terminal only. Declined when the answer is no."""
        configuration = self.configuration
        asking = sys.stdin.isatty() and sys.stderr.isatty() and not self.no_input
        if configuration.settings.protected:
            name = configuration.profile or "default"
            answer = confirm or (typer.prompt(f"{effect}\nType the profile's name", err=True) if asking else "")
            if answer != name:
                raise errors.Declined(detail=f"the profile '{name}' is protected", hint=f"give --confirm {name}")
            return
        if asking and not yes and not typer.confirm(effect, err=True):
            raise errors.Declined(detail="the answer was no")

    def prepare(self, columns: Sequence[str]) -> None:
        """Before anything is changed: BadUsage if the answer could not be written as it is asked for."""
        output.check(self.style, columns)
        self.changes = True

    def show(
        self,
        answer: Any,
        columns: Sequence[str],
        *,
        rows: Iterable[output.Row] | None = None,
        head: str = "",
        narrow: Sequence[str] = (),
    ) -> None:
        """Write the answer as the operator asked for it; see `output.show`."""
        if isinstance(answer, Mapping) and (waits := self.lock_waits):
            answer = {**answer, "lock_waits": [wait.details for wait in waits]}
        if self.changes:
            interrupts.answering()
        output.show(self.style, answer, columns, rows=rows, head=head, narrow=narrow)

    @property
    def lock_waits(self) -> list[Wait]:
        """Of this command so far, one for each account and holder."""
        if "database" not in vars(self) or not self.database.waits:
            return []
        from ledgerctl.db import locks

        return locks.merged(self.database.waits)

    def note(self, text: str) -> None:
        """A sentence on stderr, unless --quiet."""
        if not self.quiet:
            output.note(text)


class Group(TyperGroup):
    """A group of commands that explains itself when none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


class Context(typer.Context):
    """What every command is handed; `obj` is the invocation."""

    obj: Invocation


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
