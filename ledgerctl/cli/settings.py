"""ledgerctl config: which settings are in force, and where each comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ledgerctl import config as settings
from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context, Group
from ledgerctl.errors import Exit

_HIDDEN = {
    "database.url": output.masked,
    "metrics.pushgateway": settings.without_login,
    "redis.url": settings.without_login,
}

config = typer.Typer(cls=Group, help="Look at the configuration.")


def register(root: typer.Typer) -> None:
    root.add_typer(config, name="config")


@config.callback()
def about() -> None:
    """Look at the configuration."""


@config.command(epilog=output.exits(Exit.BAD_CONFIG))
def show(
    context: Context,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
) -> None:
    """Show every setting in force. Passwords are masked."""
    loaded = context.obj.configuration
    rows = []
    for section, values in asdict(loaded.settings).items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            name = f"{section}.{key}" if key else section
            hidden = _HIDDEN.get(name, lambda text: text)
            rows.append({"setting": name, "value": hidden(value), "origin": loaded.origins.get(name, "default")})
    for section, maps in (("import", loaded.maps), ("statement", loaded.statement_maps)):
        for name, one in maps.items():
            for key, value in asdict(one).items():
                setting = f"{section}.maps.{name}.{key}"
                if setting in loaded.origins:
                    rows.append({"setting": setting, "value": value, "origin": loaded.origins[setting]})
    rows.append({"setting": "profile", "value": loaded.profile, "origin": f"of {', '.join(loaded.profiles) or 'none'}"})
    columns = ("setting", "value", "origin") if origin else ("setting", "value")
    context.obj.show([{name: row[name] for name in columns} for row in rows], columns)
