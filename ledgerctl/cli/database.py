"""ledgerctl init, db: where the books are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context, Group
from ledgerctl.errors import BadConfig, BadUsage, Exit

STATUS_COLUMNS = ("server", "running", "version", "schema", "needed", "directory")
ROLE_COLUMNS = ("role", "may")
DEFAULT_URL = "embedded:ledgerctl-data"

db = typer.Typer(cls=Group, help="Look after the database.")


def register(root: typer.Typer) -> None:
    root.command(epilog=output.exits(Exit.USAGE, Exit.UNAVAILABLE, Exit.BAD_CONFIG))(init)
    root.add_typer(db, name="db")


def init(
    context: Context,
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url", metavar="URL", help="A PostgreSQL 15 or newer, or embedded:DIR. By default embedded."
        ),
    ] = None,
) -> None:
    """Create a ledger here: write ledgerctl.toml, create the database, and bring it to the schema. Safe to repeat."""
    from ledgerctl import config
    from ledgerctl.services import setup

    file = Path(context.obj.config or config.FILE_NAME).absolute()
    written = file.exists()
    if written:
        loaded = config.load(file, context.obj.profile)
        if database_url is not None and database_url != loaded.settings.database.url:
            raise BadConfig(
                detail=f"{file} already names another database", hint="edit the file, or remove it, and run init again"
            )
    if database_url is not None and not database_url:
        raise BadUsage(detail="--database-url is empty")
    if database_url is not None and setup.has_password(database_url):
        context.obj.note("warning: a password in a URL is seen in the process list; a password file is safer")
    if not written:
        try:
            config.write(file, database_url or DEFAULT_URL)
        except OSError as error:
            raise BadConfig(detail=f"cannot write '{file}': {error.strerror}") from None
    try:
        context.obj.config = str(file)
        setup.create(context.obj.database, context.obj.configuration, context.obj.who, context.obj.request_id)
    except BaseException:
        if not written:
            file.unlink(missing_ok=True)  # a configuration that leads nowhere would only mislead the next command
        raise

    settings = context.obj.configuration.settings
    answer = {"config": str(file), "database": output.masked(settings.database.url), "ledger": settings.ledger.name}
    context.obj.show(answer, tuple(answer))


@db.command(epilog=output.exits(Exit.UNAVAILABLE, Exit.BAD_CONFIG))
def status(context: Context) -> None:
    """Show where the database is, whether it runs, and which schema it has. Starts nothing."""
    from ledgerctl.services import setup

    context.obj.show(setup.status(context.obj.database), STATUS_COLUMNS)


@db.command(epilog=output.exits(Exit.UNAVAILABLE, Exit.BAD_CONFIG))
def start(context: Context) -> None:
    """Start the embedded server. Other commands do it by themselves."""
    from ledgerctl.db import embedded

    embedded.start(_directory(context), run_as=context.obj.database.settings.embedded_user)
    status(context)


@db.command(epilog=output.exits(Exit.UNAVAILABLE, Exit.BAD_CONFIG))
def stop(context: Context) -> None:
    """Stop the embedded server. Nothing is lost; the next command starts it again."""
    from ledgerctl.db import embedded

    embedded.stop(_directory(context))
    status(context)


@db.command(epilog=output.exits(Exit.UNAVAILABLE, Exit.BAD_CONFIG))
def upgrade(context: Context) -> None:
    """Bring the database to the schema of this program. Take a backup first."""
    from ledgerctl.services import setup

    setup.upgrade(context.obj.database)
    status(context)


@db.command(epilog=output.exits(Exit.NO_PERMISSION, Exit.UNAVAILABLE, Exit.BAD_CONFIG))
def roles(
    context: Context,
    print_: Annotated[bool, typer.Option("--print", help="Print the SQL; no database is asked.")] = False,
) -> None:
    """Create the roles ledger_app, ledger_ro, ... and give each the least that it needs. Safe to repeat."""
    from ledgerctl.db import roles as of_database
    from ledgerctl.services import setup

    if print_:
        typer.echo(of_database.script(), nl=False)
        return
    context.obj.prepare(ROLE_COLUMNS)
    context.obj.show(setup.create_roles(context.obj.database), ROLE_COLUMNS)


def _directory(context: Context) -> Path:
    directory: Any = context.obj.database.directory
    if directory is None:
        raise BadUsage(detail="the database is not an embedded one; its own tools start and stop it")
    return Path(directory)
